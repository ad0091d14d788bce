//! A namespace with a Deployment that KEDA scales, and what happens to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use zeron_tests::cluster::{Cluster, Namespace, Program, Role};
use zeron_tests::wait::within;

pub(crate) const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";
pub(crate) const AUTOSCALER: &str = "autoscaling/v2/HorizontalPodAutoscaler";
pub(crate) const DEPLOYMENT: &str = "apps/v1/Deployment";
pub(crate) const SERVICE: &str = "v1/Service";
pub(crate) const SLICE: &str = "discovery.k8s.io/v1/EndpointSlice";
pub(crate) const PROXY: &str = "keda-add-ons-http-interceptor-proxy";
/// The port that activators have by our manifests.
pub(crate) const ACTIVATOR_PORT: u16 = 8080;
/// Lines of a command that nobody has waited for yet.
const LINES: usize = 1000;
/// Longest wait for a line of a command.
const PATIENCE: Duration = Duration::from_secs(90);

/// See the module.
pub(crate) struct Scene {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: Namespace,
}

impl Scene {
    /// A Deployment `web` of two, its Service, and a ScaledObject with a cpu trigger: KEDA makes a
    /// HorizontalPodAutoscaler for it and asks no source.
    pub(crate) fn new(cluster: &'static Cluster, prefix: &str) -> Self {
        cluster.install_crds();
        let namespace = cluster.namespace(prefix);
        let scene = Self { cluster, namespace };
        scene.add_function("web", 2);
        scene.namespace.wait_pods("app=web", 2);
        scene
    }

    /// A Deployment of two and its ScaledObject with this minimum.
    pub(crate) fn add_function(&self, name: &str, min: u32) {
        self.add_workload(name, 2);
        self.namespace.apply(&format!(
            r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{name: {name}}}
  minReplicaCount: {min}
  maxReplicaCount: 5
  triggers:
  - {{type: cpu, metricType: Utilization, metadata: {{value: "90"}}}}
"#
        ));
    }

    /// A Deployment of so many, and its Service.
    pub(crate) fn add_workload(&self, name: &str, replicas: u32) {
        let image = self.cluster.image(Program::Function);
        self.namespace.apply(&format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: function
        image: {image}
        imagePullPolicy: Never
        env:
        - {{name: PORT, value: "8080"}}
        - {{name: LISTEN_ADDRESS, value: 0.0.0.0}}
        - {{name: MESSAGE, value: this is {name}}}
        ports: [{{name: proxy, containerPort: 8080}}]
        resources: {{requests: {{cpu: 50m}}}}
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"#
        ));
    }

    /// Stands for an activator that runs as a process of this machine: this is how the controller and commands
    /// find it.
    pub(crate) fn add_activator_pod(&self, activator: &Role) {
        let (ip, health) = (
            activator.listen().ip().to_string(),
            activator.health().port(),
        );
        self.namespace.apply(&format!(
            r#"
apiVersion: v1
kind: Pod
metadata:
  name: activator-0
  labels: {{app.kubernetes.io/name: zeron, app.kubernetes.io/component: activator}}
spec:
  schedulerName: nobody
  terminationGracePeriodSeconds: 0
  containers: [{{name: activator, image: none, ports: [{{name: health, containerPort: {health}}}]}}]
"#
        ));
        self.namespace.patch_part(
            "v1/Pod",
            "activator-0",
            "status",
            json!({ "status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{ "ip": ip }],
                "conditions": [{ "type": "Ready", "status": "True" }],
            } }),
        );
    }

    /// Where the Service `web` takes requests.
    pub(crate) fn service_address(&self) -> SocketAddr {
        self.address_of("web")
    }

    /// Where a Service takes requests, at its first port.
    pub(crate) fn address_of(&self, service: &str) -> SocketAddr {
        let service = self.namespace.get(SERVICE, service).unwrap();
        let ip = service["spec"]["clusterIP"].as_str().unwrap();
        let port = &service["spec"]["ports"][0]["port"];
        format!("{ip}:{port}").parse().unwrap()
    }

    /// Waits until requests there are answered by pods of this Deployment: kube-proxy has its own pace.
    pub(crate) fn wait_answer(&self, address: SocketAddr, name: &str) {
        let what = format!("requests to {address} to reach {name}");
        within(Duration::from_secs(30), &what, || {
            self.answers_as(address, name).then_some(())
        });
    }

    /// Whether a request there is answered by a pod of this Deployment.
    fn answers_as(&self, address: SocketAddr, name: &str) -> bool {
        let exchange = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let head = "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        exchange().is_ok_and(|answer| answer.contains(&format!("this is {name}")))
    }
}

/// For waits until an object exists.
pub(crate) fn is_there(object: &Value) -> Option<()> {
    (!object.is_null()).then_some(())
}

/// A command of zeron that works on the cluster.
pub(crate) struct Import {
    child: Child,
    lines: mpsc::Receiver<String>,
    said: Arc<Mutex<String>>,
}

impl Import {
    /// Starts it for the scene's namespace, where zeron and KEDA have their leases, too.
    pub(crate) fn start(scene: &Scene, args: &[&str]) -> Self {
        let name = scene.namespace.name();
        let mut child = zeron_tests::program()
            .args(args)
            .args([
                "--namespace",
                name,
                "--zeron-namespace",
                name,
                "--keda-namespace",
                name,
            ])
            .env("KUBECONFIG", scene.cluster.kubeconfig())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::sync_channel(LINES);
        let said = Arc::new(Mutex::new(String::new()));
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let (sender, said) = (sender.clone(), Arc::clone(&said));
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    said.lock().unwrap().push_str(&format!("{line}\n"));
                    // What nobody waits for may be lost here; all of it is in `said`.
                    sender.try_send(line).ok();
                }
            });
        }
        Self { child, lines, said }
    }

    /// Waits until it says something with `part`.
    pub(crate) fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return,
                Ok(_) => {}
                Err(_) => panic!("{part} was not said, but:\n{}", self.said.lock().unwrap()),
            }
        }
    }

    /// Whether it works still.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code, once it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Everything that it said, once it has ended.
    pub(crate) fn output(&mut self) -> String {
        self.child.wait().unwrap();
        // The readers end with the output.
        while self.lines.recv().is_ok() {}
        self.said.lock().unwrap().clone()
    }

    /// It ends well.
    pub(crate) fn succeeds(&mut self) {
        let output = self.output();
        assert_eq!(self.code(), Some(0), "{output}");
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// All counts that a Deployment asks for, as they change.
pub(crate) struct Counts {
    is_ended: Arc<AtomicBool>,
    watcher: JoinHandle<Vec<u64>>,
}

/// Begins to note them.
pub(crate) fn replicas_over_time(namespace: &Namespace, deployment: &str) -> Counts {
    let is_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&is_ended);
    let (cluster, name) = (namespace.cluster(), namespace.name().to_owned());
    let deployment = deployment.to_owned();
    let watcher = thread::spawn(move || {
        let mut counts: Vec<u64> = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let arguments = [
                "-n",
                &name,
                "get",
                "deployment",
                &deployment,
                "-o",
                "jsonpath={.spec.replicas}",
            ];
            if let Ok(Ok(count)) = cluster.try_kubectl(&arguments).map(|text| text.parse()) {
                counts.push(count);
                counts.dedup();
            }
            thread::park_timeout(Duration::from_millis(200));
        }
        counts
    });
    Counts { is_ended, watcher }
}

impl Counts {
    /// Those that there were, in order.
    pub(crate) fn end(self) -> Vec<u64> {
        self.is_ended.store(true, Ordering::Relaxed);
        self.watcher.thread().unpark();
        self.watcher.join().unwrap()
    }
}

/// KEDA's finalizer would keep the namespace for ever.
impl Drop for Scene {
    fn drop(&mut self) {
        for scaled in self.namespace.list(SCALED, "") {
            let name = scaled["metadata"]["name"].as_str().unwrap_or_default();
            let metadata = json!({ "finalizers": null });
            self.namespace
                .patch(SCALED, name, json!({ "metadata": metadata }));
        }
    }
}
