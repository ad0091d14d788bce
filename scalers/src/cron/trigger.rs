//! A `cron` trigger as its parameters declare it, and what it asks for at a given time.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeron_core::metric::{Activity, MetricReading, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::schedule::Schedule;
use super::table;
use crate::parameters::{Parameter, Parameters};
use crate::source::{Readings, unknown};

/// A window that opens and closes by a wall clock.
#[derive(Clone, Debug)]
pub(super) struct CronTrigger {
    zone: TimeZone,
    start: Schedule,
    end: Schedule,
    replicas: u32,
    metric: String,
}

/// Where a moment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Whether the window is open.
    pub(super) is_open: bool,
    /// When it opens next, or would if it were closed.
    pub(super) opens_at: Timestamp,
}

impl CronTrigger {
    /// The trigger, unless something is wrong with it, and everything that was noticed.
    pub(super) fn parse(spec: &TriggerSpec) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let trigger = Self::read(&mut parameters);
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (trigger.filter(|_| is_valid), problems)
    }

    fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        let zone = read_zone(parameters);
        let start = read_schedule(parameters, &table::START);
        let end = read_schedule(parameters, &table::END);
        let replicas = parameters
            .integer(&table::DESIRED_REPLICAS)
            .map(u32::try_from);
        if let Some(Err(_)) = replicas {
            let message = "desiredReplicas is more than a number of replicas can be";
            parameters.problem(&table::DESIRED_REPLICAS, message);
        }
        let texts = [&table::TIMEZONE, &table::START, &table::END];
        let [name, from, to] = texts.map(|it| parameters.required(it));
        if !from.is_empty() && from == to {
            parameters.problem(&table::END, "start and end must differ");
        }
        Some(Self {
            zone: zone?,
            start: start?,
            end: end?,
            replicas: replicas?.ok()?,
            metric: metric_name(name, from, to),
        })
    }

    /// Where `now` lies: the window is open where it closes before, or when, it opens next. `None` beyond
    /// the end of the calendar.
    pub(super) fn at(&self, now: Timestamp) -> Option<Moment> {
        let opens_at = self.start.next(&self.zone, now)?;
        let closes_at = self.end.next(&self.zone, now)?;
        Some(Moment {
            is_open: closes_at <= opens_at,
            opens_at,
        })
    }

    /// The replicas that are wanted while the window is open, else none.
    pub(super) fn reading(&self, now: Timestamp) -> Readings {
        let moment = self.at(now).ok_or_else(|| {
            unknown(
                UnknownKind::Parse,
                "neither start nor end comes within the calendar",
            )
        })?;
        let replicas = if moment.is_open { self.replicas } else { 0 };
        Ok(vec![MetricReading {
            metric: self.metric.clone(),
            value: f64::from(replicas),
            target: 1.0,
            activity: Activity::Declared(moment.is_open),
        }])
    }
}

fn read_zone(parameters: &mut Parameters<'_>) -> Option<TimeZone> {
    let name = parameters.required(&table::TIMEZONE);
    if name.is_empty() {
        return None;
    }
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let message = format!("timezone {name:?} is not a name of the IANA time zone database");
        parameters.problem(&table::TIMEZONE, message);
    }
    zone
}

fn read_schedule(parameters: &mut Parameters<'_>, parameter: &Parameter) -> Option<Schedule> {
    let text = parameters.required(parameter);
    if text.is_empty() {
        return None;
    }
    Schedule::parse(text)
        .map_err(|error| parameters.problem(parameter, format!("{}: {error}", parameter.name)))
        .ok()
}

/// KEDA's name of the metric, with the characters that it replaces.
fn metric_name(zone: &str, start: &str, end: &str) -> String {
    let shown = |schedule: &str| {
        let joined = schedule.replace(' ', "");
        joined
            .replace('*', "x")
            .replace('/', "Sl")
            .replace('?', "Qm")
    };
    let name = format!("cron-{zone}-{}-{}", shown(start), shown(end));
    name.replace(['/', '.', ':', '%', '(', ')'], "-")
}

#[cfg(test)]
mod tests;
