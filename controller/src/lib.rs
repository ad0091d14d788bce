//! Declared objects of a cluster: projection to functions, status, webhooks, child objects.

pub mod alias;
pub mod children;
pub mod crds;
pub mod events;
pub mod finalizer;
pub mod follow;
pub mod knative;
pub mod knative_activator;
pub mod projection;
pub mod reconcile;
pub mod services;
pub mod status;
pub mod takeover;
pub mod webhook;
