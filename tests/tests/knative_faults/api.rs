//! The API server as our parts see it: connections that a test breaks.

use std::net::{IpAddr, SocketAddr};
use std::thread;

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use zeron_tests::knative::{Knative, NAMESPACE, Part};
use zeron_tests::until;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// They break.
    Gone,
    /// They are taken, and nothing is answered.
    Silent,
}

/// Our parts speak to the API server through here for as long as this lives. A change of mode breaks all connections.
pub(crate) struct Api<'k> {
    knative: &'k Knative,
    mode: watch::Sender<Mode>,
    _runtime: Runtime,
}

impl<'k> Api<'k> {
    pub(crate) fn before(knative: &'k Knative) -> Self {
        let cluster = knative.cluster();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let host = cluster.host_address();
        let listener = runtime.block_on(TcpListener::bind((host, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, modes) = watch::channel(Mode::Pass);
        runtime.spawn(accept(listener, server(knative), modes));
        let api = Self {
            knative,
            mode,
            _runtime: runtime,
        };
        let (host, port) = (
            format!("KUBERNETES_SERVICE_HOST={host}"),
            format!("KUBERNETES_SERVICE_PORT={port}"),
        );
        api.tell_parts(&[&host, &port]);
        api.rolled_out();
        api
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    fn rolled_out(&self) {
        for part in Part::ALL {
            self.knative.wait_rolled_out(part);
        }
    }

    fn is_gone(&self, pod: &str) -> bool {
        let get = [
            "get",
            "pod",
            pod,
            "--namespace",
            NAMESPACE,
            "--ignore-not-found",
            "--output",
            "name",
        ];
        self.knative.cluster().kubectl(&get).trim().is_empty()
    }

    /// Sets variables of our parts' processes.
    fn tell_parts(&self, variables: &[&str]) {
        let mut arguments = vec!["set", "env", "--namespace", NAMESPACE];
        arguments.extend(["deployment/activator", "deployment/autoscaler"]);
        arguments.extend(variables);
        self.knative.cluster().kubectl(&arguments);
    }
}

impl Drop for Api<'_> {
    fn drop(&mut self) {
        self.set(Mode::Pass);
        let before = self.knative.pods(Part::Autoscaler);
        self.tell_parts(&["KUBERNETES_SERVICE_HOST-", "KUBERNETES_SERVICE_PORT-"]);
        // Others find them at work.
        if !thread::panicking() {
            self.rolled_out();
            // They give their buckets back through here.
            until("the autoscalers before to have ended", || {
                let is_gone = |pod: &Value| self.is_gone(pod["metadata"]["name"].as_str().unwrap());
                before.iter().all(is_gone).then_some(())
            });
        }
    }
}

/// Where it really is.
fn server(knative: &Knative) -> SocketAddr {
    let output = "jsonpath={.subsets[0].addresses[0].ip} {.subsets[0].ports[0].port}";
    let get = [
        "get",
        "endpoints",
        "kubernetes",
        "--namespace",
        "default",
        "--output",
        output,
    ];
    let found = knative.cluster().kubectl(&get);
    let (ip, port) = found.trim().split_once(' ').unwrap();
    SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port.parse().unwrap())
}

async fn accept(listener: TcpListener, server: SocketAddr, mode: watch::Receiver<Mode>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut mode = mode.clone();
        tokio::spawn(async move {
            let now = *mode.borrow_and_update();
            match now {
                Mode::Gone => {}
                Mode::Silent => drop(mode.changed().await),
                Mode::Pass => {
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = mode.changed() => {}
                    }
                }
            }
        });
    }
}
