//! One set of roles, in one namespace, for all tests that run at the same time.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use zeron_tests::broker::{self, Broker, Unavailable};
use zeron_tests::cluster::{Cluster, Installation, Namespace, Program, Role, Roles};
use zeron_tests::topic::Topic;

pub(crate) const DEPLOYMENT: &str = "apps/v1/Deployment";
pub(crate) const STATEFUL_SET: &str = "apps/v1/StatefulSet";
pub(crate) const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";
pub(crate) const HTTP_SCALED: &str = "http.keda.sh/v1alpha1/HTTPScaledObject";
pub(crate) const SERVICE: &str = "v1/Service";

/// Lines of a role's log that a failing test shows.
const SHOWN: usize = 30;

/// The roles, and where they work.
pub(crate) struct Site {
    // Dropped in this order: whoever writes ends before what it writes on.
    pub(crate) roles: Installation,
    pub(crate) namespace: Namespace,
}

/// A test that uses a site; a failure shows what the site says of it.
pub(crate) struct Guest(Arc<Site>);

impl Site {
    /// The site, and the cluster it is on; `None` where there is no cluster.
    pub(crate) fn get(test: &str) -> Option<Guest> {
        static SITE: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        let cluster = Cluster::get(&format!("kubernetes::{test}"))?;
        let mut known = SITE.lock().unwrap_or_else(PoisonError::into_inner);
        let site = known
            .upgrade()
            .unwrap_or_else(|| Arc::new(Self::start(cluster)));
        *known = Arc::downgrade(&site);
        Some(Guest(site))
    }

    /// The same with a broker.
    pub(crate) fn with_kafka(test: &str) -> Option<(Guest, &'static Broker)> {
        let kafka = kafka(test)?;
        Some((Self::get(test)?, kafka))
    }

    fn start(cluster: &'static Cluster) -> Self {
        cluster.install_crds();
        let namespace = cluster.namespace("kubernetes");
        // The controller leads callers of opted-in Services there.
        namespace.stand_in("activator-0", cluster.host_address());
        let credentials = ["--cluster-object-namespace", namespace.name()];
        let roles = Roles::of(&namespace)
            .for_pods()
            .autoscaler_args(&credentials)
            .start();
        Self { roles, namespace }
    }
}

impl Deref for Guest {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let roles = [
            &self.roles.activators,
            &self.roles.autoscalers,
            &self.roles.controllers,
        ];
        let logs: Vec<String> = roles.into_iter().flatten().map(Role::log).collect();
        if !std::thread::panicking() {
            let is_fault =
                |line: &&str| line.contains(r#""level":"ERROR""#) || line.contains("panicked at");
            let lines = logs.iter().flat_map(|log| log.lines());
            let faults: Vec<_> = lines.filter(is_fault).collect();
            assert!(faults.is_empty(), "{faults:#?}");
            return;
        }
        let name = self.namespace.name();
        let what = "so,httpso,interceptorroutes,deploy,sts,pods,svc";
        let get = ["-n", name, "get", "-o", "wide", what];
        let shown = self.namespace.cluster().try_kubectl(&get);
        eprintln!("--- {name}\n{}", shown.unwrap_or_default());
        for log in logs {
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!("--- a role\n{}", last.join("\n"));
        }
    }
}

/// The broker of this file's tests, which only processes of this machine can reach.
pub(crate) fn kafka(test: &str) -> Option<&'static Broker> {
    match broker::shared() {
        Ok(broker) => Some(broker),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("kubernetes::{test}"), reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A topic of a name that no other test uses.
pub(crate) fn topic(broker: &Broker, name: &str, partitions: i32) -> Topic {
    Topic::create(&broker.address(), name, partitions)
}

/// The image of the function in examples.
pub(crate) fn image(namespace: &Namespace) -> &'static str {
    namespace.cluster().image(Program::Function)
}
