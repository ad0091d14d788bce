//! What the projection says: functions, routes, and how each object fares.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use zeron_backend_kubernetes::ScaleTarget;
use zeron_backend_kubernetes::jobs::JobObject;
use zeron_core::{Function, FunctionId, RouteSnapshot, Timestamp};

use super::key::ObjectKey;

/// What changed since the last time. `removed` comes before `applied`: an object that was deleted
/// and created again is in both.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Functions that no object declares any more, or whose target is gone or another one.
    pub removed: Vec<FunctionId>,
    /// Functions that are new, or of which anything changed.
    pub applied: Vec<Declared>,
    /// All routes and functions, when anything changed that callers could notice; how a function
    /// scales may be older there than in `applied`.
    pub routes: Option<Arc<RouteSnapshot>>,
    /// Objects whose state changed.
    pub reports: Vec<ObjectReport>,
    /// Objects that are gone.
    pub forgotten: Vec<ObjectKey>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.applied.is_empty()
            && self.routes.is_none()
            && self.reports.is_empty()
            && self.forgotten.is_empty()
    }

    /// Both as one: of each function, object and of the routes the newest.
    pub fn followed_by(mut self, newer: Self) -> Self {
        let applied = newer.applied.iter().map(|declared| &declared.function.id);
        let functions: HashSet<&FunctionId> = newer.removed.iter().chain(applied).collect();
        let reported = newer.reports.iter().map(|report| &report.object);
        let objects: HashSet<&ObjectKey> = newer.forgotten.iter().chain(reported).collect();
        self.applied
            .retain(|declared| !functions.contains(&declared.function.id));
        self.reports
            .retain(|report| !objects.contains(&report.object));
        self.removed.extend(newer.removed);
        self.applied.extend(newer.applied);
        self.reports.extend(newer.reports);
        self.forgotten.extend(newer.forgotten);
        self.routes = newer.routes.or(self.routes);
        self
    }
}

/// A function with what holds its replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The function. The same allocation as before when nothing of it changed.
    pub function: Arc<Function>,
    /// What its replicas are written to.
    pub target: Arc<ScaleTarget>,
    /// The objects that scale it or lead to it.
    pub objects: Vec<ObjectKey>,
    /// The newest `lastActiveTime` of their statuses.
    pub last_active: Option<Timestamp>,
    /// Whether a request may wake it from zero.
    pub is_wake_allowed: bool,
    /// How many replicas a wake-up asks for.
    pub wake_count: u32,
    /// The Service through which its replicas are reached where a mesh refuses their own addresses.
    pub service: Option<SocketAddr>,
    /// What its objects say of such a mesh.
    pub mesh: Option<MeshMode>,
    /// What its Jobs are made of, where it has some instead of replicas.
    pub job: Option<Arc<JobObject>>,
}

/// Whether replicas are reached through their Service, because a mesh refuses their own addresses.
/// The words are those of Knative's `mesh-compatibility-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeshMode {
    /// They are not.
    Disabled,
    /// Where their own addresses refuse requests and the Service's does not.
    Auto,
    /// They are.
    Enabled,
}

impl MeshMode {
    /// Reads `disabled`, `auto` or `enabled`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "disabled" => Some(Self::Disabled),
            "auto" => Some(Self::Auto),
            "enabled" => Some(Self::Enabled),
            _ => None,
        }
    }
}

/// How one object fares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectReport {
    /// Which object.
    pub object: ObjectKey,
    /// Its UID.
    pub uid: Arc<str>,
    /// The `metadata.generation` that this is about.
    pub generation: i64,
    /// The function that it concerns, where there is one.
    pub function: Option<FunctionId>,
    /// Whether it is in force.
    pub outcome: Outcome,
    /// Parts of it that cannot work: what they refer to is not there. Their triggers are unknown.
    pub partial: Vec<String>,
    /// What has no effect here.
    pub warnings: Vec<String>,
    /// Secrets that it needs and that may not be read.
    pub denied: Vec<DeniedSecret>,
    /// Of a ScaledObject: the replicas that its target had before it was scaled for the first time.
    pub original_replicas: Option<u32>,
    /// The URL of its Service, where that leads to activators.
    pub address: Option<String>,
    /// Of a TriggerAuthentication: the ScaledObjects and ScaledJobs with triggers that name it.
    pub used_by: Vec<ObjectKey>,
}

/// Whether an object is in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is, but for what `partial` says.
    Ok,
    /// It breaks rules.
    Invalid {
        /// Which, each with its field.
        problems: Vec<String>,
        /// Its last version that broke none is in force.
        is_previous_in_force: bool,
    },
    /// What it scales or leads to is not there.
    TargetMissing {
        /// What is missing, in words.
        message: String,
    },
    /// Somebody else has what it wants.
    Conflict(Conflict),
    /// It is not ours (`--manage`, or handed back) and has no effect.
    NotManaged,
    /// Triggers of these types are not built in: it is left alone.
    NotBuiltIn {
        /// The types.
        types: Vec<String>,
    },
}

/// Who has what an object wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// A host belongs to an older object, or one of another namespace. Its other hosts work.
    Host {
        /// The host, as a rule writes it.
        host: String,
        /// Whose it is.
        owner: ObjectKey,
    },
    /// It has no host, or `*`, and its namespace may not take every request.
    CatchAll,
    /// A HorizontalPodAutoscaler of somebody else writes the target's replicas: we do not.
    ForeignHpa {
        /// Its name.
        name: String,
    },
    /// KEDA left its HorizontalPodAutoscaler, which writes the target's replicas: we do not.
    KedaHpa {
        /// Its name.
        name: String,
    },
    /// An object that is not ours scales the same target: we do not write its replicas.
    Unmanaged {
        /// That object.
        owner: ObjectKey,
    },
    /// An older object of its kind scales the same target.
    Older {
        /// That object.
        owner: ObjectKey,
    },
    /// An InterceptorRoute of its name takes the place of its routes.
    Replaced {
        /// The InterceptorRoute.
        owner: ObjectKey,
    },
}

/// A Secret that may not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeniedSecret {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What would allow it.
    pub hint: String,
}
