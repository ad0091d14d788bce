//! KEDA's metrics adapter as a process of this machine, and its place in the cluster's API.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use zeron_tests::cluster::Namespace;
use zeron_tests::free_address_of;
use zeron_tests::wait::within;

use crate::keda::Keda;

const API: &str = "apiregistration.k8s.io/v1/APIService";
const NAME: &str = "v1beta1.external.metrics.k8s.io";

/// The adapter beside the operator, if it was built.
pub(crate) fn binary(operator: &Path) -> Option<PathBuf> {
    let adapter = operator.with_file_name("adapter");
    adapter.exists().then_some(adapter)
}

/// A running adapter; its place in the API goes before it.
pub(crate) struct Adapter<'n> {
    child: Child,
    namespace: &'n Namespace,
}

impl<'n> Adapter<'n> {
    /// Starts it beside `keda`, and waits until the cluster's API leads to it.
    pub(crate) fn start(binary: &Path, keda: &Keda, namespace: &'n Namespace) -> Self {
        let cluster = namespace.cluster();
        let address = free_address_of(cluster.host_address());
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let certificates = keda.certificates().display().to_string();
        let log = std::env::temp_dir().join(format!("{}-adapter.log", namespace.name()));
        let log =
            std::fs::File::create(log).expect("the folder for temporary files can be written");
        let child = Command::new(binary)
            .arg(format!("--secure-port={}", address.port()))
            .arg(format!("--bind-address={}", address.ip()))
            .arg(format!("--port={}", zeron_tests::free_address().port()))
            .arg(format!("--cert-dir={certificates}"))
            .arg(format!("--tls-cert-file={certificates}/tls.crt"))
            .arg(format!("--tls-private-key-file={certificates}/tls.key"))
            .arg(format!(
                "--metrics-service-address={}",
                keda.metrics_service()
            ))
            .arg("--metrics-service-grpc-authority=keda-operator")
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .arg(format!("--lister-kubeconfig={kubeconfig}"))
            .env("KUBECONFIG", &kubeconfig)
            .env("WATCH_NAMESPACE", namespace.name())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the adapter can be started");
        let adapter = Self { child, namespace };
        within(Duration::from_secs(60), "the adapter to listen", || {
            TcpStream::connect(address).ok()
        });
        adapter.register(address);
        adapter
    }

    fn register(&self, address: std::net::SocketAddr) {
        let (ip, port) = (address.ip(), address.port());
        self.namespace.apply(&format!(
            r#"
apiVersion: v1
kind: Service
metadata: {{name: adapter}}
spec: {{ports: [{{name: https, port: 443, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: adapter
  labels: {{kubernetes.io/service-name: adapter}}
addressType: IPv4
endpoints: [{{addresses: ["{ip}"], conditions: {{ready: true}}}}]
ports: [{{name: https, port: {port}, protocol: TCP}}]
"#
        ));
        let name = self.namespace.name();
        self.namespace.cluster().apply(&format!(
            r#"
apiVersion: {api}
kind: APIService
metadata: {{name: {NAME}}}
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {{name: adapter, namespace: {name}}}
"#,
            api = "apiregistration.k8s.io/v1"
        ));
        self.namespace.wait(API, NAME, "to lead to it", |object| {
            let conditions = object["status"]["conditions"].as_array()?;
            let is_it = |c: &&Value| c["type"] == "Available" && c["status"] == "True";
            conditions.iter().find(is_it).map(drop)
        });
    }
}

impl Drop for Adapter<'_> {
    fn drop(&mut self) {
        // While nobody answers there, namespaces cannot be deleted.
        self.namespace.delete(API, NAME);
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
