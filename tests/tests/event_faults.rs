//! Every fault of every event source, at zero and at N: nothing goes down on unknown data, nothing healthy waits for it.
//!
//! All sources are watched by one `zeron up`, each with two functions: `many`, whose source has work for three, and
//! `none`, whose source has none. A fault comes upon all sources at once; a second, healthy trigger of each function
//! must go on being followed meanwhile.
#![allow(clippy::unwrap_used)]

#[path = "event_faults/co_trigger.rs"]
mod co_trigger;
#[path = "event_faults/matrix.rs"]
mod matrix;
#[path = "event_faults/secrets.rs"]
mod secrets;
#[path = "event_faults/source.rs"]
mod source;
#[path = "event_faults/sources/mod.rs"]
mod sources;

use std::time::Duration;

use matrix::Matrix;
use source::{Fault, Poison};
use zeron_tests::servers::proxy::Mode;

/// One after the other: they share the servers, which take seconds to start.
#[test]
fn no_fault_of_a_source_scales_down_or_delays_others() {
    let mut matrix = Matrix::up("event_faults::no_fault_of_a_source");
    for fault in [
        Fault::Way(Mode::Down),
        Fault::Way(Mode::Hang),
        Fault::Way(Mode::Garbage),
        Fault::Way(Mode::Slow(Duration::from_millis(300))),
        Fault::Flapping,
        Fault::WrongCredentials,
        Fault::Poison(Poison::NotANumber),
        Fault::Poison(Poison::Infinite),
        Fault::Poison(Poison::Negative),
        Fault::Removed,
        Fault::Killed,
    ] {
        matrix.holds(fault);
    }
    matrix.empty_is_zero_where_the_original_says_so();
}
