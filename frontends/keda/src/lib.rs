//! keda.sh, keda.k8s.io and http.keda.sh kinds, translated to core types.
//!
//! Kinds are read one by one ([`ScaledObject`], [`ScaledJob`], [`TriggerAuthentication`], [`HttpScaledObject`],
//! [`InterceptorRoute`]); what they say about each other is joined by [`ScaledObject::bind`] and
//! [`HttpRouting::routes`] once all are known. Source of fields and rules: kedacore/keda and
//! kedacore/http-add-on.

mod authentication;
mod behavior;
pub mod crd;
mod formula;
mod http_scaled_object;
mod interceptor_route;
mod ours;
mod pause;
mod response;
mod routing;
mod rule;
mod scaled_job;
mod scaled_object;
mod target;
mod trigger;
mod vault;

pub use authentication::{Authentications, TriggerAuthentication};
pub use formula::FormulaError;
pub use http_scaled_object::HttpScaledObject;
pub use interceptor_route::InterceptorRoute;
pub use ours::Extras;
pub use routing::{HttpRouting, ServiceRef};
pub use scaled_job::{JobTemplate, ScaledJob};
pub use scaled_object::{Bindings, Environment, HttpObject, ScaledObject};
pub use target::{Dialect, ScaleTarget};
pub use trigger::{AuthenticationRef, FUNCTION, UNRESOLVED};
