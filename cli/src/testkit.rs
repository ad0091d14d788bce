//! Functions and a control plane for tests.

use std::sync::Arc;

use parking_lot::Mutex;
use zeron_core::roles::BoxFuture;
use zeron_core::status::{FunctionStatus, Phase};
use zeron_core::{Decision, FunctionId, ObjectRef, Timestamp};

use crate::control::{
    AppliedObject, ApplyAction, ApplyReport, ApplyRequest, ChangeError, ControlPlane, FunctionView,
    LogFile, ObjectName, Problem, Readiness, Severity, Shards,
};

pub(crate) fn object(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

/// A revision at zero, declared at second 1,000 + `generation`.
pub(crate) fn revision(service: &str, generation: u64, percent: u32) -> FunctionView {
    let id = FunctionId::new("default", "Revision", &format!("{service}-{generation:05}"));
    let owner = object("serving.knative.dev/v1", "Service", service);
    FunctionView {
        urls: vec![format!("http://{service}.default.localhost:8080/")],
        traffic_percent: Some(percent),
        ..view(id, owner, generation)
    }
}

/// A Deployment at zero without a route.
pub(crate) fn deployment(name: &str) -> FunctionView {
    let id = FunctionId::new("default", "Deployment", name);
    view(id, object("apps/v1", "Deployment", name), 0)
}

fn view(id: FunctionId, owner: ObjectRef, generation: u64) -> FunctionView {
    FunctionView {
        status: FunctionStatus {
            id,
            owner,
            phase: Phase::Cold,
            message: None,
            desired: 0,
            ready: 0,
            starting: 0,
            max: Some(10),
            in_flight: 0,
            queued: 0,
            triggers: Vec::new(),
            failure: None,
            since: Timestamp::from_secs(1_000 + generation),
            last_active: None,
            paused_at: None,
            held: Vec::new(),
            path: None,
        },
        urls: Vec::new(),
        traffic_percent: None,
        last_cold_start_ms: None,
        replicas: Vec::new(),
    }
}

/// A control plane that answers what it was given, and remembers what was asked of it.
#[derive(Debug, Default)]
pub(crate) struct FakeControl {
    pub(crate) views: Vec<FunctionView>,
    pub(crate) decisions: Vec<Arc<Decision>>,
    pub(crate) logs: Mutex<Vec<LogFile>>,
    pub(crate) applied: Mutex<Vec<ApplyRequest>>,
    pub(crate) deleted: Mutex<Vec<ObjectName>>,
    pub(crate) is_unready: bool,
    pub(crate) shards: Option<Shards>,
}

impl ControlPlane for FakeControl {
    fn list(&self) -> Vec<FunctionView> {
        self.views.clone()
    }

    fn shards(&self) -> Option<Shards> {
        self.shards.clone()
    }

    fn decisions(&self, _: &FunctionId) -> Vec<Arc<Decision>> {
        self.decisions.clone()
    }

    fn log_files(&self, _: &FunctionId) -> Vec<LogFile> {
        self.logs.lock().clone()
    }

    fn apply(&self, request: ApplyRequest) -> BoxFuture<'_, Result<ApplyReport, ChangeError>> {
        let is_bad = request.sources.iter().any(|s| s.text.contains("bad"));
        self.applied.lock().push(request);
        Box::pin(async move {
            if is_bad {
                return Err(ChangeError::Invalid(vec![problem()]));
            }
            let object = object("serving.knative.dev/v1", "Service", "hello");
            let objects = vec![AppliedObject {
                object,
                action: ApplyAction::Created,
            }];
            Ok(ApplyReport {
                objects,
                warnings: Vec::new(),
            })
        })
    }

    fn delete(&self, object: ObjectName) -> BoxFuture<'_, Result<(), ChangeError>> {
        let is_there = self
            .views
            .iter()
            .any(|v| v.status.owner.name == object.name);
        Box::pin(async move {
            if !is_there {
                return Err(ChangeError::NotFound(object));
            }
            self.deleted.lock().push(object);
            Ok(())
        })
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn readiness(&self) -> Readiness {
        let reasons = if self.is_unready {
            vec!["draining".to_owned()]
        } else {
            Vec::new()
        };
        Readiness {
            is_ready: !self.is_unready,
            reasons,
        }
    }
}

pub(crate) fn problem() -> Problem {
    Problem {
        severity: Severity::Error,
        file: Some("a.yaml".to_owned()),
        line: Some(3),
        column: Some(5),
        object: Some("Service default/hello".to_owned()),
        field: Some("spec.template".to_owned()),
        message: "missing".to_owned(),
    }
}
