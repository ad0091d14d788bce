//! What dashboards of older versions of Knative's autoscaler read (OpenCensus, before 1.19); the
//! engine itself has the names of newer ones.
//!
//! Source: knative/serving v0.42 `pkg/autoscaler/scaling/metrics.go`, `pkg/reconciler/autoscaling/kpa`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use zeron_autoscaler::EngineHandle;
use zeron_backend_kubernetes::Pods;
use zeron_core::path::PathAsk;
use zeron_core::status::FunctionStatus;

/// A revision at the moment of a scrape.
struct Revision {
    status: FunctionStatus,
    ask: PathAsk,
    terminating: usize,
}

/// One gauge; `None`: not said of this revision.
struct Figure {
    name: &'static str,
    help: &'static str,
    value: fn(&Revision) -> Option<f64>,
}

const FIGURES: [Figure; 13] = [
    Figure {
        name: "autoscaler_desired_pods",
        help: "Pods that the averages ask for",
        value: |it| it.ask.desired.map(f64::from),
    },
    Figure {
        name: "autoscaler_requested_pods",
        help: "Pods asked of the Deployment",
        value: |it| it.ask.desired.map(|_| f64::from(it.status.desired)),
    },
    Figure {
        name: "autoscaler_actual_pods",
        help: "Pods that are ready",
        value: |it| Some(f64::from(it.status.ready)),
    },
    Figure {
        name: "autoscaler_not_ready_pods",
        help: "Pods that are not ready yet",
        value: |it| Some(f64::from(it.status.starting)),
    },
    Figure {
        name: "autoscaler_terminating_pods",
        help: "Pods on their way out",
        value: |it| u32::try_from(it.terminating).ok().map(f64::from),
    },
    Figure {
        name: "autoscaler_excess_burst_capacity",
        help: "Requests that the ready pods could take on top at once",
        value: |it| Some(it.ask.excess_burst_capacity),
    },
    Figure {
        name: "autoscaler_panic_mode",
        help: "1 in panic mode",
        value: |it| Some(f64::from(u8::from(it.ask.is_panicking))),
    },
    Figure {
        name: "autoscaler_stable_request_concurrency",
        help: "Requests at once, averaged over the stable window",
        value: |it| it.concurrency(it.ask.stable),
    },
    Figure {
        name: "autoscaler_panic_request_concurrency",
        help: "Requests at once, averaged over the panic window",
        value: |it| it.concurrency(it.ask.panic),
    },
    Figure {
        name: "autoscaler_target_concurrency_per_pod",
        help: "Requests at once that one pod should have",
        value: |it| it.concurrency(it.ask.target),
    },
    Figure {
        name: "autoscaler_stable_requests_per_second",
        help: "Requests per second, averaged over the stable window",
        value: |it| it.rate(it.ask.stable),
    },
    Figure {
        name: "autoscaler_panic_requests_per_second",
        help: "Requests per second, averaged over the panic window",
        value: |it| it.rate(it.ask.panic),
    },
    Figure {
        name: "autoscaler_target_requests_per_second",
        help: "Requests per second that one pod should have",
        value: |it| it.rate(it.ask.target),
    },
];

impl Revision {
    fn concurrency(&self, value: f64) -> Option<f64> {
        (!self.is_by_rate()).then_some(value)
    }

    fn rate(&self, value: f64) -> Option<f64> {
        self.is_by_rate().then_some(value)
    }

    fn is_by_rate(&self) -> bool {
        self.status.triggers.iter().any(|it| it.metric == "rps")
    }
}

/// All revisions that are ours.
pub(super) struct Figures {
    pub(super) engine: EngineHandle,
    pub(super) pods: Pods,
}

impl Figures {
    fn revision(&self, status: FunctionStatus) -> Option<Revision> {
        let replicas = self.pods.replicas(&status.id);
        Some(Revision {
            ask: status.path?,
            terminating: replicas.iter().filter(|it| it.is_draining).count(),
            status,
        })
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let statuses = self.engine.list().into_iter();
        let revisions: Vec<_> = statuses.filter_map(|it| self.revision(it)).collect();
        encode(&revisions, &mut encoder)
    }
}

fn encode(revisions: &[Revision], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for figure in &FIGURES {
        let mut family =
            encoder.encode_descriptor(figure.name, figure.help, None, MetricType::Gauge)?;
        for revision in revisions {
            if let Some(value) = (figure.value)(revision) {
                let labels = labels(&revision.status);
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

/// A Configuration has the name of its Service.
fn labels(status: &FunctionStatus) -> [(&'static str, &str); 4] {
    let (id, owner) = (&status.id, &status.owner);
    let service = match owner.kind.as_str() {
        "Service" => owner.name.as_str(),
        _ => "unknown",
    };
    [
        ("namespace_name", id.namespace()),
        ("service_name", service),
        ("configuration_name", service),
        ("revision_name", id.name()),
    ]
}
