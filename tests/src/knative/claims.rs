//! Claims whose time is waiting, on revisions of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use super::Knative;

/// A claim and its name.
pub type Claim = (&'static str, fn(&Knative));

/// Functions as [`Claim`]s, under their names.
#[macro_export]
macro_rules! claims {
    ($($claim:ident),+ $(,)?) => {
        &[$((stringify!($claim), $claim as fn(&$crate::knative::Knative))),+]
    };
}

/// Tries claims at once, each on a thread of its own, and says how long each took. All of them come to their end.
///
/// # Panics
/// When one of them did, with the names of all that did.
pub fn side_by_side(knative: &Knative, claims: &[Claim]) {
    let failed: Vec<_> = thread::scope(|scope| {
        let begun: Vec<_> = claims
            .iter()
            .map(|&(name, claim)| {
                let named = thread::Builder::new().name(name.to_owned());
                let tried = move || {
                    let begin = Instant::now();
                    let outcome = catch_unwind(AssertUnwindSafe(|| claim(knative)));
                    let word = if outcome.is_ok() { "holds" } else { "FAILED" };
                    println!("{name} {word}, {:.1?}", begin.elapsed());
                    outcome.is_err().then_some(name)
                };
                named
                    .spawn_scoped(scope, tried)
                    .expect("threads are to be had")
            })
            .collect();
        let ended = begun.into_iter().map(|claim| claim.join());
        ended
            .filter_map(|claim| claim.expect("it catches its own"))
            .collect()
    });
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
