//! Loads: recorded as CSV, or synthetic from a short text.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::time::Duration;

/// Most requests or samples of one load.
const MAX_EVENTS: usize = 5_000_000;

/// A load to replay.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// Requests, sorted by arrival.
    Requests(Vec<Request>),
    /// A curve of requests in flight and of metrics, sorted by time; each value holds until the
    /// next sample.
    Curve(Vec<Sample>),
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// When it arrives.
    pub arrival: Duration,
    /// How long a replica works on it.
    pub service: Duration,
}

/// A point of a curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// From when on.
    pub at: Duration,
    /// Requests in flight.
    pub in_flight: f64,
    /// Values of event sources.
    pub metrics: BTreeMap<String, f64>,
}

/// Why a load cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A recorded load needs a first line that says what its columns are.
    #[error("line 1: expected `arrival_s,duration_s` or `t_seconds,in_flight[,metric=value...]`")]
    Header,
    /// A line of a recorded load.
    #[error("line {line}: {field} {value:?} is not a number of at least 0")]
    Number {
        /// Its number, from 1.
        line: usize,
        /// The column.
        field: String,
        /// What stands there.
        value: String,
    },
    /// Times must not go backwards.
    #[error("line {line}: time goes backwards")]
    Order {
        /// Its number, from 1.
        line: usize,
    },
    /// A synthetic load of an unknown shape.
    #[error("unknown shape {0:?} (constant, step, sine, poisson)")]
    Shape(String),
    /// A setting of a synthetic load.
    #[error("{key}={value}: {expected}")]
    Setting {
        /// The setting.
        key: String,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Nothing to replay.
    #[error("the load is empty")]
    Empty,
    /// More than a simulation takes.
    #[error("the load has more than {MAX_EVENTS} events")]
    TooLarge,
}

impl Load {
    /// Reads a recorded load: a request log (`arrival_s,duration_s`) or a curve
    /// (`t_seconds,in_flight`, and then `NAME=VALUE` for each metric).
    ///
    /// # Errors
    /// When the header is unknown, a number is wrong, or time goes backwards.
    pub fn parse_csv(text: &str) -> Result<Self, LoadError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.trim()));
        let (_, header) = lines.next().ok_or(LoadError::Empty)?;
        let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut columns = header.split(',').map(str::trim);
        match (columns.next(), columns.next()) {
            (Some("arrival_s"), Some("duration_s")) => parse_requests(rows),
            (Some("t_seconds"), Some("in_flight")) => parse_curve(rows),
            _ => Err(LoadError::Header),
        }
    }

    /// Makes a synthetic load from `SHAPE:KEY=VALUE,...`; durations are like `90s`, `5m`, `1h`.
    ///
    /// - `constant:level=10,for=10m`
    /// - `step:from=1,to=50,at=1m,for=10m`
    /// - `sine:mean=20,amplitude=15,period=5m,for=1h`
    /// - `poisson:rate=5,service=200ms,seed=1,for=1h` (requests per second; `exponential=true`
    ///   draws service times too)
    ///
    /// The first three are curves of requests in flight, or with `metric=NAME` of that metric.
    ///
    /// # Errors
    /// When the shape or a setting is unknown or out of range.
    pub fn parse_synthetic(spec: &str) -> Result<Self, LoadError> {
        let (shape, settings) = spec.split_once(':').unwrap_or((spec, ""));
        let mut settings = Settings::parse(settings)?;
        let length = settings.duration("for", Duration::from_secs(600))?;
        let load = match shape.trim() {
            "constant" => {
                let level = settings.number("level", 1.0)?;
                settings.curve(length, length, |_| level)?
            }
            "step" => {
                let (from, to) = (settings.number("from", 0.0)?, settings.number("to", 1.0)?);
                let at = settings.duration("at", Duration::from_secs(60))?;
                let every = at.max(Duration::from_millis(1));
                settings.curve(
                    length.min(at + at),
                    every,
                    |t| if t < at { from } else { to },
                )?
            }
            "sine" => {
                let mean = settings.number("mean", 1.0)?;
                let amplitude = settings.number("amplitude", mean)?;
                let period = settings.duration("period", Duration::from_secs(300))?;
                let period = period.max(Duration::from_secs(1)).as_secs_f64();
                settings.curve(length, Duration::from_secs(1), |t| {
                    (mean + amplitude * (TAU * t.as_secs_f64() / period).sin()).max(0.0)
                })?
            }
            "poisson" => settings.poisson(length)?,
            other => return Err(LoadError::Shape(other.to_owned())),
        };
        settings.finish()?;
        Ok(load.ending(length))
    }

    /// When its last event is over; a curve ends at its last sample.
    pub fn end(&self) -> Duration {
        match self {
            Self::Requests(requests) => {
                let ends = requests.iter().map(|it| it.arrival + it.service);
                ends.max().unwrap_or_default()
            }
            Self::Curve(samples) => samples.last().map(|it| it.at).unwrap_or_default(),
        }
    }

    /// A curve falls to nothing at its end.
    fn ending(self, length: Duration) -> Self {
        match self {
            Self::Curve(mut samples) => {
                samples.retain(|sample| sample.at < length);
                let metrics = samples.last().map(|it| it.metrics.clone());
                let metrics = metrics.unwrap_or_default().into_keys();
                samples.push(Sample {
                    at: length,
                    in_flight: 0.0,
                    metrics: metrics.map(|name| (name, 0.0)).collect(),
                });
                Self::Curve(samples)
            }
            requests @ Self::Requests(_) => requests,
        }
    }
}

fn parse_requests<'a>(rows: impl Iterator<Item = (usize, &'a str)>) -> Result<Load, LoadError> {
    let mut requests: Vec<Request> = Vec::new();
    for (line, row) in rows {
        let mut fields = row.split(',');
        let arrival = seconds(line, "arrival_s", fields.next())?;
        let service = seconds(line, "duration_s", fields.next())?;
        requests.push(Request { arrival, service });
        if requests.len() > MAX_EVENTS {
            return Err(LoadError::TooLarge);
        }
    }
    // A log is often written when requests end; the order of arrival is what counts.
    requests.sort_by_key(|request| request.arrival);
    if requests.is_empty() {
        return Err(LoadError::Empty);
    }
    Ok(Load::Requests(requests))
}

fn parse_curve<'a>(rows: impl Iterator<Item = (usize, &'a str)>) -> Result<Load, LoadError> {
    let mut samples: Vec<Sample> = Vec::new();
    for (line, row) in rows {
        let mut fields = row.split(',');
        let at = seconds(line, "t_seconds", fields.next())?;
        let in_flight = number(line, "in_flight", fields.next())?;
        let mut metrics = BTreeMap::new();
        for field in fields {
            let (name, value) = field.split_once('=').ok_or(LoadError::Header)?;
            let value = number(line, name.trim(), Some(value))?;
            metrics.insert(name.trim().to_owned(), value);
        }
        if samples.last().is_some_and(|last| last.at > at) {
            return Err(LoadError::Order { line });
        }
        samples.push(Sample {
            at,
            in_flight,
            metrics,
        });
        if samples.len() > MAX_EVENTS {
            return Err(LoadError::TooLarge);
        }
    }
    if samples.is_empty() {
        return Err(LoadError::Empty);
    }
    Ok(Load::Curve(samples))
}

fn number(line: usize, field: &str, text: Option<&str>) -> Result<f64, LoadError> {
    let text = text.unwrap_or("").trim();
    let value = text
        .parse()
        .ok()
        .filter(|v: &f64| v.is_finite() && *v >= 0.0);
    value.ok_or_else(|| LoadError::Number {
        line,
        field: field.to_owned(),
        value: text.to_owned(),
    })
}

fn seconds(line: usize, field: &str, text: Option<&str>) -> Result<Duration, LoadError> {
    let value = number(line, field, text)?;
    Duration::try_from_secs_f64(value).map_err(|_| LoadError::Number {
        line,
        field: field.to_owned(),
        value: value.to_string(),
    })
}

/// `KEY=VALUE` pairs; each is taken once, and what is left is unknown.
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn parse(text: &str) -> Result<Self, LoadError> {
        let pairs = text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(wrong(pair, "", "expected KEY=VALUE")),
        });
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    fn number(&mut self, key: &str, default: f64) -> Result<f64, LoadError> {
        let Some(text) = self.0.remove(key) else {
            return Ok(default);
        };
        let value = text
            .parse()
            .ok()
            .filter(|v: &f64| v.is_finite() && *v >= 0.0);
        value.ok_or_else(|| wrong(key, &text, "expected a number of at least 0"))
    }

    fn duration(&mut self, key: &str, default: Duration) -> Result<Duration, LoadError> {
        let Some(text) = self.0.remove(key) else {
            return Ok(default);
        };
        parse_duration(&text).ok_or_else(|| {
            wrong(
                key,
                &text,
                "expected a duration such as 200ms, 90s, 5m or 1h",
            )
        })
    }

    fn curve(
        &mut self,
        length: Duration,
        every: Duration,
        value: impl Fn(Duration) -> f64,
    ) -> Result<Load, LoadError> {
        let metric = self.0.remove("metric");
        let mut samples = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            let level = value(at);
            let mut sample = Sample {
                at,
                ..Sample::default()
            };
            match &metric {
                Some(name) => drop(sample.metrics.insert(name.clone(), level)),
                None => sample.in_flight = level,
            }
            samples.push(sample);
            at += every;
            if at > length {
                return Ok(Load::Curve(samples));
            }
            if samples.len() > MAX_EVENTS {
                return Err(LoadError::TooLarge);
            }
        }
    }

    fn poisson(&mut self, length: Duration) -> Result<Load, LoadError> {
        let rate = self.number("rate", 1.0)?;
        let service = self.duration("service", Duration::from_millis(100))?;
        let is_exponential = self.0.remove("exponential").is_some_and(|it| it == "true");
        let seed = self.number("seed", 1.0)?;
        let mut random = Random(seed.to_bits());
        if rate * length.as_secs_f64() > MAX_EVENTS as f64 {
            return Err(LoadError::TooLarge);
        }
        if rate <= 0.0 {
            return Err(LoadError::Empty);
        }
        let mut requests = Vec::new();
        let mut at = 0.0;
        loop {
            at += random.exponential() / rate;
            if at > length.as_secs_f64() {
                break;
            }
            let share = if is_exponential {
                random.exponential()
            } else {
                1.0
            };
            requests.push(Request {
                arrival: Duration::from_secs_f64(at),
                service: service.mul_f64(share),
            });
            if requests.len() > MAX_EVENTS {
                return Err(LoadError::TooLarge);
            }
        }
        if requests.is_empty() {
            return Err(LoadError::Empty);
        }
        Ok(Load::Requests(requests))
    }

    fn finish(self) -> Result<(), LoadError> {
        match self.0.into_iter().next() {
            Some((key, value)) => Err(wrong(&key, &value, "unknown setting of this shape")),
            None => Ok(()),
        }
    }
}

fn wrong(key: &str, value: &str, expected: &'static str) -> LoadError {
    LoadError::Setting {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let value: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(value * seconds).ok()
}

/// SplitMix64: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        // 53 bits: uniform in (0, 1].
        let uniform = ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}
