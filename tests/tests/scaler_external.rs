//! External scalers of somebody else's, written in Go against KEDA's own protocol: they drive functions of one machine,
//! speak mutual TLS, hang, end and come back.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::PATIENCE;
use zeron_tests::broker::Unavailable;
use zeron_tests::external::{self, ForeignScaler};
use zeron_tests::servers::triggers::spec;
use zeron_tests::{Setup, until};

const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_secs(1);

/// `None` where there is none, which is reported.
fn started(test: &str, scaler: Result<ForeignScaler, Unavailable>) -> Option<ForeignScaler> {
    external::started(&format!("scaler_external::{test}"), scaler)
}

fn worker(scaler: &ForeignScaler) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: worker}}
spec:
  selector: {{matchLabels: {{app: worker}}}}
  template:
    metadata: {{labels: {{app: worker}}}}
    spec:
      containers:
      - name: worker
        command: [sleep, "600"]
        env: [{{name: WORD, value: between us}}]
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: jobs}}
spec:
  scaleTargetRef: {{name: worker}}
  pollingInterval: 4
  cooldownPeriod: 2
  maxReplicaCount: 5
  advanced: {{horizontalPodAutoscalerConfig: {{behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}}}}}
  triggers:
  - type: external-push
    metadata:
      scalerAddress: "{}"
      queue: jobs
      wordFromEnv: WORD
"#,
        scaler.address()
    )
}

#[test]
fn a_scaler_written_against_kedas_protocol_drives_a_function_from_zero_and_back() {
    const TEST: &str =
        "a_scaler_written_against_kedas_protocol_drives_a_function_from_zero_and_back";
    let Some(scaler) = started(TEST, ForeignScaler::start()) else {
        return;
    };
    scaler.measure(0.0, 5.0, false);
    let zeron = Setup::new().manifest("worker.yaml", &worker(&scaler)).up();
    until("the stream to be opened", || {
        (scaler.seen()["streams"] == 1).then_some(())
    });
    assert!(zeron.replicas("worker").is_empty());

    scaler.measure(12.0, 5.0, true);
    let pushed = Instant::now();
    until("a replica", || {
        (!zeron.replicas("worker").is_empty()).then_some(())
    });
    println!("from the push to the first replica: {:?}", pushed.elapsed());
    until("ceil(12 / 5) replicas", || {
        (zeron.replicas("worker").len() == 3).then_some(())
    });
    let seen = scaler.seen();
    assert_eq!(
        (&seen["namespace"], &seen["name"]),
        (&"default".into(), &"jobs".into())
    );
    let metadata = serde_json::json!({
        "scalerAddress": scaler.address().to_string(),
        "queue": "jobs",
        "wordFromEnv": "between us",
    });
    assert_eq!(seen["metadata"], metadata);
    let why = zeron.run(&["why", "worker"]).stdout;
    assert!(why.contains("depth"), "{why}");
    let said = zeron.run(&["describe", "worker"]).stdout + &zeron.log() + &why;
    assert!(
        !said.contains("between us"),
        "a value of the environment is shown: {said}"
    );

    scaler.measure(0.0, 5.0, false);
    zeron.wait_for_zero("worker");
}

#[test]
fn a_scaler_that_is_gone_holds_the_count_until_it_is_back() {
    const TEST: &str = "a_scaler_that_is_gone_holds_the_count_until_it_is_back";
    let Some(mut scaler) = started(TEST, ForeignScaler::start()) else {
        return;
    };
    scaler.measure(8.0, 5.0, true);
    let zeron = Setup::new().manifest("worker.yaml", &worker(&scaler)).up();
    until("two replicas", || {
        (zeron.replicas("worker").len() == 2).then_some(())
    });
    scaler.server().kill();
    until("it to be said", || {
        let why = zeron.run(&["why", "worker"]).stdout;
        why.contains(&scaler.address().to_string()).then_some(())
    });
    zeron_tests::wait::throughout(Duration::from_secs(4), "two replicas", || {
        zeron.replicas("worker").len() == 2
    });
    let address = scaler.address();
    scaler
        .server()
        .run(|| zeron_tests::servers::accepts(address));
    // It has forgotten everything: nothing is left to do.
    zeron.wait_for_zero("worker");
    scaler.measure(1.0, 5.0, true);
    until("a push over a new stream", || {
        (zeron.replicas("worker").len() == 1).then_some(())
    });
}

// === the client by itself ===

struct Authority {
    folder: TempDir,
    ca: String,
    client: (String, String),
}

/// An authority, what the scaler shows, and what a client shows.
fn authority() -> Authority {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &authority).unwrap();
        (leaf.pem(), key.serialize_pem())
    };
    let folder = TempDir::new().unwrap();
    let (certificate, key) = issue("127.0.0.1");
    for (name, text) in [
        ("ca", &authority.pem()),
        ("crt", &certificate),
        ("key", &key),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Authority {
        ca: authority.pem(),
        client: issue("zeron"),
        folder,
    }
}

fn trigger(
    scaler: &ForeignScaler,
    metadata: &[(&str, &str)],
    auth: &[(&str, &str)],
) -> TriggerSpec {
    let address = scaler.address().to_string();
    let all = [metadata, &[("scalerAddress", address.as_str())]].concat();
    let mut trigger = spec("external", &all, auth);
    trigger.object.namespace = "shop".to_owned();
    trigger
}

async fn read(bound: &BoundTrigger, timeout: Duration) -> Result<Vec<MetricReading>, Unknown> {
    let handles = [bound.handle];
    let mut all = bound.scaler.evaluate(&handles, timeout).await;
    all.remove(0)
}

#[tokio::test]
async fn mutual_tls_lets_in_whom_the_scaler_knows_and_nobody_else() {
    const TEST: &str = "mutual_tls_lets_in_whom_the_scaler_knows_and_nobody_else";
    let ours = authority();
    let file = |name: &str| ours.folder.path().join(name);
    let secured = ForeignScaler::secured(&file("crt"), &file("key"), &file("ca"));
    let Some(scaler) = started(TEST, secured) else {
        return;
    };
    scaler.measure(2.5, 1.0, true);
    let registry = Registry::builtin(AddressPolicy::MACHINE);
    let bind = |metadata: &[(&str, &str)], auth: &[(&str, &str)]| {
        registry.bind(&trigger(&scaler, metadata, auth)).unwrap()
    };
    let (certificate, key) = (&*ours.client.0, &*ours.client.1);
    let client = [("tlsClientCert", certificate), ("tlsClientKey", key)];
    let whole = [("caCert", &*ours.ca), client[0], client[1]];
    let expected = MetricReading {
        metric: "depth".to_owned(),
        value: 2.5,
        target: 1.0,
        activity: Activity::Declared(true),
    };
    assert_eq!(read(&bind(&[], &whole), TIMEOUT).await, Ok(vec![expected]));
    // Whoever answers, as long as it takes our certificate.
    let unsafe_ssl = bind(&[("unsafeSsl", "true")], &client);
    assert!(read(&unsafe_ssl, TIMEOUT).await.is_ok());
    let other = authority();
    let (strange, strange_key) = (&*other.client.0, &*other.client.1);
    for (what, bound) in [
        ("plaintext", bind(&[], &[])),
        (
            "no certificate",
            bind(&[("enableTLS", "true")], &whole[..1]),
        ),
        (
            "an authority that is not the scaler's",
            bind(&[], &[("caCert", &*other.ca)]),
        ),
        (
            "a certificate that the scaler does not know",
            bind(
                &[],
                &[
                    whole[0],
                    ("tlsClientCert", strange),
                    ("tlsClientKey", strange_key),
                ],
            ),
        ),
    ] {
        let error = read(&bound, TIMEOUT).await.unwrap_err();
        let is_refused = matches!(
            error.kind,
            UnknownKind::Authentication | UnknownKind::Transport
        );
        assert!(is_refused, "{what}: {error:?}");
        assert!(!error.message.contains("PRIVATE"), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_scaler_hangs_ends_and_comes_back() {
    const TEST: &str = "a_scaler_hangs_ends_and_comes_back";
    let Some(mut scaler) = started(TEST, ForeignScaler::start()) else {
        return;
    };
    let registry = Registry::builtin(AddressPolicy::MACHINE);
    let bound = registry.bind(&trigger(&scaler, &[], &[])).unwrap();
    scaler.measure(3.0, 1.0, true);
    assert_eq!(read(&bound, TIMEOUT).await.unwrap()[0].value, 3.0);

    scaler.server().freeze();
    let begin = Instant::now();
    let error = read(&bound, SHORT).await.unwrap_err();
    assert_eq!(error.kind, UnknownKind::Timeout, "{error:?}");
    assert!(begin.elapsed() < TIMEOUT, "{:?}", begin.elapsed());
    scaler.server().thaw();
    comes_back(&bound).await;

    scaler.server().kill();
    let error = read(&bound, TIMEOUT).await.unwrap_err();
    assert_eq!(error.kind, UnknownKind::Transport, "{error:?}");
    let address = scaler.address();
    scaler
        .server()
        .run(|| zeron_tests::servers::accepts(address));
    comes_back(&bound).await;
}

async fn comes_back(bound: &BoundTrigger) {
    let begin = Instant::now();
    while let Err(error) = read(bound, SHORT).await {
        assert!(begin.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
