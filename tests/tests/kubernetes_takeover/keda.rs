//! A real KEDA operator as a process of this machine.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use zeron_tests::cluster::Namespace;
use zeron_tests::process::{self, Signal};
use zeron_tests::wait::within;

/// Names the operator's binary: `cmd/operator` of github.com/kedacore/keda/v2, built with Go.
const BINARY: &str = "ZERON_TEST_KEDA";

/// The binary, if there is one; a test without it is skipped, which is reported.
pub(crate) fn binary(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os(BINARY).map(PathBuf::from);
    if path.is_none() {
        zeron_tests::broker::skip(test, &format!("{BINARY} names no KEDA operator"));
    }
    path
}

/// An operator of one namespace. It ends with its value.
pub(crate) struct Keda {
    child: Child,
    folder: TempDir,
    metrics_service: String,
}

impl Keda {
    /// Starts it and waits until it holds its lease.
    pub(crate) fn start(
        binary: &PathBuf,
        namespace: &Namespace,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = certificates();
        let free = || zeron_tests::free_address().to_string();
        let metrics_service = free();
        let name = namespace.name();
        let log = std::env::temp_dir().join(format!("{name}-keda.log"));
        let log = std::fs::File::options().append(true).create(true).open(log);
        let log = log.expect("the folder for temporary files can be written");
        let before = holder(namespace);
        let child = Command::new(binary)
            .args(["--leader-elect", "--zap-log-level=info"])
            .args([
                "--enable-webhook-patching=false",
                "--enable-apiservice-patching=false",
            ])
            .arg(format!("--cert-dir={}", folder.path().display()))
            .arg(format!("--metrics-bind-address={}", free()))
            .arg(format!("--health-probe-bind-address={}", free()))
            .arg(format!("--metrics-service-bind-address={metrics_service}"))
            .env("KUBECONFIG", namespace.cluster().kubeconfig())
            .env("WATCH_NAMESPACE", name)
            .env("POD_NAMESPACE", name)
            .env("POD_NAME", "keda-operator")
            .env("KEDA_CLUSTER_OBJECT_NAMESPACE", name)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the operator can be started");
        let keda = Self {
            child,
            folder,
            metrics_service,
        };
        // A lease of an earlier one has to run out first.
        within(Duration::from_secs(60), "KEDA to hold its lease", || {
            let now = holder(namespace)?;
            (Some(now) != before).then_some(())
        });
        keda
    }

    /// Where its metrics adapter asks it.
    pub(crate) fn metrics_service(&self) -> &str {
        &self.metrics_service
    }

    /// What the two show each other.
    pub(crate) fn certificates(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Ends it, as its Deployment at 0 would.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        self.child.wait().expect("it was started here");
    }

    fn signal(&self, signal: Signal) {
        process::signal(self.child.id(), signal);
    }
}

impl Drop for Keda {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn holder(namespace: &Namespace) -> Option<String> {
    let lease = namespace.get("coordination.k8s.io/v1/Lease", "operator.keda.sh")?;
    let holder = lease["spec"]["holderIdentity"].as_str()?;
    (!holder.is_empty()).then(|| holder.to_owned())
}

/// What the operator and its metrics adapter show each other; nobody asks here.
fn certificates() -> TempDir {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("there is randomness");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("it can sign itself");
    let key = KeyPair::generate().expect("there is randomness");
    let names = vec!["keda-operator".to_owned()];
    let leaf = CertificateParams::new(names).expect("a name is fine");
    let leaf = leaf
        .signed_by(&key, &authority)
        .expect("an authority signs");
    let folder = TempDir::new().expect("there is room for a folder");
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("tls.crt", leaf.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), text).expect("the folder is ours");
    }
    folder
}
