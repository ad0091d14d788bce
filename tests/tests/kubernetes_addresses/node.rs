//! A node that is the test itself: it writes what a kubelet would, and runs pods as processes of this machine.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use zeron_tests::cluster::Namespace;
use zeron_tests::{Raw, until};

use super::declare::{DEPLOYMENT, POD};

const NODE: &str = "v1/Node";
/// Its name.
const NAME: &str = "moving";

/// The one node.
pub(crate) struct Node<'n> {
    namespace: &'n Namespace,
    ip: IpAddr,
}

/// A pod that it runs.
pub(crate) struct Pod<'n> {
    namespace: &'n Namespace,
    name: String,
    restarts: u32,
    process: Process,
}

/// The function of a pod. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
}

impl<'n> Node<'n> {
    pub(crate) fn new(namespace: &'n Namespace, ip: IpAddr) -> Self {
        namespace.apply(&format!(
            "{{ apiVersion: v1, kind: Node, metadata: {{ name: {NAME} }} }}"
        ));
        let mut node = Self { namespace, ip };
        node.readdress(ip);
        node
    }

    /// It has another address from now on.
    pub(crate) fn readdress(&mut self, ip: IpAddr) {
        self.ip = ip;
        let status = json!({
            "addresses": [{ "type": "InternalIP", "address": ip }, { "type": "Hostname", "address": NAME }],
            "conditions": [condition("Ready", true)],
        });
        self.namespace
            .patch_part(NODE, NAME, "status", json!({ "status": status }));
    }

    /// Makes a pod of a function at each of these addresses, and says so in its Deployment.
    pub(crate) fn run(
        &self,
        function: &str,
        addresses: &[SocketAddr],
        is_on_host: bool,
    ) -> Vec<Pod<'n>> {
        let pods = addresses.iter().enumerate().map(|(number, &address)| {
            let name = format!("{function}-{number}");
            let port = address.port();
            self.namespace.apply(&format!(
                "
apiVersion: v1
kind: Pod
metadata: {{ name: {name}, labels: {{ app: {function} }} }}
spec:
  nodeName: {NAME}
  hostNetwork: {is_on_host}
  containers: [{{ name: function, image: none, ports: [{{ containerPort: {port} }}] }}]
"
            ));
            let pod = Pod {
                namespace: self.namespace,
                name,
                restarts: 0,
                process: Process::start(address),
            };
            pod.report(self, true);
            pod
        });
        let pods: Vec<_> = pods.collect();
        let count = pods.len();
        let counts = json!({
            "replicas": count, "updatedReplicas": count, "readyReplicas": count, "availableReplicas": count,
        });
        self.namespace
            .patch_part(DEPLOYMENT, function, "status", json!({ "status": counts }));
        pods
    }
}

impl Pod<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// It is at another address now, and ready all the time. Its process at the former one goes on.
    pub(crate) fn readdress(&mut self, node: &Node<'_>, address: SocketAddr) -> Process {
        let former = std::mem::replace(&mut self.process, Process::start(address));
        self.report(node, true);
        former
    }

    /// Its process dies; nobody has said so yet.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
    }

    /// It is said not to be ready where it was.
    pub(crate) fn lose(&mut self, node: &Node<'_>) -> SocketAddr {
        self.process.child.wait().unwrap();
        self.report(node, false);
        self.process.address
    }

    /// It is started anew at another address, under its name.
    pub(crate) fn come_back(&mut self, node: &Node<'_>, address: SocketAddr) {
        self.restarts += 1;
        self.process = Process::start(address);
        self.report(node, true);
    }

    /// What the kubelet writes of it or, once that is silent, the controller of nodes.
    fn report(&self, node: &Node<'_>, is_ready: bool) {
        let (ip, host, now) = (self.process.address.ip(), node.ip, Timestamp::now());
        let ended =
            json!({ "terminated": { "exitCode": 255, "reason": "Unknown", "finishedAt": now } });
        let container = json!({
            "name": "function", "image": "none", "imageID": "none", "ready": is_ready, "started": is_ready,
            "restartCount": self.restarts, "state": { "running": { "startedAt": now } },
            "lastState": if self.restarts > 0 { ended } else { json!({}) },
        });
        let conditions = [
            condition("PodScheduled", true),
            condition("Initialized", true),
            condition("ContainersReady", is_ready),
            condition("Ready", is_ready),
        ];
        let status = json!({
            "phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": [container],
            "podIP": ip, "podIPs": [{ "ip": ip }], "hostIP": host, "hostIPs": [{ "ip": host }],
        });
        self.namespace
            .patch_part(POD, &self.name, "status", json!({ "status": status }));
    }
}

fn condition(kind: &str, is_true: bool) -> Value {
    let status = if is_true { "True" } else { "False" };
    json!({ "type": kind, "status": status, "lastTransitionTime": Timestamp::now() })
}

impl Process {
    fn start(address: SocketAddr) -> Self {
        let child = zeron_tests::program()
            .arg("zeron-example-function")
            .env("LISTEN_ADDRESS", address.ip().to_string())
            .env("PORT", address.port().to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until(&format!("the function to listen at {address}"), || {
            TcpStream::connect(address).ok()
        });
        Self { child, address }
    }

    /// How many requests it has answered, all those before this one.
    pub(crate) fn served(&self) -> u64 {
        let answer = Raw::connect(self.address)
            .get("itself", "/stats")
            .response();
        answer.json()["served"].as_u64().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
