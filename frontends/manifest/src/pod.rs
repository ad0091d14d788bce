//! A pod spec: which of its containers runs here, and how.

use std::path::Path;
use std::time::Duration;

use zeron_core::Workload;
use zeron_core::workload::{Port, ProbeCheck, ReadinessProbe};

use crate::config::ConfigSet;
use crate::container::Container;
use crate::reader::Fields;

/// A pod's containers. One of them runs here.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSpec {
    /// In the order of the manifest.
    pub containers: Vec<Container>,
    /// `terminationGracePeriodSeconds`.
    pub termination_grace: Option<Duration>,
    main: usize,
}

/// What a pod's program does with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortUse {
    /// It is told a port each time.
    Assigned,
    /// It listens where the manifest says.
    Fixed(std::num::NonZeroU16),
    /// It declares none.
    None,
}

const WITHOUT_EFFECT: [&str; 35] = [
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "tolerations",
];

impl PodSpec {
    /// Reads a pod spec. `None`, with problems, when it has no container that could run.
    pub fn read(fields: &Fields<'_>, namespace: &str, config: &ConfigSet) -> Option<Self> {
        fields.unsupported(&WITHOUT_EFFECT);
        fields.unsupported(&["topologySpreadConstraints", "volumes", "schedulingGates"]);
        if fields
            .string("restartPolicy")
            .is_some_and(|policy| policy != "Always")
        {
            fields.error("restartPolicy", "must be Always");
        }
        let termination_grace =
            fields.seconds("terminationGracePeriodSeconds", 0..=i64::from(i32::MAX));
        let nodes = fields.items("containers");
        let containers: Vec<Container> = nodes
            .iter()
            .map(|node| Container::read(node, namespace, config))
            .collect();
        if containers.is_empty() {
            fields.error("containers", "is missing: one container is needed");
            return None;
        }
        let with_port = containers.iter().position(|c| !c.ports.is_empty());
        let main = with_port.unwrap_or(0);
        for (index, node) in nodes.iter().enumerate().filter(|(i, _)| *i != main) {
            let message = format!(
                "only one container of a pod runs here: {:?}, not {:?}",
                containers[main].name, containers[index].name
            );
            fields.scope().without_effect(node.path(), message);
        }
        let spec = Self {
            containers,
            termination_grace,
            main,
        };
        spec.check_command(fields);
        Some(spec)
    }

    fn check_command(&self, fields: &Fields<'_>) {
        let main = self.main();
        if main.command.iter().any(|word| !word.is_empty()) {
            return;
        }
        let path = format!("{}.command", main.path);
        let image = main
            .image
            .as_deref()
            .map(|i| format!("; the image {i:?} is not used"))
            .unwrap_or_default();
        let message = format!(
            "is missing: programs run on this machine, not in containers. Add `command: [PROGRAM, ARGUMENT...]`{image}"
        );
        fields.scope().error(&path, message);
    }

    /// The container that runs.
    pub fn main(&self) -> &Container {
        &self.containers[self.main]
    }

    /// A container by its name; the first without one.
    pub fn container(&self, name: Option<&str>) -> Option<&Container> {
        match name {
            Some(name) => self.containers.iter().find(|c| c.name == name),
            None => self.containers.first(),
        }
    }

    /// What the program does with its port.
    pub fn port_use(&self) -> PortUse {
        let main = self.main();
        match main.ports.first() {
            _ if main.uses_assigned_port() => PortUse::Assigned,
            Some(port) => PortUse::Fixed(port.number),
            None => PortUse::None,
        }
    }

    /// The program of one replica. Relative folders are relative to `folder`.
    pub fn workload(
        &self,
        port: Option<Port>,
        folder: &Path,
        start_deadline: Duration,
    ) -> Workload {
        let main = self.main();
        let working_dir = main
            .working_dir
            .as_ref()
            .map_or_else(|| folder.to_owned(), |dir| folder.join(dir));
        let without_probe = match port {
            Some(_) => ReadinessProbe::default(),
            None => ReadinessProbe {
                check: ProbeCheck::Started,
                ..ReadinessProbe::default()
            },
        };
        Workload {
            command: main.command.clone(),
            args: main.args.clone(),
            env: main.env.clone(),
            working_dir: Some(working_dir),
            image: main.image.clone(),
            port,
            readiness: main.readiness.clone().unwrap_or(without_probe),
            limits: main.limits,
            requests: main.requests,
            termination_grace: self.termination_grace.unwrap_or(Duration::from_secs(30)),
            start_deadline,
        }
    }
}
