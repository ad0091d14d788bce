//! Two autoscalers, in one namespace, for all tests that run at the same time.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use zeron_backend_kubernetes::shard_of;
use zeron_core::FunctionId;
use zeron_tests::cluster::{Cluster, Deployed, Namespace, Pods, Program};
use zeron_tests::{Output, until};

pub(crate) const DEPLOYMENT: &str = "apps/v1/Deployment";
pub(crate) const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";
/// Pods of the autoscalers.
pub(crate) const AUTOSCALERS: &str =
    "app.kubernetes.io/name=zeron,app.kubernetes.io/component=autoscaler,pod-template-hash";
/// As the manifests have it.
const SHARDS: u32 = 4;

/// The autoscalers, and where they work.
pub(crate) struct Site {
    // Dropped in this order: whoever writes ends before what it writes on.
    _deployed: Deployed,
    pub(crate) namespace: Namespace,
    /// For Jobs, which are made in no namespace of the autoscalers' own.
    pub(crate) other: Namespace,
}

/// A test that uses the site.
pub(crate) struct Guest(Arc<Site>);

impl Deref for Guest {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Site {
    /// The site; `None` where there is no cluster.
    pub(crate) fn get(test: &str) -> Option<Guest> {
        static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        let cluster = Cluster::get(&format!("kubernetes_inspect::{test}"))?;
        let mut known = SITE.lock().unwrap_or_else(PoisonError::into_inner);
        let site = known
            .upgrade()
            .unwrap_or_else(|| Arc::new(Self::start(cluster)));
        *known = Arc::downgrade(&site);
        Some(Guest(site))
    }

    fn start(cluster: &'static Cluster) -> Self {
        let namespace = cluster.namespace("inspect");
        let other = cluster.namespace("inspect-other");
        let deployed = Pods::of(&namespace)
            .watch(&other)
            .replicas("activator", 0)
            .replicas("autoscaler", 2)
            .replicas("controller", 0)
            .deploy();
        let site = Self {
            _deployed: deployed,
            namespace,
            other,
        };
        let labels = "zeron.dev/lease=autoscaler-shard";
        let what = "to be shared by both autoscalers";
        let lease = "coordination.k8s.io/v1/Lease";
        site.namespace.wait_list(lease, labels, what, |shards| {
            let holder =
                |shard: &Value| shard["spec"]["holderIdentity"].as_str().map(str::to_owned);
            let holders: BTreeSet<_> = shards.iter().filter_map(holder).collect();
            (shards.len() == SHARDS as usize && holders.len() == 2).then_some(())
        });
        site
    }

    /// A name for a function of each shard: so each autoscaler has two of them.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let shard = |name: &String| {
            let id = FunctionId::new(self.namespace.name(), "Deployment", name);
            shard_of(&id, SHARDS)
        };
        let names = || (0..).map(|number| format!("{prefix}-{number}"));
        (0..SHARDS)
            .filter_map(|wanted| names().find(|name| shard(name) == wanted))
            .collect()
    }

    /// Declares a function that nothing wakes, with a floor of `min` replicas; they say `words` when they start.
    pub(crate) fn function(&self, name: &str, min: u32, words: &str) {
        let image = self.namespace.cluster().image(Program::Function);
        self.namespace.apply(&format!(
            "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name} }}
spec:
  replicas: 0
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: function
          image: {image}
          imagePullPolicy: Never
          args: [--stderr, {words:?}]
          ports: [{{ containerPort: 8080 }}]
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name} }}
spec:
  scaleTargetRef: {{ name: {name} }}
  minReplicaCount: {min}
  maxReplicaCount: 5
  cooldownPeriod: 1
  triggers:
    - type: cron
      metadata: {{ timezone: UTC, start: 0 1 29 2 *, end: 0 2 29 2 *, desiredReplicas: '1' }}
"
        ));
    }

    /// Its floor from now on.
    pub(crate) fn floor(&self, name: &str, min: u32) {
        let spec = json!({ "spec": { "minReplicaCount": min } });
        self.namespace.patch(SCALED, name, spec);
    }

    /// Arguments that lead to functions of this namespace as this kubeconfig's user.
    pub(crate) fn arguments(
        &self,
        namespace: &Namespace,
        command: &[&str],
        kubeconfig: &Path,
    ) -> Vec<String> {
        let (zeron, name) = (self.namespace.name(), namespace.name());
        let place = ["--zeron-namespace", zeron, "-n", name, "--kubeconfig"];
        let all = command.iter().chain(&place).map(|&text| text.to_owned());
        all.chain([kubeconfig.display().to_string()]).collect()
    }

    /// What a command says to this kubeconfig's user.
    pub(crate) fn zeron_as(&self, command: &[&str], kubeconfig: &Path) -> Output {
        self.zeron_in(&self.namespace, command, kubeconfig)
    }

    /// The same about functions of this namespace.
    pub(crate) fn zeron_in(
        &self,
        namespace: &Namespace,
        command: &[&str],
        kubeconfig: &Path,
    ) -> Output {
        let arguments = self.arguments(namespace, command, kubeconfig);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        zeron_tests::command(&arguments, |command| {
            command.env_remove("ZERON_ADMIN");
        })
    }

    /// What a command says to the administrator.
    pub(crate) fn zeron(&self, command: &[&str]) -> Output {
        self.zeron_as(command, self.namespace.cluster().kubeconfig())
    }

    /// What a command prints once it succeeds: functions may be on their way from one autoscaler to the other.
    pub(crate) fn said(&self, command: &[&str]) -> String {
        let mut complaint = String::new();
        until(&format!("{command:?} to succeed"), || {
            let output = self.zeron(command);
            if output.code == Some(0) {
                return Some(output.stdout);
            }
            if output.stderr != complaint {
                eprintln!("{command:?}: {}", output.stderr);
                complaint = output.stderr;
            }
            None
        })
    }

    /// The names of all functions that are listed, as often as they are.
    pub(crate) fn listed(&self, kubeconfig: &Path) -> Vec<String> {
        let output = self.zeron_as(&["ls", "-o", "json"], kubeconfig);
        let list: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let functions = list["functions"].as_array().cloned().unwrap_or_default();
        let name = |view: &Value| view["owner"]["name"].as_str().map(str::to_owned);
        functions.iter().filter_map(name).collect()
    }
}
