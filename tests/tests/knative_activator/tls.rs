//! `system-internal-tls`: our activator answers gateways over TLS and speaks it to Knative's queue-proxies, by the
//! certificates of Knative's Secrets.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use k8s_openapi::ByteString;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeron_tests::PATIENCE;
use zeron_tests::knative::{Knative, NAMESPACE, Part, Revision, Setting, Side, Template};
use zeron_tests::until;

/// What activators show gateways, and beside it whose word they take for queue-proxies.
const ROUTING: &str = "routing-serving-certs";
/// What the queue-proxies of a namespace show.
const SERVING: &str = "serving-certs";
/// The names in them.
const ACTIVATOR: &str = "kn-routing";
const QUEUE: &str = "data-plane.knative.dev";

/// Who vouches for certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A Secret of this name with a certificate for these, and `believed` as the authority beside it.
    fn secret(&self, name: &str, names: &[&str], believed: &Self) -> Value {
        let all: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(all).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0]);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name },
            "data": {
                "tls.crt": bytes(certificate.pem()),
                "tls.key": bytes(key.serialize_pem()),
                "ca.crt": bytes(believed.0.pem()),
            },
        })
    }
}

fn bytes(pem: String) -> ByteString {
    ByteString(pem.into_bytes())
}

/// Knative with internal TLS. When this is dropped, also by a test that fails, it is off again, and no part is left that
/// was started with it.
struct Internal<'k> {
    knative: &'k Knative,
    setting: Option<Setting<'k>>,
}

impl<'k> Internal<'k> {
    fn new(knative: &'k Knative, routing: &Value) -> Self {
        let mut internal = Self {
            knative,
            setting: None,
        };
        internal.show(routing);
        let keys = [("system-internal-tls", "Enabled")];
        internal.setting = Some(knative.configure("config-network", &keys));
        internal.roll();
        internal
    }

    /// Activators get this Secret.
    fn show(&self, routing: &Value) {
        let cluster = self.knative.cluster();
        let mut routing = routing.clone();
        routing["metadata"]["namespace"] = json!(NAMESPACE);
        cluster.apply(&routing.to_string());
    }

    /// Every part reads it at its start.
    fn roll(&self) {
        thread::scope(|scope| {
            for part in Part::ALL {
                scope.spawn(move || self.knative.roll(part));
            }
        });
    }

    fn hide(&self) {
        let secret = ["delete", "secret", ROUTING, "--namespace", NAMESPACE];
        let cluster = self.knative.cluster();
        cluster.kubectl(&[&secret[..], &["--ignore-not-found"]].concat());
    }
}

/// Whether it was done. Other tests find what was not, also where this one fails for another reason.
fn is_done(what: &str, step: impl FnOnce()) -> bool {
    let done = catch_unwind(AssertUnwindSafe(step));
    if done.is_err() {
        eprintln!("internal TLS was not put back: {what}");
    }
    done.is_ok()
}

impl Drop for Internal<'_> {
    fn drop(&mut self) {
        let setting = self.setting.take();
        let steps = [
            is_done("its setting is still on", || drop(setting)),
            is_done("its Secret is still there", || self.hide()),
            is_done("parts run that know of it", || self.roll()),
        ];
        // A test that failed says why.
        if !steps.iter().all(|is_done| *is_done) && !thread::panicking() {
            panic!("internal TLS was not put back");
        }
    }
}

/// The one activator that there is.
fn activator(knative: &Knative) -> IpAddr {
    let pods = knative.pods(Part::Activator);
    assert_eq!(pods.len(), 1, "{pods:?}");
    pods[0]["status"]["podIP"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// What is answered to a request over TLS, to the end.
fn over_tls(knative: &Knative, address: SocketAddr, authority: &Authority, head: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(ACTIVATOR).unwrap();
    knative.cluster().block_on(async {
        let asked = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let connector = TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The answer says how long it is: how the connection ends does not matter.
            stream.read_to_end(&mut answer).await.ok();
            String::from_utf8_lossy(&answer).into_owned()
        };
        timeout(PATIENCE, asked).await.unwrap()
    })
}

#[test]
fn with_internal_tls_gateways_and_queue_proxies_are_spoken_to_over_tls() {
    const TEST: &str = "with_internal_tls_gateways_and_queue_proxies_are_spoken_to_over_tls";
    let Some(knative) = Knative::alone(TEST, Side::Ours) else {
        return;
    };
    let (ours, stranger) = (Authority::new("ours"), Authority::new("stranger"));
    let routing = |believed| ours.secret(ROUTING, &[ACTIVATOR, QUEUE], believed);
    let internal = Internal::new(&knative, &routing(&stranger));
    let namespace = knative.cluster().namespace("kn-tls");
    let user = format!("kn-user-{}", namespace.name());
    let serving = ours.secret(SERVING, &[&user, QUEUE], &ours);
    namespace.apply(&serving.to_string());
    // Straight to the new activator: the node may know the old one for a moment.
    let ip = activator(&knative);
    let asked = |revision: &Revision<'_>| {
        let mut request = revision.request();
        request.address = SocketAddr::new(ip, 8012);
        request
    };
    let encrypted = |revision: &Revision<'_>| {
        let head = revision.request().head("/");
        let answer = over_tls(&knative, SocketAddr::new(ip, 8112), &ours, &head);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(revision.name()), "{answer}");
    };

    let template = Template::new().scaling("target-burst-capacity", "0");
    let short = template.clone().field("timeoutSeconds", json!(5));
    let warm = knative.revision(&namespace, "warm", &short).ready();
    let request = asked(&warm);
    // The pod is ready, and its queue-proxy would answer without TLS.
    assert_eq!(
        request.send("/").unwrap().status,
        504,
        "nobody vouches for it"
    );
    internal.show(&routing(&ours));
    until("it to be believed", || {
        (request.send("/").unwrap().status == 200).then_some(())
    });
    encrypted(&warm);
    warm.wait_active("True");
    warm.wait_mode("Proxy");

    let at_zero = template.scaling("initial-scale", "0");
    let cold = knative.revision(&namespace, "cold", &at_zero).ready();
    assert_eq!(cold.replicas(), 0);
    encrypted(&cold);
    assert_eq!(asked(&cold).send("/").unwrap().status, 200);
}
