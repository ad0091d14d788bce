//! Warm hop: what a request costs on its way through a proxy that has nothing to decide, against a bare one.

use anyhow::Result;

use super::hop::{self, Aims, Comparison, Pace, Way};
use super::origin_target;
use crate::affinity::Place;
use crate::bench::{Bench, Csv, this_program};
use crate::subject::Listening;
use crate::subject::manifest::Service;

const MEASURE: &str = "warm-hop";
const SIZES: [usize; 2] = [64, 4096];
const RATES: [u32; 3] = [1_000, 3_000, 6_000];

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let direct = Listening::start(&["origin"], &bench.cores, Place::Generator)?;
    let upstream = direct.address.to_string();
    let floor = Listening::start(
        &["floor", "--upstream", &upstream],
        &bench.cores,
        Place::Proxy,
    )?;
    let core = bench.cores.generator().to_string();
    let command = [
        this_program()?,
        "origin".to_owned(),
        "--core".to_owned(),
        core,
    ];
    let service = Service::new("warm", command.to_vec())
        .scaling("min-scale", "1")
        .scaling("max-scale", "1");
    let zeron = bench.zeron_at(MEASURE, &[service.document()], Place::Proxy, Some(1))?;
    let mut csv = Csv::create(MEASURE, "rounds", hop::COLUMNS)?;
    for size in SIZES {
        let way = |name, address, pid| Way {
            name,
            address,
            target: origin_target(service.host(), &format!("/?bytes={size}"), size),
            pid,
        };
        let comparison = Comparison {
            measure: MEASURE,
            size,
            ways: [
                way("direct", direct.address, None),
                way("floor", floor.address, Some(floor.process.pid())),
                way("zeron", zeron.address, Some(zeron.process.pid())),
            ],
            aims: |_| Aims {
                cpu: Some(1.4),
                added_p50: Some(1.3),
                added_p99: Some(1.5),
            },
        };
        for rate in RATES {
            comparison.run(bench, Pace::PerSecond(rate), &mut csv)?;
        }
        comparison.run(bench, Pace::Saturation, &mut csv)?;
    }
    csv.close()
}
