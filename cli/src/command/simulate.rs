//! `simulate`: what a policy would do under a load, by the same decision that `up` runs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use zeron_autoscaler::simulate::{Load, LoadError, Request};
use zeron_autoscaler::{SimulationConfig, simulate};
use zeron_core::policy::Scaling;
use zeron_core::{Function, FunctionId};

use super::{Failure, style};
use crate::args::{GlobalArgs, SimulateArgs};
use crate::control::Problem;
use crate::output::{print, simulation, structured};
use zeron_catalog::{self as catalog, Catalog, CompileOptions};

/// Largest recorded load that is read, in bytes.
const MAX_TRACE: u64 = 256 << 20;
/// Most requests of a load in steps.
const MAX_REQUESTS: f64 = 5e6;

/// Why a load in steps cannot be used.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// A step is not `RATErps:DURATION`.
    #[error("{0:?} is not a step: expected RATErps:DURATION, such as 50rps:2m")]
    Step(String),
    /// Too long or too dense.
    #[error("the load has more than 5 million requests")]
    TooLarge,
    /// Only silence.
    #[error("the load has no request")]
    Empty,
}

pub(super) fn run(global: &GlobalArgs, args: &SimulateArgs) -> Result<(), Failure> {
    let load = load(args).map_err(Failure::Usage)?;
    let function = function(global, args)?;
    let config = SimulationConfig {
        start_latency: args.start_time,
        concurrency_limit: function.concurrency_limit,
        initial_replicas: args.replicas,
        tail: args.tail,
        metric_targets: args.metric_target.iter().cloned().collect(),
        ..SimulationConfig::default()
    };
    let report = simulate(&load, &function.scale, &config);
    let text = structured(global.output, &report)?
        .unwrap_or_else(|| simulation(&function.owner.name, &report, style(global)));
    print(&text).map_err(Failure::runtime)
}

fn load(args: &SimulateArgs) -> anyhow::Result<Load> {
    match (&args.trace, &args.load) {
        (Some(path), _) => Ok(Load::parse_csv(&read(path)?)
            .with_context(|| format!("{} is no recorded load", path.display()))?),
        (None, Some(spec)) if is_steps(spec) => Ok(steps(spec, args.service_time)?),
        (None, Some(spec)) => Ok(Load::parse_synthetic(spec)?),
        (None, None) => Err(LoadError::Empty.into()),
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("{} cannot be read", path.display());
    let size = std::fs::metadata(path).with_context(cannot)?.len();
    anyhow::ensure!(
        size <= MAX_TRACE,
        "{} is larger than 256 MiB",
        path.display()
    );
    std::fs::read_to_string(path).with_context(cannot)
}

/// Steps begin with a number, shapes with their name.
fn is_steps(spec: &str) -> bool {
    spec.trim_start()
        .starts_with(|c: char| c.is_ascii_digit() || c == '.')
}

/// Requests at even distances, step after step.
fn steps(spec: &str, service: Duration) -> Result<Load, StepError> {
    let mut requests = Vec::new();
    let mut begin = Duration::ZERO;
    for step in spec.split(',').map(str::trim) {
        let parsed = step.split_once(':').and_then(|(rate, length)| {
            let rate: f64 = rate.trim_end_matches("rps").parse().ok()?;
            let length = humantime::parse_duration(length).ok()?;
            (rate.is_finite() && rate >= 0.0).then_some((rate, length))
        });
        let (rate, length) = parsed.ok_or_else(|| StepError::Step(step.to_owned()))?;
        let count = rate * length.as_secs_f64();
        if count + requests.len() as f64 > MAX_REQUESTS {
            return Err(StepError::TooLarge);
        }
        let arrivals = (0_u32..).map(|n| Duration::from_secs_f64(f64::from(n) / rate));
        if rate > 0.0 {
            let within = arrivals.take_while(|arrival| *arrival < length);
            requests.extend(within.map(|arrival| Request {
                arrival: begin + arrival,
                service,
            }));
        }
        begin += length;
    }
    if requests.is_empty() {
        Err(StepError::Empty)
    } else {
        Ok(Load::Requests(requests))
    }
}

/// The function that is meant: the only one, or the one that is named.
fn function(global: &GlobalArgs, args: &SimulateArgs) -> Result<Function, Failure> {
    let sources = zeron_manifest::read_paths(&args.manifest);
    let registry = zeron_scalers::Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
    let options = CompileOptions::default();
    let (catalog, compiled) = catalog::compile(&sources.documents, &registry, &options);
    let problems = sources.problems.iter().chain(&compiled);
    let errors: Vec<&zeron_manifest::Problem> = problems.filter(|p| p.is_error()).collect();
    if !errors.is_empty() {
        for problem in errors {
            eprintln!("{}", Problem::from(problem));
        }
        return Err(Failure::usage(anyhow::anyhow!(
            "the manifests have problems"
        )));
    }
    let mut functions = functions(&catalog);
    functions.retain(|function| {
        let is_named = |name: &String| function.owner.name == *name || function.id.name() == name;
        let is_here = |namespace: &String| function.id.namespace() == namespace;
        args.function.as_ref().is_none_or(is_named) && global.namespace.as_ref().is_none_or(is_here)
    });
    match functions.len() {
        1 => Ok(functions.remove(0)),
        0 => Err(Failure::usage(anyhow::anyhow!(
            "the manifests hold no such function"
        ))),
        _ => {
            let names: Vec<&str> = functions.iter().map(|f| f.owner.name.as_str()).collect();
            let names = names.join(", ");
            Err(Failure::usage(anyhow::anyhow!(
                "name one with --function: {names}"
            )))
        }
    }
}

/// Every function; of a Service the one that its newest template makes, once its initial scale
/// has been reached.
fn functions(catalog: &Catalog) -> Vec<Function> {
    let mut functions = catalog.functions.clone();
    for service in &catalog.services {
        let name = format!("{}-00001", service.object.name);
        let mut function = service
            .template
            .function(&service.object, &name, &catalog.config);
        catalog.bind_triggers(&service.object, &mut function);
        for group in &mut function.scale.groups {
            if let Scaling::Knative(knative) = &mut group.scaling {
                knative.initial_scale = 0;
            }
        }
        // A later document of the same Service replaces the earlier one.
        functions.retain(|f: &Function| {
            f.id != FunctionId::new(&service.object.namespace, "Revision", &name)
        });
        functions.push(function);
    }
    functions
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn requests(spec: &str) -> Vec<Request> {
        match steps(spec, Duration::from_millis(100)).unwrap() {
            Load::Requests(requests) => requests,
            Load::Curve(_) => panic!("a curve"),
        }
    }

    #[test]
    fn steps_are_requests_at_even_distances() {
        let requests = requests("0rps:10s, 2rps:2s,1rps:1s");
        let arrivals: Vec<f64> = requests.iter().map(|r| r.arrival.as_secs_f64()).collect();
        assert_eq!(arrivals, [10.0, 10.5, 11.0, 11.5, 12.0]);
    }

    #[test]
    fn wrong_steps_are_named() {
        let error = steps("5rps:1m,5rps", Duration::ZERO).unwrap_err();
        assert!(
            error.to_string().starts_with("\"5rps\" is not a step"),
            "{error}"
        );
        assert!(matches!(
            steps("0rps:1m", Duration::ZERO),
            Err(StepError::Empty)
        ));
        assert!(matches!(
            steps("1e9rps:1h", Duration::ZERO),
            Err(StepError::TooLarge)
        ));
    }

    #[test]
    fn shapes_are_told_from_steps() {
        assert!(is_steps("50rps:2m"));
        assert!(!is_steps("sine:mean=20"));
    }
}
