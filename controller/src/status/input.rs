//! What a status is made from.

use zeron_backend_kubernetes::ScaleTarget;
use zeron_core::Timestamp;
use zeron_core::status::FunctionStatus;

use crate::projection::ObjectReport;

/// Everything known of one object.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// How it fares.
    pub report: &'a ObjectReport,
    /// What it scales, where that is known.
    pub target: Option<&'a ScaleTarget>,
    /// The functions that it concerns, as the engine sees them.
    pub functions: &'a [FunctionStatus],
    /// Pods are reached through their Service because a mesh refuses their addresses.
    pub is_through_service: bool,
    /// Now.
    pub now: Timestamp,
}
