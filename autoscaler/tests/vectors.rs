//! Knative Serving's own answers, recorded: windows, decider, and both on one clock.
//!
//! Reads the folder that `ZERON_VECTORS` names, by default `tests/vectors` of this crate.
#![allow(clippy::unwrap_used)]

#[path = "recorded/decider.rs"]
mod decider;
#[path = "recorded/one_clock.rs"]
mod one_clock;
#[path = "recorded/windows.rs"]
mod windows;

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use zeron_core::Timestamp;
use zeron_core::policy::Aggregation;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let folder = std::env::var_os("ZERON_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"),
        PathBuf::from,
    );
    let path = folder.join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[derive(Clone, Copy)]
struct Base(u64);

impl Base {
    fn at(self, t_ms: u64) -> Timestamp {
        Timestamp::from_secs(self.0) + Duration::from_millis(t_ms)
    }
}

fn aggregation(name: &str) -> Aggregation {
    match name {
        "weighted-exponential" | "weightedExponential" => Aggregation::WeightedExponential,
        _ => Aggregation::Linear,
    }
}

fn assert_average(got: f64, want: f64, aggregation: Aggregation, about: &str) {
    match aggregation {
        Aggregation::Linear => assert_eq!(got, want, "{about}"),
        Aggregation::WeightedExponential => {
            let tolerance = 1e-12 * want.abs();
            assert!((got - want).abs() <= tolerance, "{about}: {got} != {want}");
        }
    }
}
