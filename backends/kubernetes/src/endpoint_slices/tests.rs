#![allow(clippy::unwrap_used)]

use futures_util::future::join_all;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::cache::FRESH_FOR;
use super::*;

#[test]
fn ready_endpoints_of_all_slices_are_found_once() {
    let list = json!({"items": [
        {
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.3"]},
            ],
            "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}],
        },
        {
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"port": 8080}, {"port": 9090}],
        },
        {"endpoints": null, "ports": null},
    ]});
    let list: List = serde_json::from_value(list).unwrap();
    let found = endpoints(&list.items);
    let addresses: Vec<_> = found.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "10.0.0.3"]);
    assert_eq!(found[0].ports, [8080, 9090]);
}

fn found(slices: &Value) -> Vec<(String, Vec<u16>)> {
    let list = json!({ "items": slices });
    let list: List = serde_json::from_value(list).unwrap();
    let found = endpoints(&list.items).into_iter();
    found.map(|it| (it.address.to_string(), it.ports)).collect()
}

fn one(address: &str, ports: &[u16]) -> Vec<(String, Vec<u16>)> {
    vec![(address.to_owned(), ports.to_vec())]
}

#[test]
fn a_pod_with_an_address_of_each_family_is_found_once() {
    let v4 = |is_ready: bool| {
        json!({
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": is_ready}}],
            "ports": [{"port": 8080}],
        })
    };
    let v6 = json!({
        "addressType": "IPv6",
        "endpoints": [{"addresses": ["fd00::1"], "conditions": {"ready": true}}],
        "ports": [{"port": 8080}],
    });
    let both = json!([v6, v4(true)]);
    assert_eq!(found(&both), one("10.0.0.1", &[8080]));
    // Pods that have no IPv4 leave its slices empty.
    let empty = json!({"addressType": "IPv4", "endpoints": [], "ports": []});
    for slices in [json!([empty, v6]), json!([v4(false), v6])] {
        assert_eq!(found(&slices), one("fd00::1", &[8080]));
    }
}

#[test]
fn an_address_in_two_slices_has_the_ports_of_both() {
    let slice = |ports: [u16; 2]| {
        let ports = ports.map(|port| json!({ "port": port }));
        json!({"endpoints": [{"addresses": ["10.0.0.1"]}], "ports": ports})
    };
    let slices = json!([slice([8080, 9090]), slice([9090, 3000])]);
    assert_eq!(found(&slices), one("10.0.0.1", &[8080, 9090, 3000]));
}

/// An API server of one Service.
#[derive(Debug, Default)]
struct Server {
    /// Which queries were asked, without the selector.
    asked: Mutex<Vec<String>>,
    /// How many pages there are; the last is followed by none.
    pages: usize,
    is_broken: Mutex<bool>,
    takes: Duration,
}

impl Server {
    fn of(pages: usize) -> Self {
        Self {
            pages,
            takes: Duration::from_millis(10),
            ..Self::default()
        }
    }

    fn slices(self: &Arc<Self>) -> EndpointSlices {
        let own = Arc::clone(self);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let own = Arc::clone(&own);
            let query = request.uri().query().unwrap_or_default().to_owned();
            async move { own.answer(&query).await }
        });
        let client = Client::new(service, "default");
        EndpointSlices::new(client, Arc::new(Counters::new()))
    }

    async fn answer(&self, query: &str) -> Result<http::Response<Body>, tower::BoxError> {
        let (_, page) = query.rsplit_once("&limit=100").unwrap_or(("", query));
        self.asked.lock().push(page.to_owned());
        sleep(self.takes).await;
        if *self.is_broken.lock() {
            return Err("nobody is there".into());
        }
        // A page is asked for by what the one before it said.
        let page = match page.strip_prefix("&continue=to%2F") {
            Some(number) => number.parse()?,
            None => 1,
        };
        let next = match page < self.pages {
            true => format!("to/{}", page + 1),
            false => String::new(),
        };
        let list = json!({
            "metadata": {"resourceVersion": "7", "continue": next},
            "items": [{"endpoints": [{"addresses": [format!("10.0.0.{page}")]}], "ports": [{"port": 80}]}],
        });
        Ok(http::Response::new(Body::from(
            list.to_string().into_bytes(),
        )))
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn all_pages_of_a_list_are_read() {
    let server = Arc::new(Server::of(3));
    let found = server.slices().ready("shop", "stats", WITHIN).await;
    let found = found.unwrap();
    let addresses: Vec<_> = found.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let pages = ["", "&continue=to%2F2", "&continue=to%2F3"];
    assert_eq!(*server.asked.lock(), pages);
}

#[tokio::test(start_paused = true)]
async fn pages_without_end_are_refused() {
    let server = Arc::new(Server::of(usize::MAX));
    let found = server.slices().ready("shop", "stats", WITHIN).await;
    let unknown = found.unwrap_err();
    assert_eq!(unknown.kind, UnknownKind::Configuration);
    assert_eq!(
        unknown.message,
        "shop/stats has more than 1000 EndpointSlices"
    );
    assert_eq!(server.asked(), MAX_PAGES);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_together_shares_one_list_and_the_next_poll_has_its_own() {
    let server = Arc::new(Server::of(1));
    let slices = server.slices();
    let all = (0..100).map(|_| slices.ready("shop", "stats", WITHIN));
    let all = join_all(all).await;
    assert!(all.iter().all(|found| found.as_ref().unwrap().len() == 1));
    assert_eq!(server.asked(), 1);
    slices.clone().ready("shop", "stats", WITHIN).await.unwrap();
    assert_eq!(server.asked(), 1, "a clone knows it too");
    slices.ready("mail", "stats", WITHIN).await.unwrap();
    assert_eq!(server.asked(), 2, "another namespace's is another");
    sleep(FRESH_FOR).await;
    slices.ready("shop", "stats", WITHIN).await.unwrap();
    assert_eq!(server.asked(), 3);
    assert_eq!(slices.cache.len(), 1, "what is old is not kept");
}

#[tokio::test(start_paused = true)]
async fn failures_are_not_kept() {
    let server = Arc::new(Server::of(1));
    let slices = server.slices();
    *server.is_broken.lock() = true;
    let failed = slices.ready("shop", "stats", WITHIN).await.unwrap_err();
    assert_eq!(failed.kind, UnknownKind::Transport);
    *server.is_broken.lock() = false;
    slices.ready("shop", "stats", WITHIN).await.unwrap();
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_anothers_list_waits_no_longer_than_its_own_time() {
    let server = Arc::new(Server {
        takes: Duration::from_secs(3),
        ..Server::of(1)
    });
    let slices = server.slices();
    let short = Duration::from_secs(1);
    let (patient, hasty) = tokio::join!(
        slices.ready("shop", "stats", WITHIN),
        slices.ready("shop", "stats", short),
    );
    assert_eq!(patient.unwrap().len(), 1);
    assert_eq!(hasty.unwrap_err().kind, UnknownKind::Timeout);
    assert_eq!(server.asked(), 1);
}
