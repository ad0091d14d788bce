//! What a function, route, trigger, endpoint, metric value and decision are.
//!
//! No I/O, no runtime, no clock of its own. Modules in the order in which data meets them:
//! a front end fills [`function`], [`workload`], [`policy`] and [`route`]; a back end publishes
//! [`endpoint`]s and measures [`usage`]; the data plane reports [`stat`]s; scalers read [`metric`]s; the engine writes
//! [`decision`]s, which [`invariants`] hold for; [`status`] is what people look at.

mod chain;
pub mod decision;
pub mod endpoint;
pub mod formula;
pub mod function;
pub mod id;
pub mod invariants;
pub mod job;
pub mod metric;
pub mod ownership;
pub mod path;
pub mod policy;
pub mod quantity;
pub mod roles;
pub mod route;
pub mod stat;
pub mod status;
pub mod time;
pub mod usage;
pub mod workload;

pub use chain::Chain;
pub use decision::Decision;
pub use endpoint::{Endpoint, EndpointId, EndpointSnapshot, Share, StartFailure};
pub use function::Function;
pub use id::{FunctionId, ObjectRef};
pub use job::{JobCounts, JobScaling};
pub use metric::MetricValue;
pub use ownership::{BucketSet, Holder, Owner, Ownership};
pub use policy::ScalePolicy;
pub use roles::{Backend, EndpointSink, Scaler, ScalerRegistry};
pub use route::{Route, RouteSnapshot};
pub use stat::{Sample, Stat};
pub use time::Timestamp;
pub use workload::Workload;
