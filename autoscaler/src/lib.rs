//! Decides how many replicas a function needs: pure decisions, the engine loop round them, a history of reasons.
//!
//! Modules in the order in which data meets them: [`window`]s and the [`collector`] take in load;
//! [`kpa`], [`behavior`], [`metric`] and [`formula`] make a count of each input; [`decide()`] joins
//! them (`jobs`: where Jobs are created instead of replicas); the [`engine`] acts on it. Where nobody tells the load by itself, [`scrape`] asks for it.

pub mod behavior;
pub mod collector;
mod cooldown;
pub mod decide;
pub mod engine;
pub mod formula;
mod group;
mod http;
mod jobs;
mod join;
mod knative;
pub mod kpa;
mod kpa_zero;
pub mod metric;
pub mod observation;
mod raise;
pub mod scrape;
mod serverless;
pub mod simulate;
mod sliding;
pub mod state;
#[cfg(test)]
mod testkit;
pub mod window;

pub use decide::decide;
pub use engine::{
    Clock, Engine, EngineConfig, EngineHandle, Found, MonotonicClock, RequestWatch, Requests,
};
pub use observation::{Load, Observation};
pub use scrape::{Scraper, ScraperHandle};
pub use simulate::{SimulationConfig, SimulationReport, simulate};
pub use state::{DecisionState, Start, TriggerKey};
