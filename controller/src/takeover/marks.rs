//! What a take-over writes on objects that are not ours, so that it can be resumed and undone.

/// On objects we took over: whose they were ([`super::Origin`] in words).
pub const ADOPTED_FROM: &str = "zeron.dev/adopted-from";

/// On objects that were given back. [`HANDED_BACK`]: not ours in any way. [`HANDING_BACK`]: we
/// still route, hold and count, and write no replica count any more.
pub const GIVEN_BACK: &str = "zeron.dev/handed-back";

/// Value of [`GIVEN_BACK`] once somebody else has the object.
pub const HANDED_BACK: &str = "true";

/// Value of [`GIVEN_BACK`] while it is on its way.
pub const HANDING_BACK: &str = "pending";

/// Label of objects that are ours beside a live KEDA.
pub const MANAGE_LABEL: &str = "zeron.dev/manage";

/// On Deployments of KEDA that were scaled to 0: how many replicas they had.
pub const REPLICAS_BEFORE: &str = "zeron.dev/replicas-before";

/// On a Service whose selector was taken away: that selector, as JSON.
pub const SELECTOR_BEFORE: &str = "zeron.dev/selector";

/// Label of an HPA and of a ScaledObject that KEDA made or saw: the ScaledObject's name.
pub const KEDA_NAME_LABEL: &str = "scaledobject.keda.sh/name";

/// The lease of KEDA's operator.
pub const KEDA_LEASE: &str = "operator.keda.sh";

/// The lease of the HTTP add-on's operator.
pub const HTTP_ADD_ON_LEASE: &str = "http-add-on.keda.sh";
