//! From the start of a process until it is ready, with 5,000 functions declared.

use anyhow::Result;

use super::roles::{Role, start};
use super::{Cluster, MEASURE, Namespace, idle};
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::stats::{bootstrap, median};

pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    let functions = bench.size(5_000, 50);
    let namespace = Namespace::create(&cluster.api, "start")?;
    idle::declare(&namespace, cluster, 0..functions)?;
    measure(bench, cluster, &namespace, functions)?;
    namespace.clear()
}

/// Starts each role again and again with the `functions` of `namespace`.
pub(super) fn measure(
    bench: &mut Bench,
    cluster: &Cluster,
    namespace: &Namespace,
    functions: usize,
) -> Result<()> {
    let rounds = bench.rounds(10, 2);
    let mut csv = Csv::create(MEASURE, "start-up", "round,role,ready_after_ms")?;
    let roles = [Role::Autoscaler, Role::Activator];
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (role, seconds) in roles.iter().zip(&mut seconds) {
            let running = start(bench, *role, &cluster.kubeconfig, namespace, None)?;
            csv.row(&[&round, &role.name(), &running.ready_after.as_millis()])?;
            seconds.push(running.ready_after.as_secs_f64());
            running.process.kill();
        }
    }
    for (role, seconds) in roles.iter().zip(&seconds) {
        let figure = Figure::new(
            format!("{MEASURE}/start-up/{functions}/{}", role.name()),
            "s",
            median(seconds),
            seconds.len(),
        );
        bench.figure(
            figure
                .with_spread(bootstrap(seconds, 0.5))
                .with_aim(Aim::AtMost(2.0)),
        );
    }
    csv.close()
}
