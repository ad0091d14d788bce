//! Services with the HTTP add-on's names and ports that lead to our activators.
//!
//! Ingresses of an HTTP add-on's user name `keda-add-ons-http-interceptor-proxy:8080`; they go on
//! working without an edit. A Service of such a name that somebody else owns is never touched, and
//! only Services made here are removed. One that was taken over (its selector kept in
//! `zeron.dev/selector`) gets our EndpointSlices and stays its owner's.
//!
//! `keda-add-ons-http-external-scaler:9090` is not among them: triggers that name it are our own HTTP
//! trigger and are never dialled, and nothing of ours answers its protocol yet.

mod names;
mod reconcile;
mod standing;
#[cfg(test)]
mod tests;

pub use names::{ALIASES, Alias, AliasPort, Lead};
pub use reconcile::{AliasError, AliasOptions, run};
pub use standing::{LABEL, Standing};
