//! Says how long each step of a run took.

use std::time::Instant;

/// A clock that is read after each step.
#[derive(Debug)]
pub(crate) struct Steps {
    whole: Instant,
    last: Instant,
}

impl Steps {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self {
            whole: now,
            last: now,
        }
    }

    /// Says how long `what` took: the time since the step before.
    pub(crate) fn done(&mut self, what: &str) {
        println!("== {what}: {:.1} s", self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
    }

    /// Says how long everything took.
    pub(crate) fn end(&self) {
        println!("== in all: {:.1} s", self.whole.elapsed().as_secs_f64());
    }
}
