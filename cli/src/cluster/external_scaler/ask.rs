//! What a ScaledObject asks for, and what the answer is: pure.

use std::collections::HashMap;

use tonic::Status;
use zeron_autoscaler::Requests;
use zeron_core::FunctionId;
use zeron_external_scaler_proto::{MetricSpec, MetricValue, ScaledObjectRef};

/// The HTTP add-on's default target.
const DEFAULT_TARGET: f64 = 100.0;
/// The kind of `function` where it names none.
const DEFAULT_KIND: &str = "Deployment";

/// Which number of which function, as a trigger's metadata says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    pub(super) function: FunctionId,
    pub(super) metric: Metric,
    target: f64,
    activation: f64,
}

/// A number of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Requests in flight and waiting.
    Concurrency,
    /// Requests that arrive per second, over the last minute.
    Rate,
    /// Requests that wait for a replica.
    Queue,
}

impl Ask {
    /// Reads the metadata of a trigger. Keys that are not ours are KEDA's, and no problem.
    pub(super) fn read(object: &ScaledObjectRef) -> Result<Self, Status> {
        let metadata = &object.scaler_metadata;
        let metric = match text(metadata, "metric") {
            None | Some("concurrency") => Metric::Concurrency,
            Some("rps") => Metric::Rate,
            Some("queue") => Metric::Queue,
            Some(other) => {
                return Err(Status::invalid_argument(format!(
                    "metric {other:?}: must be concurrency, rps or queue"
                )));
            }
        };
        let target = number(metadata, "target")?.unwrap_or(DEFAULT_TARGET);
        if target <= 0.0 {
            return Err(Status::invalid_argument(format!(
                "target {target}: must be above zero"
            )));
        }
        let activation = number(metadata, "activationTarget")?.unwrap_or(0.0);
        if activation < 0.0 {
            return Err(Status::invalid_argument(format!(
                "activationTarget {activation}: must not be below zero"
            )));
        }
        Ok(Self {
            function: function(object)?,
            metric,
            target,
            activation,
        })
    }

    /// The metric and what one replica should carry of it.
    pub(super) fn spec(&self) -> MetricSpec {
        MetricSpec {
            metric_name: self.name(),
            target_size: rounded_up(self.target),
            target_size_float: self.target,
        }
    }

    /// The metric's name, fit for the API of external metrics.
    fn name(&self) -> String {
        let word = match self.metric {
            Metric::Concurrency => "concurrency",
            Metric::Rate => "rps",
            Metric::Queue => "queue",
        };
        let (kind, name) = (self.function.kind(), self.function.name());
        let name = format!("zeron-{word}-{kind}-{name}").to_ascii_lowercase();
        name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// The value, under the name by which it was asked for.
    ///
    /// # Errors
    /// `Unavailable` while not everybody who may have requests is heard: what is known then is too
    /// little to go down by.
    pub(super) fn value(&self, name: &str, requests: &Requests) -> Result<MetricValue, Status> {
        if !requests.is_complete {
            return Err(incomplete());
        }
        let value = self.measure(requests);
        let metric_name = if name.is_empty() {
            self.name()
        } else {
            name.to_owned()
        };
        Ok(MetricValue {
            metric_name,
            metric_value: rounded_up(value),
            metric_value_float: value,
        })
    }

    /// Whether there is work; `None` while that cannot be known.
    pub(super) fn is_active(&self, requests: &Requests) -> Option<bool> {
        // A request of any kind is work, where nothing else is asked for.
        let has_any = self.activation == 0.0 && requests.total() > 0;
        let is_active = has_any || self.measure(requests) > self.activation;
        // What is known is at least so much.
        (is_active || requests.is_complete).then_some(is_active)
    }

    fn measure(&self, requests: &Requests) -> f64 {
        match self.metric {
            Metric::Concurrency => f64::from(requests.total()),
            Metric::Rate => requests.rate,
            Metric::Queue => f64::from(requests.queued),
        }
    }
}

/// Not everybody who may have requests is heard.
pub(super) fn incomplete() -> Status {
    Status::unavailable("not every activator is heard: requests are not known")
}

/// `function`: a name, `KIND/NAME`, or `NAMESPACE/KIND/NAME` as `zeron ls` has it.
fn function(object: &ScaledObjectRef) -> Result<FunctionId, Status> {
    let named = text(&object.scaler_metadata, "function").ok_or_else(|| {
        Status::invalid_argument("function is required: NAME of a Deployment, or KIND/NAME")
    })?;
    let parts: Vec<&str> = named.split('/').collect();
    let (namespace, kind, name) = match parts[..] {
        [name] => (None, DEFAULT_KIND, name),
        [kind, name] => (None, kind, name),
        [namespace, kind, name] => (Some(namespace), kind, name),
        _ => (None, "", ""),
    };
    if kind.is_empty() || name.is_empty() {
        return Err(Status::invalid_argument(format!(
            "function {named:?}: must be NAME or KIND/NAME"
        )));
    }
    // Whoever may write a ScaledObject here may not look elsewhere by it.
    if namespace.is_some_and(|namespace| namespace != object.namespace) {
        return Err(Status::permission_denied(format!(
            "function {named:?}: only functions of namespace {} may be asked for",
            object.namespace
        )));
    }
    Ok(FunctionId::new(&object.namespace, kind, name))
}

/// A value as a person wrote it; an empty one counts as absent.
fn text<'m>(metadata: &'m HashMap<String, String>, key: &str) -> Option<&'m str> {
    let value = metadata.get(key).map(|value| value.trim());
    value.filter(|value| !value.is_empty())
}

fn number(metadata: &HashMap<String, String>, key: &str) -> Result<Option<f64>, Status> {
    let Some(text) = text(metadata, key) else {
        return Ok(None);
    };
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number
        .map(Some)
        .ok_or_else(|| Status::invalid_argument(format!("{key} {text:?}: must be a number")))
}

/// For a KEDA that reads whole numbers alone: never too little. Far below 2^53.
#[allow(clippy::cast_possible_truncation)]
fn rounded_up(number: f64) -> i64 {
    number.ceil() as i64
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn object(metadata: &[(&str, &str)]) -> ScaledObjectRef {
        let metadata = metadata.iter();
        ScaledObjectRef {
            name: "so".to_owned(),
            namespace: "shop".to_owned(),
            scaler_metadata: metadata
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    fn ask(metadata: &[(&str, &str)]) -> Result<Ask, Code> {
        Ask::read(&object(metadata)).map_err(|status| status.code())
    }

    fn requests(in_flight: u32, queued: u32, rate: f64) -> Requests {
        Requests {
            in_flight,
            queued,
            rate,
            is_complete: true,
        }
    }

    #[test]
    fn functions_are_named_in_three_ways_and_only_in_their_own_namespace() {
        for (text, shown) in [
            ("web", "shop/Deployment/web"),
            ("StatefulSet/db", "shop/StatefulSet/db"),
            ("Rollout.argoproj.io/web", "shop/Rollout.argoproj.io/web"),
            ("shop/Deployment/web", "shop/Deployment/web"),
        ] {
            let ask = ask(&[("function", text)]).unwrap();
            assert_eq!(ask.function.to_string(), shown);
        }
        let code = |text: &str| ask(&[("function", text)]).unwrap_err();
        assert_eq!(code("other/Deployment/web"), Code::PermissionDenied);
        for bad in ["", "/", "a/b/c/d", "Deployment/"] {
            assert_eq!(code(bad), Code::InvalidArgument, "{bad}");
        }
        assert_eq!(ask(&[]).unwrap_err(), Code::InvalidArgument);
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        for (key, text) in [
            ("metric", "cpu"),
            ("target", "0"),
            ("target", "-1"),
            ("target", "many"),
            ("target", "NaN"),
            ("target", "inf"),
            ("activationTarget", "-1"),
        ] {
            let code = ask(&[("function", "web"), (key, text)]).unwrap_err();
            assert_eq!(code, Code::InvalidArgument, "{key} {text}");
        }
    }

    #[test]
    fn whole_numbers_are_rounded_up() {
        let ask = ask(&[("function", "web"), ("metric", "rps"), ("target", "2.5")]).unwrap();
        let spec = ask.spec();
        assert_eq!((spec.target_size, spec.target_size_float), (3, 2.5));
        assert_eq!(spec.metric_name, "zeron-rps-deployment-web");
        let value = ask.value("given", &requests(0, 0, 0.25)).unwrap();
        assert_eq!((value.metric_value, value.metric_value_float), (1, 0.25));
        assert_eq!(value.metric_name, "given");
    }

    #[test]
    fn each_metric_is_its_own_number() {
        let of = |metric: &str| {
            let ask = ask(&[("function", "web"), ("metric", metric)]).unwrap();
            let value = ask.value("", &requests(3, 2, 1.5)).unwrap();
            value.metric_value_float
        };
        assert_eq!((of("concurrency"), of("rps"), of("queue")), (5.0, 1.5, 2.0));
    }

    #[test]
    fn a_request_is_work_whatever_the_metric_unless_more_is_asked_for() {
        let rate = ask(&[("function", "web"), ("metric", "rps")]).unwrap();
        assert_eq!(rate.is_active(&requests(0, 1, 0.0)), Some(true));
        assert_eq!(rate.is_active(&requests(0, 0, 0.1)), Some(true));
        assert_eq!(rate.is_active(&requests(0, 0, 0.0)), Some(false));
        let lazy = ask(&[("function", "web"), ("activationTarget", "5")]).unwrap();
        assert_eq!(lazy.is_active(&requests(2, 3, 9.0)), Some(false));
        assert_eq!(lazy.is_active(&requests(2, 4, 9.0)), Some(true));
    }

    #[test]
    fn what_is_not_known_is_no_zero() {
        let ask = ask(&[("function", "web")]).unwrap();
        let some = |queued| Requests {
            is_complete: false,
            ..requests(0, queued, 0.0)
        };
        assert_eq!(ask.is_active(&some(0)), None);
        assert_eq!(ask.is_active(&some(1)), Some(true));
        assert_eq!(
            ask.value("", &some(1)).unwrap_err().code(),
            Code::Unavailable
        );
    }
}
