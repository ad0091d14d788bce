//! Claims about scraping, against small servers on loopback addresses.
#![allow(clippy::unwrap_used)]

mod pods;
mod room;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use prost::Message;
use tokio::sync::mpsc::Receiver;
use zeron_core::{Endpoint, EndpointId, Sample};
use zeron_wire::knative::proto::Stat;

use super::*;
use crate::engine::MonotonicClock;
use pods::{Pods, Says};

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(20);

fn id() -> FunctionId {
    FunctionId::new("ns", "Revision", "rev")
}

fn stat(pod: &str, concurrency: f64, requests: f64) -> Stat {
    Stat {
        pod_name: pod.to_owned(),
        average_concurrent_requests: concurrency,
        average_proxied_concurrent_requests: concurrency / 4.0,
        request_count: requests,
        proxied_request_count: requests / 2.0,
        process_uptime: 100.0,
        timestamp: 0,
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        id: EndpointId(1),
        address: Some(address),
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    }
}

/// A scraper and what it tells.
struct Rig {
    scraper: ScraperHandle,
    samples: Receiver<ToAutoscaler>,
}

impl Rig {
    /// Scrapes `function` at `pods`; its Service is `service`.
    fn start(pods: &Pods, mode: MeshCompatibility, service: &str) -> Self {
        let (sender, samples) = mpsc::channel(64);
        let port = pods.port();
        let clock = Arc::new(MonotonicClock::new());
        let scraper = Scraper::start(ScraperConfig { port, mode }, sender, clock);
        let rig = Self { scraper, samples };
        let target = ScrapeTarget {
            stable_window: Duration::from_secs(60),
            service: service.into(),
            owner: "web".into(),
        };
        rig.scraper.watch(&id(), target);
        rig.publish(pods.addresses());
        rig
    }

    fn publish(&self, addresses: Vec<SocketAddr>) {
        let snapshot = EndpointSnapshot {
            endpoints: addresses.into_iter().map(endpoint).collect(),
            ..EndpointSnapshot::default()
        };
        let sink = self.scraper.sink();
        sink.publish(&id(), Some(Arc::new(snapshot)));
    }

    async fn sample(&mut self) -> Sample {
        let message = tokio::time::timeout(SOON, self.samples.recv()).await;
        match message.unwrap().unwrap() {
            ToAutoscaler::Samples(mut samples) => samples.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for an outcome other than the one of a function that is not asked yet.
    async fn outcome(&self) -> ScrapeOutcome {
        let mut changes = self.scraper.subscribe();
        loop {
            match self.scraper.outcome(&id()).unwrap() {
                ScrapeOutcome::Collected => {}
                outcome => return outcome,
            }
            let change = tokio::time::timeout(SOON, changes.recv()).await;
            change.unwrap().unwrap();
        }
    }
}

fn failed(outcome: &ScrapeOutcome) -> &str {
    match outcome {
        ScrapeOutcome::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn replicas_are_summed_each_second_over_kept_connections() {
    let pods = Pods::start(3, |pod| Says::Stat(stat(&pod.to_string(), 2.0, 8.0)));
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    for _ in 0..3 {
        let sample = rig.sample().await;
        assert_eq!((sample.function, &*sample.pod), (id(), "service-scraper"));
        assert_eq!(sample.average_concurrency, 6.0);
        assert_eq!(sample.average_proxied_concurrency, 1.5);
        assert_eq!(sample.request_count, 24.0);
        assert_eq!(sample.proxied_request_count, 12.0);
    }
    assert!(pods.asked() >= 9);
    assert_eq!(pods.connections(), 3);
    assert_eq!(rig.scraper.outcome(&id()), Some(ScrapeOutcome::Collected));
}

#[tokio::test]
async fn how_long_scrapes_take_is_told_under_the_name_of_the_original() {
    let pods = Pods::start(1, |pod| Says::Stat(stat(&pod.to_string(), 2.0, 8.0)));
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    rig.sample().await;
    let mut registry = Registry::default();
    rig.scraper.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let labels = "kn_service_name=\"web\",kn_configuration_name=\"web\",k8s_namespace_name=";
    let count = format!("kn_autoscaler_scrape_duration_seconds_count{{{labels}");
    assert!(text.contains(&count), "{text}");
    assert!(text.contains("le=\"+Inf\""), "{text}");
}

#[tokio::test]
async fn some_of_many_speak_for_all() {
    let pods = Pods::start(30, |pod| Says::Stat(stat(&pod.to_string(), 1.0, 2.0)));
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    let sample = rig.sample().await;
    assert!((sample.average_concurrency - 30.0).abs() < 1e-9);
    assert_eq!(pods.asked(), 11, "30 * 15.3664 / 44.3664, rounded up");
}

#[tokio::test]
async fn a_replica_that_fails_is_replaced_by_the_next() {
    let pods = Pods::start(30, |pod| match pod {
        0..6 => Says::Status("500 Internal Server Error"),
        _ => Says::Stat(stat(&pod.to_string(), 1.0, 1.0)),
    });
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    let sample = rig.sample().await;
    assert!((sample.average_concurrency - 30.0).abs() < 1e-9);
}

#[tokio::test]
async fn too_few_answers_are_none() {
    let pods = Pods::start(2, |pod| match pod {
        0 => Says::Status("500 Internal Server Error"),
        _ => Says::Stat(stat("one", 1.0, 1.0)),
    });
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    let outcome = rig.outcome().await;
    assert!(failed(&outcome).contains("500"), "{outcome:?}");
    assert!(rig.samples.try_recv().is_err());
}

#[tokio::test]
async fn a_mesh_is_found_out_once_and_its_service_asked_instead() {
    // What stands behind the Service answers as each of two replicas in turn.
    let turn = std::sync::atomic::AtomicU32::new(0);
    let pods = Pods::start(3, move |pod| match pod {
        0 | 1 => Says::Status("503 Service Unavailable"),
        _ => {
            let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) / 2 % 2;
            Says::Stat(stat(&turn.to_string(), 3.0, 3.0))
        }
    });
    let service = pods.addresses()[2].ip().to_string();
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, &service);
    rig.publish(pods.addresses()[..2].to_vec());
    for _ in 0..3 {
        assert_eq!(rig.sample().await.average_concurrency, 6.0);
    }
    assert_eq!(pods.asked_of(0), 1, "never again");
}

#[tokio::test]
async fn where_only_replicas_may_be_asked_a_mesh_is_a_failure() {
    let pods = Pods::start(1, |_| Says::Status("503 Service Unavailable"));
    let rig = Rig::start(&pods, MeshCompatibility::Disabled, "127.0.0.1");
    let outcome = rig.outcome().await;
    assert!(failed(&outcome).contains("503"), "{outcome:?}");
}

#[tokio::test]
async fn one_replica_behind_a_service_does_not_speak_for_two() {
    let pods = Pods::start(2, |_| Says::Stat(stat("same", 1.0, 1.0)));
    let rig = Rig::start(&pods, MeshCompatibility::Enabled, "127.0.0.1");
    assert_eq!(rig.outcome().await, ScrapeOutcome::NoStat);
    assert_eq!(pods.asked() % 20, 0, "ten tries for each");
}

#[tokio::test]
async fn what_is_no_statistic_is_refused() {
    let long = "p".repeat(400);
    let answers: [(Says, &str); 4] = [
        (Says::Stat(stat(&long, 1.0, 1.0)), "336 bytes"),
        (Says::Text("text/plain"), "another format"),
        (Says::Bytes(vec![0xff; 40]), "no statistic"),
        (Says::Stat(stat("pod", f64::NAN, 1.0)), "not a number"),
    ];
    for (answer, why) in answers {
        let pods = Pods::start(1, move |_| answer.clone());
        let rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
        let outcome = rig.outcome().await;
        assert!(failed(&outcome).contains(why), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_replica_that_hangs_costs_three_seconds_and_one_question() {
    let pods = Pods::start(1, |_| Says::Nothing);
    let rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    let before = Instant::now();
    let outcome = rig.outcome().await;
    assert!(failed(&outcome).contains("within 3s"), "{outcome:?}");
    assert!(before.elapsed() >= Duration::from_secs(3));
    assert!(pods.asked() <= 2, "nobody asks while nobody answers");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let pods = Pods::start(1, |_| Says::Once(stat("pod", 1.0, 1.0)));
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    for _ in 0..3 {
        assert_eq!(rig.sample().await.average_concurrency, 1.0);
    }
    assert!(pods.connections() >= 3);
    assert_eq!(rig.scraper.outcome(&id()), Some(ScrapeOutcome::Collected));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_at_zero() {
    let (sender, mut samples) = mpsc::channel(4);
    let clock = Arc::new(MonotonicClock::new());
    let scraper = Scraper::start(ScraperConfig::default(), sender, clock);
    let target = ScrapeTarget {
        stable_window: Duration::from_secs(60),
        service: "unused".into(),
        owner: "web".into(),
    };
    scraper.watch(&id(), target);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(samples.try_recv().is_err());
    assert_eq!(scraper.outcome(&id()), Some(ScrapeOutcome::Collected));
    scraper.forget(&id());
    assert_eq!(scraper.outcome(&id()), None);
}

/// What a queue-proxy of Knative 1.15 answered under load, byte for byte.
const ANSWERED: &[u8] = b"\x0a\x25zero-00001-deployment-5d9d5bf55-llnmt\
    \x11\xd0\xcc\xc5\x2f\x99\x31\x93\x3f\x19\xfc\x29\xe1\xf0\xd0\xaf\x7a\x3f\
    \x21\x00\x00\x00\x00\x00\x80\x4a\x40\x29\x00\x00\x00\x00\x00\x00\x32\x40\
    \x31\x08\xb0\xd7\xda\x0c\x80\x46\x40";

#[tokio::test]
async fn the_answer_of_a_real_queue_proxy_is_understood() {
    let pods = Pods::start(1, |_| Says::Bytes(ANSWERED.to_vec()));
    let mut rig = Rig::start(&pods, MeshCompatibility::Auto, "unused");
    let sample = rig.sample().await;
    assert_eq!(
        (sample.request_count, sample.proxied_request_count),
        (53.0, 18.0)
    );
    assert_eq!(sample.average_concurrency, 0.01874389032441287);
    assert_eq!(sample.average_proxied_concurrency, 0.00651532762101192);
}

/// What queue-proxy counted, as recorded: encoded, served, scraped, it is what was recorded.
#[tokio::test]
async fn what_a_queue_proxy_counted_arrives_as_recorded() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let bytes = std::fs::read(folder.join("kpa-stats.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let ops = file["counting"].as_array().unwrap().iter();
    let ops = ops.flat_map(|case| case["ops"].as_array().unwrap());
    let wants = ops.filter_map(|op| op.get("want"));
    let number = |want: &serde_json::Value, key: &str| want[key].as_f64().unwrap();
    let recorded = |want: &serde_json::Value| {
        [
            "concurrency",
            "proxied_concurrency",
            "requests",
            "proxied_requests",
        ]
        .map(|key| number(want, key))
    };
    let recorded: BTreeSet<[u64; 4]> = wants.map(|want| recorded(want).map(f64::to_bits)).collect();
    assert!(recorded.len() > 20, "{} reports", recorded.len());
    for bits in recorded {
        let [concurrency, proxied, requests, proxied_requests] = bits.map(f64::from_bits);
        let written = Stat {
            pod_name: "rev-00001-deployment-5d4c7b8f9-abcde".to_owned(),
            average_concurrent_requests: concurrency,
            average_proxied_concurrent_requests: proxied,
            request_count: requests,
            proxied_request_count: proxied_requests,
            process_uptime: 12.5,
            timestamp: 0,
        };
        let asking = fetch::Fetcher::default();
        let pods = Pods::start(1, move |_| Says::Stat(written.clone()));
        let got = asking.replica(pods.addresses()[0]).await.unwrap();
        let got = got.sample(id(), zeron_core::Timestamp::EPOCH).unwrap();
        let got = [
            got.average_concurrency,
            got.average_proxied_concurrency,
            got.request_count,
            got.proxied_request_count,
        ];
        assert_eq!(got.map(f64::to_bits), bits);
    }
}

#[test]
fn the_longest_statistic_fits() {
    let longest = Stat {
        timestamp: i64::MAX,
        ..stat(&"p".repeat(253), 1.0, 1.0)
    };
    assert!(longest.encoded_len() <= 336, "{}", longest.encoded_len());
}
