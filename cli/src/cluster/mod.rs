//! The processes of a cluster: `zeron activator`, `zeron autoscaler` and `zeron controller`.
//!
//! Each is one file, its whole life from top to bottom. All three read the same declared objects
//! through the same projection (`zeron-controller`); `ownership` and `share` say which functions an
//! autoscaler decides for, `status` keeps their objects' status.

mod activator;
pub(crate) mod args;
mod autoscaler;
mod control;
mod controller;
mod discover;
mod health;
mod news;
mod ownership;
mod reports;
mod share;
mod start;
mod status;

pub(crate) use activator::run as activator;
pub(crate) use autoscaler::run as autoscaler;
pub(crate) use controller::run as controller;

use discover::Component;
