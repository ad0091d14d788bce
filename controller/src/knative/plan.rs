//! What must be written so that the objects of a PodAutoscaler are as the engine asks.

use zeron_core::Timestamp;
use zeron_core::policy::KnativeScaling;
use zeron_core::status::FunctionStatus;
use zeron_frontend_knative::autoscaling::{
    Change, Child, Collection, Metric, MetricStatus, PodAutoscaler, PodAutoscalerStatus, Seen,
    ServerlessService, SksMode,
};

/// Activators in the path of a revision of which nothing is known yet.
const FIRST_ACTIVATORS: u32 = 2;

/// What is seen of a PodAutoscaler and of what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) autoscaler: &'a PodAutoscaler,
    pub(super) service: Option<&'a ServerlessService>,
    pub(super) metric: Option<&'a Metric>,
    pub(super) scaling: &'a KnativeScaling,
    /// What the engine says; `None`: nothing yet.
    pub(super) status: Option<&'a FunctionStatus>,
    pub(super) collection: &'a Collection,
    pub(super) now: Timestamp,
}

/// What must be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) service: Change<ServerlessService>,
    pub(super) metric: Change<Metric>,
    pub(super) status: Option<PodAutoscalerStatus>,
    pub(super) metric_status: Option<MetricStatus>,
}

impl View<'_> {
    pub(super) fn plan(&self) -> Plan {
        let metric = self.metric_change();
        let service = match metric {
            // The path stays as it is, too.
            Change::NotOwned => Change::Nothing,
            _ => self.service_change(),
        };
        let not_owned = match (&metric, &service) {
            (Change::NotOwned, _) => Some(Metric::KIND),
            (_, Change::NotOwned) => Some(ServerlessService::KIND),
            _ => None,
        };
        Plan {
            status: self.status(not_owned),
            metric_status: self.metric_status(&metric),
            service,
            metric,
        }
    }

    fn service_change(&self) -> Change<ServerlessService> {
        let ask = self.status.and_then(|status| status.path.as_ref());
        let (mode, activators) = match ask {
            Some(ask) => (ask.mode.into(), ask.activators),
            // What there is stays as it is until the engine has spoken.
            None if self.service.is_some_and(|s| is_owned(self.autoscaler, s)) => {
                return Change::Nothing;
            }
            None => (SksMode::Proxy, FIRST_ACTIVATORS),
        };
        let wanted = ServerlessService::wanted(self.autoscaler, mode, activators);
        Change::towards(self.autoscaler, self.service, wanted)
    }

    fn metric_change(&self) -> Change<Metric> {
        let private = self.service.map_or("", |s| &s.status.private_service_name);
        if private.is_empty() {
            return Change::Nothing;
        }
        let wanted = Metric::wanted(self.autoscaler, self.scaling, private);
        Change::towards(self.autoscaler, self.metric, wanted)
    }

    fn status(&self, not_owned: Option<&str>) -> Option<PodAutoscalerStatus> {
        let ask = self.status.and_then(|status| status.path.as_ref());
        if ask.is_none() && not_owned.is_none() {
            return None;
        }
        let next = self.autoscaler.status_now(&Seen {
            sks: self.service,
            not_owned,
            ask,
            ready: self.status.map_or(0, |status| status.ready),
            now: self.now,
        });
        Some(next).filter(|next| *next != self.autoscaler.status)
    }

    fn metric_status(&self, change: &Change<Metric>) -> Option<MetricStatus> {
        let metric = self.metric.filter(|_| *change == Change::Nothing)?;
        if !is_owned(self.autoscaler, metric) {
            return None;
        }
        let next = metric.status_now(self.collection, self.now);
        Some(next).filter(|next| *next != metric.status)
    }
}

/// Whether a child belongs to the PodAutoscaler of its name.
pub(super) fn is_owned<C: Child>(autoscaler: &PodAutoscaler, child: &C) -> bool {
    let uid = autoscaler.metadata.uid.as_deref();
    uid.is_some_and(|uid| child.metadata().is_controlled_by(uid))
}
