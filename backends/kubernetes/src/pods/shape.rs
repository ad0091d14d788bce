//! What pods of one template have in common: ports, the probe we may ask, resource requests.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use zeron_core::quantity::{cpu_millis, memory_bytes};
use zeron_core::usage::ContainerRequest;
use zeron_core::workload::{ProbeCheck, ReadinessProbe};

use super::raw::{RawContainer, RawPod, RawPortRef, RawProbe};
use crate::target::TargetPort;

/// Containers beside the function whose readiness only the platform knows.
const SIDECARS: &[&str] = &["istio-proxy", "linkerd-proxy", "queue-proxy"];

/// Shared by all pods that have it; see [`Shape::of`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    ports: Box<[(Option<Box<str>>, NonZeroU16)]>,
    pub(crate) asking: Asking,
    pub(crate) requests: Arc<[ContainerRequest]>,
    /// How long a pod may run without being ready before that counts as failed, over the usual.
    pub(crate) patience: Duration,
}

/// What the data plane may ask a pod by itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asking {
    /// As declared.
    Probe(ProbeKey),
    /// Nothing is declared: a TCP connection to its own port.
    Connect,
    /// Only the platform knows.
    Platform,
}

/// A probe that can be hashed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProbeKey(pub(crate) Arc<ReadinessProbe>);

impl Eq for ProbeKey {}

impl std::hash::Hash for ProbeKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.period.hash(state);
        self.0.initial_delay.hash(state);
    }
}

impl Shape {
    pub(crate) fn of(pod: &RawPod) -> Self {
        let containers = &pod.spec.containers;
        let is_sidecar = |container: &&RawContainer| SIDECARS.contains(&container.name.as_str());
        let own = containers.iter().filter(|one| !is_sidecar(one));
        let restartable = pod.spec.init_containers.iter();
        let restartable = restartable.filter(|one| one.restart_policy.as_deref() == Some("Always"));
        let ports = own
            .chain(restartable.clone())
            .chain(containers.iter().filter(is_sidecar))
            .flat_map(|container| &container.ports)
            .filter(|port| port.protocol.as_deref().is_none_or(|name| name == "TCP"))
            .filter_map(|port| {
                let number = NonZeroU16::new(port.container_port)?;
                Some((port.name.as_deref().map(Into::into), number))
            });
        let request = |container: &RawContainer| ContainerRequest {
            container: container.name.as_str().into(),
            cpu_millis: (container.resources.requests.get("cpu")).and_then(|text| cpu_millis(text)),
            memory_bytes: (container.resources.requests.get("memory"))
                .and_then(|text| memory_bytes(text)),
        };
        Self {
            ports: ports.collect(),
            asking: asking(pod),
            requests: containers.iter().chain(restartable).map(request).collect(),
            patience: containers.iter().map(patience).max().unwrap_or_default(),
        }
    }

    /// The port of a pod that requests go to.
    pub(crate) fn port(&self, port: &TargetPort) -> Option<NonZeroU16> {
        match port {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                let named = |(own, _): &&(Option<Box<str>>, NonZeroU16)| {
                    own.as_deref().is_some_and(|own| own == &**name)
                };
                self.ports.iter().find(named).map(|(_, number)| *number)
            }
            TargetPort::First => self.ports.first().map(|(_, number)| *number),
            TargetPort::None => None,
        }
    }
}

fn patience(container: &RawContainer) -> Duration {
    let span = |probe: &RawProbe, rounds: u32| {
        let period = probe.period_seconds.unwrap_or(10);
        let delay = probe.initial_delay_seconds.unwrap_or(0);
        Duration::from_secs(u64::from(delay) + u64::from(period) * u64::from(rounds))
    };
    let startup = container.startup_probe.as_ref();
    let startup = startup.map_or(Duration::ZERO, |probe| {
        span(probe, probe.failure_threshold.unwrap_or(3))
    });
    let readiness = container.readiness_probe.as_ref();
    startup + readiness.map_or(Duration::ZERO, |probe| span(probe, 0))
}

/// The rules: startup probes, readiness gates, sidecars and a second probe are the platform's to
/// judge; so are probes that we cannot ask alike (exec, https, another host).
fn asking(pod: &RawPod) -> Asking {
    let spec = &pod.spec;
    let is_sidecar = |one: &RawContainer| SIDECARS.contains(&one.name.as_str());
    let is_native = |one: &RawContainer| one.restart_policy.as_deref() == Some("Always");
    let is_platforms = !spec.readiness_gates.is_empty()
        || spec
            .containers
            .iter()
            .any(|one| one.startup_probe.is_some())
        || spec.containers.iter().any(is_sidecar)
        || spec.init_containers.iter().any(is_native);
    if is_platforms {
        return Asking::Platform;
    }
    let mut declared = spec
        .containers
        .iter()
        .filter_map(|one| Some((one, one.readiness_probe.as_ref()?)));
    match (declared.next(), declared.next()) {
        (None, _) => Asking::Connect,
        (Some(_), Some(_)) => Asking::Platform,
        (Some((container, probe)), None) => match check(container, probe) {
            Some(check) => Asking::Probe(ProbeKey(Arc::new(timed(probe, check)))),
            None => Asking::Platform,
        },
    }
}

fn check(container: &RawContainer, probe: &RawProbe) -> Option<ProbeCheck> {
    let resolve = |port: &RawPortRef| match port {
        RawPortRef::Number(number) => NonZeroU16::new(*number),
        RawPortRef::Name(name) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => {
                let mut ports = container.ports.iter();
                let named = ports.find(|port| port.name.as_deref() == Some(name));
                named.and_then(|port| NonZeroU16::new(port.container_port))
            }
        },
    };
    let is_own_host = |host: &Option<String>| host.as_deref().is_none_or(str::is_empty);
    if let Some(tcp) = &probe.tcp_socket {
        let port = resolve(&tcp.port).filter(|_| is_own_host(&tcp.host))?;
        return Some(ProbeCheck::Tcp { port: Some(port) });
    }
    if let Some(grpc) = &probe.grpc {
        return Some(ProbeCheck::Grpc {
            service: grpc.service.clone().unwrap_or_default(),
            port: Some(NonZeroU16::new(grpc.port)?),
        });
    }
    let http = probe.http_get.as_ref()?;
    let is_plain = http.scheme.as_deref().is_none_or(|scheme| scheme == "HTTP");
    let port = resolve(&http.port).filter(|_| is_plain && is_own_host(&http.host))?;
    let path = http.path.as_deref().unwrap_or("/");
    Some(ProbeCheck::Http {
        path: match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        },
        headers: (http.http_headers.iter())
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
        port: Some(port),
    })
}

/// Kubernetes' own defaults.
fn timed(probe: &RawProbe, check: ProbeCheck) -> ReadinessProbe {
    let seconds = |value: Option<u32>, default: u32| {
        Duration::from_secs(value.filter(|value| *value > 0).unwrap_or(default).into())
    };
    ReadinessProbe {
        check,
        initial_delay: seconds(probe.initial_delay_seconds, 0),
        period: Some(seconds(probe.period_seconds, 10)),
        timeout: seconds(probe.timeout_seconds, 1),
        success_threshold: probe.success_threshold.unwrap_or(1).max(1),
        failure_threshold: probe.failure_threshold.unwrap_or(3).max(1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn shape(spec: Value) -> Shape {
        Shape::of(&serde_json::from_value(json!({ "spec": spec })).unwrap())
    }

    fn port(number: u16) -> Option<NonZeroU16> {
        NonZeroU16::new(number)
    }

    fn asked(spec: Value) -> Option<ProbeCheck> {
        match shape(spec).asking {
            Asking::Probe(probe) => Some(probe.0.check.clone()),
            Asking::Connect => Some(ProbeCheck::Tcp { port: None }),
            Asking::Platform => None,
        }
    }

    #[test]
    fn ports_are_found_by_number_name_and_order() {
        let shape = shape(json!({"containers": [
            {"name": "istio-proxy", "ports": [{"containerPort": 15090, "name": "metrics"}]},
            {"name": "app", "ports": [
                {"containerPort": 53, "protocol": "UDP"},
                {"containerPort": 8080, "name": "http"},
                {"containerPort": 9000},
            ]},
        ]}));
        assert_eq!(shape.port(&TargetPort::First), port(8080));
        assert_eq!(shape.port(&TargetPort::Name("http".into())), port(8080));
        assert_eq!(shape.port(&TargetPort::Name("metrics".into())), port(15090));
        assert_eq!(shape.port(&TargetPort::Name("none".into())), None);
        let number = TargetPort::Number(port(1).unwrap());
        assert_eq!(shape.port(&number), port(1));
    }

    #[test]
    fn declared_probes_are_asked_as_declared() {
        let http = asked(json!({"containers": [{
            "name": "app",
            "ports": [{"containerPort": 8080, "name": "web"}],
            "readinessProbe": {
                "httpGet": {"path": "/up", "port": "web", "scheme": "HTTP",
                            "httpHeaders": [{"name": "Host", "value": "a"}]},
                "periodSeconds": 5,
            },
        }]}));
        assert_eq!(
            http,
            Some(ProbeCheck::Http {
                path: "/up".to_owned(),
                headers: vec![("Host".to_owned(), "a".to_owned())],
                port: port(8080),
            })
        );
        let tcp = asked(json!({"containers": [
            {"name": "app", "readinessProbe": {"tcpSocket": {"port": 9}}},
        ]}));
        assert_eq!(tcp, Some(ProbeCheck::Tcp { port: port(9) }));
        let grpc = asked(json!({"containers": [
            {"name": "app", "readinessProbe": {"grpc": {"port": 9, "service": "s"}}},
        ]}));
        let service = "s".to_owned();
        assert_eq!(
            grpc,
            Some(ProbeCheck::Grpc {
                service,
                port: port(9)
            })
        );
    }

    #[test]
    fn without_a_probe_a_connection_is_enough() {
        let none = asked(json!({"containers": [{"name": "app"}]}));
        assert_eq!(none, Some(ProbeCheck::Tcp { port: None }));
    }

    #[test]
    fn what_only_the_platform_can_judge_is_left_to_it() {
        let tcp = json!({"tcpSocket": {"port": 9}});
        let cases = [
            json!({"containers": [{"name": "a", "readinessProbe": {"exec": {"command": ["x"]}}}]}),
            json!({"containers": [{"name": "a", "readinessProbe":
                {"httpGet": {"port": 9, "scheme": "HTTPS"}}}]}),
            json!({"containers": [{"name": "a", "readinessProbe":
                {"tcpSocket": {"port": 9, "host": "db"}}}]}),
            json!({"containers": [{"name": "a", "readinessProbe":
                {"tcpSocket": {"port": "missing"}}}]}),
            json!({"containers": [{"name": "a", "readinessProbe": tcp, "startupProbe": tcp}]}),
            json!({"containers": [{"name": "a"}, {"name": "istio-proxy"}]}),
            json!({"containers": [{"name": "a"}, {"name": "linkerd-proxy"}]}),
            json!({"containers": [{"name": "a"}, {"name": "queue-proxy"}]}),
            json!({"containers": [{"name": "a"}],
                   "initContainers": [{"name": "mesh", "restartPolicy": "Always"}]}),
            json!({"containers": [{"name": "a"}], "readinessGates": [{"conditionType": "x"}]}),
            json!({"containers": [{"name": "a", "readinessProbe": tcp},
                                  {"name": "b", "readinessProbe": tcp}]}),
        ];
        for case in cases {
            assert_eq!(asked(case.clone()), None, "{case}");
        }
    }

    #[test]
    fn a_slow_start_that_was_declared_has_its_time() {
        let shape = shape(json!({"containers": [{
            "name": "a",
            "startupProbe": {"tcpSocket": {"port": 9}, "periodSeconds": 10, "failureThreshold": 30},
            "readinessProbe": {"tcpSocket": {"port": 9}, "initialDelaySeconds": 20},
        }]}));
        assert_eq!(shape.patience, Duration::from_secs(320));
    }
}
