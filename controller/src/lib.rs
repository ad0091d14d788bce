//! Declared objects of a cluster: projection to functions, status, webhooks, child objects.

pub mod crds;
pub mod follow;
pub mod projection;
pub mod status;
pub mod takeover;
