//! The kinds of keda.sh and http.keda.sh as CustomResourceDefinitions describe them.
//!
//! The types say field for field what the originals' schemas say: types, what is required, enums,
//! bounds, defaults, CEL rules. The readers beside this module decide what a manifest means; these
//! types only make schemas, so that `kubectl apply` is told early. Source of the facts:
//! kedacore/keda 2.21 and kedacore/http-add-on 0.15, `config/crd/bases`.

mod authentication;
mod definition;
mod http_scaled_object;
mod interceptor_route;
mod providers;
mod scaled_job;
mod scaled_object;
mod schema;
mod status;
mod trigger;

pub use authentication::{TriggerAuthenticationSpec, TriggerAuthenticationStatus};
pub use definition::{Column, Definition, definitions};
pub use http_scaled_object::{HttpScaledObjectSpec, HttpScaledObjectStatus};
pub use interceptor_route::{InterceptorRouteSpec, InterceptorRouteStatus};
pub use scaled_job::{ScaledJobSpec, ScaledJobStatus};
pub use scaled_object::{ScaledObjectSpec, ScaledObjectStatus};
pub use status::{Address, Condition, Health, ScaleTargetKind, StandardCondition, TriggerActivity};
pub use trigger::{AuthenticationReference, Trigger};
