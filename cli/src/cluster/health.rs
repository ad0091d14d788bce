//! Whether a process of a cluster is ready: what it waits for, by name.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::admin::Health;
use crate::control::Readiness;

/// What must have happened before a process is ready, and whether it is about to end.
///
/// Once ready it stays so until it ends: an API server that goes away later changes nothing.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Mutex<Vec<&'static str>>>);

impl Gate {
    /// Not ready before all of these are done.
    pub(super) fn new(waits: &[&'static str]) -> Self {
        Self(Arc::new(Mutex::new(waits.to_vec())))
    }

    /// This is done.
    pub(super) fn done(&self, what: &str) {
        self.0.lock().retain(|waiting| *waiting != what);
    }

    /// Not ready any more, for this reason.
    pub(super) fn close(&self, why: &'static str) {
        self.0.lock().push(why);
    }
}

impl Health for Gate {
    fn readiness(&self) -> Readiness {
        let reasons: Vec<_> = self.0.lock().iter().map(|it| (*it).to_owned()).collect();
        Readiness {
            is_ready: reasons.is_empty(),
            reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_is_done_and_until_it_ends() {
        let gate = Gate::new(&["pods", "objects"]);
        gate.done("pods");
        assert_eq!(gate.readiness().reasons, ["objects"]);
        gate.done("objects");
        assert!(gate.readiness().is_ready);
        gate.close("ending");
        assert!(!gate.readiness().is_ready);
    }
}
