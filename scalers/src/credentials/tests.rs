#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::{VaultEngine, VaultParameters, VaultSecret, VaultSignIn};
use zeron_core::roles::{BoxFuture, TriggerHandle};

use super::*;
use crate::parameters::Parameter;
use crate::registry::{SourceType, TriggerType};
use crate::source::{Client, Readings, Sources};
use crate::testkit::spec;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A source whose metric is the length of its password.
#[derive(Debug, Default)]
struct Lengths {
    sources: Sources<(), Length>,
}

#[derive(Debug)]
struct Length;

impl Client for Length {
    type Trigger = Secret;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<Secret>],
        _: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        let readings = triggers.iter().map(|password| {
            let value = f64::from(u32::try_from(password.expose().len()).unwrap());
            Ok(vec![MetricReading {
                metric: "length".to_owned(),
                value,
                target: 1.0,
                activity: Activity::Declared(true),
            }])
        });
        let readings = readings.collect();
        Box::pin(async move { readings })
    }
}

impl SourceType for Lengths {
    fn types(&self) -> Vec<TriggerType> {
        const PARAMETERS: &[Parameter] = &[Parameter::secret("password", "a secret")];
        vec![TriggerType {
            name: "length",
            about: "a length",
            parameters: PARAMETERS,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        let is_there = trigger.auth.contains_key("password");
        let problem = TriggerProblem {
            parameter: Some("password".to_owned()),
            message: "password is required".to_owned(),
            is_warning: false,
        };
        (!is_there).then_some(problem).into_iter().collect()
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let problems = self.validate(trigger);
        if !problems.is_empty() {
            return Err(crate::configuration(&problems));
        }
        let password = trigger.auth["password"].clone();
        Ok(self.sources.bind(&(), "lengths", || Length, password))
    }
}

fn sources() -> Arc<Builtin> {
    Arc::new(Builtin::of(vec![Box::new(Lengths::default())]))
}

fn trigger(remote: RemoteParameters) -> TriggerSpec {
    TriggerSpec {
        remote: vec![remote],
        ..spec("length", &[], &[])
    }
}

fn vault(address: &str, token: &str) -> RemoteParameters {
    RemoteParameters::Vault(VaultParameters {
        address: format!("http://{address}"),
        namespace: Some("team".to_owned()),
        sign_in: VaultSignIn::Token(Secret::new(token)),
        secrets: vec![VaultSecret {
            parameter: "password".to_owned(),
            path: "secret/data/orders".to_owned(),
            key: "pass".to_owned(),
            engine: VaultEngine::Second,
        }],
    })
}

/// Speaks as much of a vault's API as is asked for; its password grows by one with every read.
async fn growing_vault() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            if head.contains("/hang ") {
                unanswered.push(stream);
                continue;
            }
            let is_right = head.starts_with("get /v1/secret/data/orders ")
                && head.contains("x-vault-token: hunter2\r\n")
                && head.contains("x-vault-namespace: team\r\n");
            let (status, body) = if is_right {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let password = "x".repeat(usize::try_from(number).unwrap());
                (
                    "200 OK",
                    format!(r#"{{"data":{{"data":{{"pass":"{password}"}}}}}}"#),
                )
            } else {
                (
                    "403 Forbidden",
                    r#"{"errors":["permission denied"]}"#.to_owned(),
                )
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, reads)
}

async fn value(bound: &BoundTrigger) -> Result<f64, Unknown> {
    let handles: [TriggerHandle; 1] = [bound.handle];
    let mut answers = bound.scaler.evaluate(&handles, TIMEOUT).await;
    answers.remove(0).map(|readings| readings[0].value)
}

fn credentials(fresh_for: Duration) -> Credentials {
    Credentials::fresh_for(fresh_for, AddressPolicy::MACHINE, None)
}

#[tokio::test]
async fn a_secret_of_a_vault_reaches_the_source_and_is_read_once_while_fresh() {
    let (address, reads) = growing_vault().await;
    let (credentials, sources) = (credentials(FRESH_FOR), sources());
    let first = credentials.bind(&sources, &trigger(vault(&address, "hunter2")));
    let second = credentials.bind(&sources, &trigger(vault(&address, "hunter2")));
    assert_eq!(first.source, second.source);
    assert_eq!(value(&first).await, Ok(1.0));
    assert_eq!(value(&second).await, Ok(1.0));
    assert_eq!(value(&first).await, Ok(1.0));
    assert_eq!(reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_rotated_secret_is_bound_anew() {
    let (address, _) = growing_vault().await;
    let credentials = credentials(Duration::from_nanos(1));
    let bound = credentials.bind(&sources(), &trigger(vault(&address, "hunter2")));
    assert_eq!(value(&bound).await, Ok(1.0));
    assert_eq!(value(&bound).await, Ok(2.0));
}

#[tokio::test]
async fn a_refused_token_and_a_dead_vault_are_unknown_without_a_secret_in_the_message() {
    let (address, _) = growing_vault().await;
    let credentials = credentials(FRESH_FOR);
    let refused = credentials.bind(&sources(), &trigger(vault(&address, "canary")));
    let failure = value(&refused).await.unwrap_err();
    assert_eq!(failure.kind, UnknownKind::Authentication);
    assert!(!failure.message.contains("canary"), "{}", failure.message);
    let dead = credentials.bind(&sources(), &trigger(vault("127.0.0.1:1", "canary")));
    let failure = value(&dead).await.unwrap_err();
    assert_eq!(failure.kind, UnknownKind::Transport);
    assert!(!failure.message.contains("canary"), "{}", failure.message);
}

#[tokio::test]
async fn a_file_below_the_folder_is_read() {
    let folder = std::env::temp_dir().join(format!("zeron-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("orders.json"), r#"{"password":"four"}"#).unwrap();
    let root = Some(folder.clone());
    let credentials = Credentials::new(AddressPolicy::MACHINE, root);
    let file = |path: &str| {
        trigger(RemoteParameters::File {
            path: path.to_owned(),
        })
    };
    let bound = credentials.bind(&sources(), &file("orders.json"));
    assert_eq!(value(&bound).await, Ok(4.0));
    let missing = credentials.bind(&sources(), &file("other.json"));
    let failure = value(&missing).await.unwrap_err();
    assert_eq!(failure.kind, UnknownKind::Missing);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_a_vault_will_give_is_not_missing() {
    let declared = trigger(vault("vault:8200", "hunter2"));
    let problems = Lengths::default().validate(&declared);
    assert_eq!(problems.len(), 1);
    assert!(without_remote(&declared, problems).is_empty());
}

#[test]
fn nothing_printed_of_a_trigger_shows_a_token() {
    let declared = trigger(vault("vault:8200", "canary"));
    assert!(!format!("{declared:?}").contains("canary"));
    let shown = serde_json::to_string(&declared).unwrap();
    assert!(!shown.contains("canary"));
}

#[tokio::test]
async fn a_vault_that_hangs_delays_no_other() {
    let (address, _) = growing_vault().await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = (hanging.local_addr().unwrap().to_string(), hanging);
    let (credentials, sources) = (credentials(FRESH_FOR), sources());
    let bind =
        |address: &str, token: &str| credentials.bind(&sources, &trigger(vault(address, token)));
    for number in 0..50 {
        let bound = bind(&hanging.0, &number.to_string());
        tokio::spawn(async move { value(&bound).await });
    }
    tokio::task::yield_now().await;
    let healthy = bind(&address, "hunter2");
    let began = std::time::Instant::now();
    assert_eq!(value(&healthy).await, Ok(1.0));
    assert!(began.elapsed() < TIMEOUT / 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_path_that_hangs_leaves_triggers_with_fresh_credentials_their_values() {
    let (address, _) = growing_vault().await;
    let (credentials, sources) = (credentials(FRESH_FOR), sources());
    let good = credentials.bind(&sources, &trigger(vault(&address, "hunter2")));
    assert_eq!(value(&good).await, Ok(1.0));
    let RemoteParameters::Vault(mut other) = vault(&address, "hunter2") else {
        unreachable!();
    };
    other.secrets[0].path = "secret/data/hang".to_owned();
    let bad = credentials.bind(&sources, &trigger(RemoteParameters::Vault(other)));
    assert_eq!(good.source, bad.source);
    let timeout = Duration::from_secs(1);
    let both = [good.handle, bad.handle];
    let answers = tokio::time::timeout(timeout, good.scaler.evaluate(&both, timeout));
    let answers = answers.await.unwrap();
    assert_eq!(answers[0].as_ref().map(|it| it[0].value), Ok(1.0));
    assert_eq!(answers[1].as_ref().unwrap_err().kind, UnknownKind::Timeout);
}

#[tokio::test]
async fn nothing_said_of_a_vault_shows_a_password_of_its_address() {
    let credentials = credentials(FRESH_FOR);
    let (address, _) = growing_vault().await;
    for address in ["127.0.0.1:1", &address] {
        let declared = trigger(vault(&format!("user:canary@{address}"), "wrong"));
        let bound = credentials.bind(&sources(), &declared);
        assert!(!bound.source.contains("canary"), "{}", bound.source);
        let failure = value(&bound).await.unwrap_err();
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
}
