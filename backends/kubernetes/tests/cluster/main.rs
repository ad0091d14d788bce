//! Against a real cluster: `ZERON_TEST_KUBECONFIG`.
#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

mod buckets;
mod failures;
mod measuring;
mod rig;
mod roles;
mod scaling;
mod slices;
mod support;
