//! Which core runs what: the generator and origins on one, the proxy under test on another.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where a process is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the core of the generator and the origins.
    Generator,
    /// On the core of the proxy under test, alone.
    Proxy,
    /// Wherever the kernel likes.
    Anywhere,
}

/// The cores that this process may use, and who gets which.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    generator: usize,
    proxy: usize,
}

impl Cores {
    /// Reads the cores that this process may use.
    pub(crate) fn detect() -> Result<Self> {
        let all = sched_getaffinity(None).context("cannot read the affinity mask")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let generator = usable.next().context("no usable core")?;
        let proxy = usable.next().unwrap_or(generator);
        Ok(Self {
            all,
            generator,
            proxy,
        })
    }

    /// Whether the proxy has a core of its own. If not, latencies mean little.
    pub(crate) fn are_separate(&self) -> bool {
        self.generator != self.proxy
    }

    /// The core number of the generator and the origins.
    pub(crate) fn generator(&self) -> usize {
        self.generator
    }

    /// Moves the calling thread. Threads and processes that it starts inherit the place, so a child is pinned
    /// from its first instruction when its parent moves there, spawns, and moves back.
    pub(crate) fn enter(&self, place: Place) -> Result<Before> {
        let before = sched_getaffinity(None)?;
        let set = match place {
            Place::Generator => only(self.generator),
            Place::Proxy => only(self.proxy),
            Place::Anywhere => self.all,
        };
        // Narrowing may move a running thread, which takes longer than all the rest: not without need.
        if set != before {
            sched_setaffinity(None, &set).with_context(|| format!("cannot move to {place:?}"))?;
        }
        Ok(Before { before, set })
    }
}

/// Where a thread was before it moved.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    before: CpuSet,
    set: CpuSet,
}

impl Before {
    /// Moves the calling thread back.
    pub(crate) fn restore(self) -> Result<()> {
        if self.before != self.set {
            sched_setaffinity(None, &self.before).context("cannot move back")?;
        }
        Ok(())
    }
}

/// Pins the calling thread to `core`.
pub(crate) fn pin(core: usize) -> Result<()> {
    sched_setaffinity(None, &only(core)).with_context(|| format!("cannot move to core {core}"))
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}
