//! The two ends of a link within one process.

use tokio::sync::mpsc;

use crate::message::{ToActivator, ToAutoscaler};

/// Messages that may wait in either direction; a full link drops stats and keeps the rest waiting.
pub const CAPACITY: usize = 16_384;

/// The activator's end.
#[derive(Debug)]
pub struct ActivatorLink {
    /// To the autoscaler.
    pub sender: mpsc::Sender<ToAutoscaler>,
    /// From the autoscaler.
    pub receiver: mpsc::Receiver<ToActivator>,
}

/// The autoscaler's end.
#[derive(Debug)]
pub struct AutoscalerLink {
    /// To the activator.
    pub sender: mpsc::Sender<ToActivator>,
    /// From the activator.
    pub receiver: mpsc::Receiver<ToAutoscaler>,
}

/// Connects an activator and an autoscaler of the same process.
pub fn link() -> (ActivatorLink, AutoscalerLink) {
    let (up, from_activator) = mpsc::channel(CAPACITY);
    let (down, from_autoscaler) = mpsc::channel(CAPACITY);
    (
        ActivatorLink {
            sender: up,
            receiver: from_autoscaler,
        },
        AutoscalerLink {
            sender: down,
            receiver: from_activator,
        },
    )
}
