//! All triggers of the measure, spread over sources, of which some are to fail.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::proxy::{FaultProxy, Mode};

use super::kinds::{self, Kind, Thing};
use crate::bench::note;

/// The first sources of a kind: the one that dies and the one that hangs.
const FAILING: usize = 2;
/// One of so many triggers dies, and one of so many hangs.
const ONE_OF: usize = 100;
/// One of so many functions has work, and the first one of each source.
const BUSY_ONE_OF: usize = 100;
/// The same behind sources that fail.
const FAILING_BUSY_ONE_OF: usize = 2;

/// What becomes of a trigger's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It answers all the time.
    Healthy,
    /// It dies or hangs.
    Fails,
}

/// One trigger, of the function of its name.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) metadata: Value,
    pub(super) is_busy: bool,
    pub(super) fate: Fate,
}

/// The triggers, and the servers that they read.
pub(super) struct Fleet {
    triggers: Vec<Trigger>,
    /// Each with what is to become of it.
    ways: Vec<(FaultProxy, Mode)>,
    sources: usize,
    _kinds: Vec<Box<dyn Kind>>,
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let busy = self.triggers.iter().filter(|it| it.is_busy).count();
        write!(
            f,
            "{} triggers of {} sources, {busy} with work; {} triggers are to fail with {} sources",
            self.triggers.len(),
            self.sources,
            self.failing(),
            self.ways.len()
        )
    }
}

impl Fleet {
    /// Starts servers for about `count` triggers, and puts the work into them.
    pub(super) fn start(count: usize, is_full: bool) -> Result<Self> {
        let mut fleet = Self {
            triggers: Vec::with_capacity(count),
            ways: Vec::new(),
            sources: 0,
            _kinds: Vec::new(),
        };
        for (percent, start) in kinds::ALL {
            match start(is_full) {
                Ok(kind) => fleet.add(kind, count * percent / 100)?,
                Err(Unavailable::Skip(reason)) => note(format_args!("SKIPPED: {reason}")),
                Err(Unavailable::Failed(error)) => return Err(error),
            }
        }
        anyhow::ensure!(!fleet.triggers.is_empty(), "no source can run here");
        Ok(fleet)
    }

    /// Spreads `count` triggers of a kind over its sources.
    fn add(&mut self, mut kind: Box<dyn Kind>, count: usize) -> Result<()> {
        let sources = kind.sources();
        let can_fail = sources > FAILING;
        for (source, things) in spread(&*kind, count, can_fail).iter().enumerate() {
            let address = match [Mode::Down, Mode::Hang].get(source) {
                Some(mode) if can_fail => {
                    let server = kind.address(source).context("a server that may fail")?;
                    let way = FaultProxy::before(server);
                    let address = way.address();
                    self.ways.push((way, *mode));
                    Some(address)
                }
                _ => kind.address(source),
            };
            kind.fill(source, things)?;
            let is_failing = can_fail && source < FAILING;
            for thing in things {
                self.triggers.push(Trigger {
                    name: thing.name.clone(),
                    kind: kind.kind(),
                    metadata: kind.metadata(source, address, thing),
                    is_busy: thing.is_busy,
                    fate: if is_failing {
                        Fate::Fails
                    } else {
                        Fate::Healthy
                    },
                });
            }
        }
        self.sources += sources;
        self._kinds.push(kind);
        Ok(())
    }

    pub(super) fn triggers(&self) -> &[Trigger] {
        &self.triggers
    }

    /// Triggers whose source is to fail.
    pub(super) fn failing(&self) -> usize {
        let fails = |it: &&Trigger| it.fate == Fate::Fails;
        self.triggers.iter().filter(fails).count()
    }

    /// One way of each kind goes down, one hangs.
    pub(super) fn strike(&self) {
        self.ways.iter().for_each(|(way, mode)| way.set(*mode));
    }

    /// All ways are open again.
    pub(super) fn heal(&self) {
        self.ways.iter().for_each(|(way, _)| way.set(Mode::Pass));
    }
}

/// The things of each source of a kind: few behind the sources that fail, the others one after the other.
fn spread(kind: &dyn Kind, count: usize, can_fail: bool) -> Vec<Vec<Thing>> {
    let sources = kind.sources();
    let failing_each = (count / ONE_OF).max(FAILING);
    let mut things: Vec<Vec<Thing>> = (0..sources).map(|_| Vec::new()).collect();
    for index in 0..count {
        let (source, busy_one_of) = match index / failing_each {
            failing if can_fail && failing < FAILING => (failing, FAILING_BUSY_ONE_OF),
            _ if can_fail => (FAILING + index % (sources - FAILING), BUSY_ONE_OF),
            _ => (index % sources, BUSY_ONE_OF),
        };
        let name = format!("{}-{source:03}-{index:05}", kind.name());
        let is_busy = things[source].is_empty() || index % busy_one_of == 0;
        things[source].push(Thing { name, is_busy });
    }
    things
}
