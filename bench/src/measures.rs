//! The measures, each a scenario that adds its figures.

mod warm_hop;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::affinity::Place;
use crate::bench::{Bench, Csv, note};
use crate::figure::Figure;
use crate::loadgen::{self, Load, Report, Target};
use crate::options::Role;
use crate::subject::{Listening, origin};

/// Longer than anything that ends well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs what was asked for.
pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    bench.calibrate()?;
    let role = bench.options.role.clone();
    if !matches!(role, Role::Calibrate) {
        bench.build_subjects()?;
    }
    match role {
        Role::WarmHop => warm_hop::run(bench),
        Role::Calibrate => ceiling(bench),
        _ => Ok(()),
    }?;
    if !matches!(bench.options.role, Role::Calibrate) {
        bench.calibrate()?;
    }
    Ok(())
}

/// The generator against the origin with nobody in between: what it cannot exceed.
fn ceiling(bench: &mut Bench) -> Result<()> {
    let origin = Listening::start(&["origin"], &bench.cores, Place::Generator)?;
    let load = Load {
        address: origin.address,
        targets: vec![Target {
            host: "origin.localhost".to_owned(),
            path: "/?bytes=64".to_owned(),
            body: Some(origin::body(64)),
        }],
        connections: 32,
        preconnect: true,
        timeout: PATIENCE,
    };
    let duration = bench.size(Duration::from_secs(3), Duration::from_millis(300));
    let report = bench.block_on(loadgen::closed_loop(&load, duration))?;
    bench.figure(Figure::new(
        "calibrate/generator-ceiling/64B",
        "per s",
        report.per_second(),
        1,
    ));
    Ok(())
}
