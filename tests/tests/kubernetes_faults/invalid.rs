//! Many objects that say nonsense, and one that does not.

use std::fmt::Write;

use zeron_tests::cluster::{Cluster, Namespace, Roles};

use super::declare::{DEPLOYMENT, http_function, until_served};

const SCALED: &str = "keda.sh/v1alpha1/ScaledObject";

/// How many, and how many threads declare them.
const COUNT: usize = 1_000;
const THREADS: usize = 5;

#[test]
fn a_thousand_invalid_objects_do_not_stop_a_valid_one() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_thousand_invalid_objects") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-invalid");
    let roles = Roles::of(&namespace).start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let namespace = &namespace;
            scope.spawn(move || declare(namespace, thread));
        }
    });
    http_function(&namespace, "valid", 0, 1);
    until_served(&roles, "valid.example");
    namespace.wait_replicas(DEPLOYMENT, "valid", 0);
    for number in [0, COUNT / 2, COUNT - 1] {
        let name = format!("invalid-{number}");
        namespace.wait_condition(SCALED, &name, "Ready", "False");
    }
    assert_eq!(roles.get("valid.example", "/").status, 200);
}

/// A trigger without what it needs, of a target that nobody has.
fn declare(namespace: &Namespace, thread: usize) {
    let mut documents = String::new();
    for number in (thread..COUNT).step_by(THREADS) {
        write!(
            documents,
            "---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: invalid-{number} }}
spec:
  scaleTargetRef: {{ name: nobody-{number} }}
  triggers: [{{ type: kafka, metadata: {{ lagThreshold: many }} }}]
"
        )
        .unwrap();
    }
    namespace.apply(&documents);
}
