//! Windows of time (`cron` triggers): replicas while one is open.
//!
//! A window is open where its end comes before its next start. Everything is a function of the parameters and
//! the time: an evaluation costs no I/O. One timer for all triggers tells when a window opens, so that
//! its replicas are there with the second and not with the next poll.
//!
//! Schedules are KEDA's (robfig/cron): exactly five fields; a time that the clock skips does not happen that
//! day, one that it shows twice happens twice. Differences to KEDA:
//! - A schedule that never happens (30 February) is refused; there it leaves the window closed for ever.
//! - The time zone `Local` is refused: it is that of whichever machine decides.

mod client;
mod schedule;
mod table;
mod trigger;

use std::sync::Arc;

use jiff::Timestamp;
use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use client::CronClient;
use trigger::CronTrigger;

/// The clock as a source: one client for all its triggers.
#[derive(Debug, Default)]
pub(crate) struct Cron {
    sources: Sources<(), CronClient>,
}

impl SourceType for Cron {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "cron",
            about: "a number of replicas between two times of a wall clock",
            parameters: table::CRON,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        CronTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = CronTrigger::parse(trigger);
        let parsed = parsed.ok_or_else(|| configuration(&problems))?;
        let make = || CronClient::new(Arc::new(Timestamp::now));
        Ok(self.sources.bind(&(), "cron", make, parsed))
    }
}
