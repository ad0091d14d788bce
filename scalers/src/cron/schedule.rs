//! A schedule of five fields, in the grammar of robfig/cron, and its next instant on a time zone's wall clock.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use thiserror::Error;

/// Why a schedule is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum ScheduleError {
    /// Seconds, years, `@daily` and `TZ=` among them.
    #[error("expected 5 fields (minute, hour, day of month, month, day of week), found {0}")]
    FieldCount(usize),
    /// A part of a field.
    #[error(
        "{part:?} is not allowed as {field}: numbers from {first} to {last}, ranges, lists, steps{names}"
    )]
    Field {
        /// What was written.
        part: String,
        /// The field's name.
        field: &'static str,
        /// Smallest number.
        first: u8,
        /// Largest number.
        last: u8,
        /// Which names are allowed.
        names: &'static str,
    },
    /// The 30th of February.
    #[error("such a day never comes")]
    Never,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// Names of its numbers, from `first` upwards.
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field::new("minute", 0, 59, &[]),
    Field::new("hour", 0, 23, &[]),
    Field::new("day of month", 1, 31, &[]),
    Field::new("month", 1, 12, &MONTHS),
    Field::new("day of week", 0, 6, &DAYS),
];

/// A search that finds nothing within so many years finds nothing: leap days are at most eight apart.
const MAX_YEARS: i16 = 8;

/// When something happens, by a wall clock.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    cron: Cron,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// [`ScheduleError`] where robfig/cron would not take it, or it never happens.
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let parts: Vec<_> = text.split_whitespace().collect();
        if parts.len() != FIELDS.len() {
            return Err(ScheduleError::FieldCount(parts.len()));
        }
        let fields = FIELDS.iter().zip(&parts);
        let fields: Vec<_> = fields
            .map(|(field, text)| field.read(text))
            .collect::<Result<_, _>>()?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(&fields.join(" "))
            .expect("fields that were read are numbers within their ranges");
        let schedule = Self { cron };
        // Any day serves: what does not come within four centuries never does.
        let day = jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0);
        schedule.following(day).ok_or(ScheduleError::Never)?;
        Ok(schedule)
    }

    /// The first whole second after `now` at which the wall clock of `zone` shows a time of this
    /// schedule. A time that a clock skips does not happen that day; one that it shows twice happens
    /// twice. That is how robfig/cron counts.
    pub(super) fn next(&self, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
        let mut from = Timestamp::from_second(now.as_second().checked_add(1)?).ok()?;
        let last_year = zone.to_offset(from).to_datetime(from).year() + MAX_YEARS;
        // Between two changes of the clock, wall clock and time differ by a constant.
        loop {
            let offset = zone.to_offset(from);
            let change = zone.following(from).next().map(|it| it.timestamp());
            let found = self.following(offset.to_datetime(from))?;
            let instant = offset.to_timestamp(found).ok()?;
            match change {
                Some(change) if instant >= change => from = change,
                _ => return Some(instant),
            }
            if offset.to_datetime(from).year() > last_year {
                return None;
            }
        }
    }

    /// The first time of a clock that never changes, from `time` on.
    fn following(&self, time: DateTime) -> Option<DateTime> {
        let time: Zoned = time.to_zoned(TimeZone::UTC).ok()?;
        let found = self.cron.find_next_occurrence(&time, true).ok()?;
        Some(found.datetime())
    }
}

impl Field {
    const fn new(name: &'static str, first: u8, last: u8, words: &'static [&'static str]) -> Self {
        Self {
            name,
            first,
            last,
            words,
        }
    }

    /// The field in numbers alone, without what croner understands differently: a step of one, `*`
    /// within a list, `?`, and a step from a number on.
    fn read(&self, text: &str) -> Result<String, ScheduleError> {
        let parts: Vec<_> = text
            .split(',')
            .map(|part| self.part(part).ok_or_else(|| self.wrong(part)))
            .collect::<Result<_, _>>()?;
        if parts.iter().any(|part| part == "*") {
            return Ok("*".to_owned());
        }
        Ok(parts.join(","))
    }

    /// `*`, `5`, `1-5`, each with or without `/2`.
    fn part(&self, text: &str) -> Option<String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let step = step.filter(|step| *step > 1);
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => {
                return Some(step.map_or("*".to_owned(), |step| format!("*/{step}")));
            }
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            // `5/15` is `5-59/15`.
            None if text.contains('/') => (self.number(range)?, self.last),
            None => return self.number(range).map(|number| number.to_string()),
        };
        let step = step.map_or(String::new(), |step| format!("/{step}"));
        (first <= last).then(|| format!("{first}-{last}{step}"))
    }

    fn number(&self, text: &str) -> Option<u8> {
        let lower = text.to_ascii_lowercase();
        let mut words = (self.first..).zip(self.words);
        let named = words.find(|(_, word)| **word == lower);
        let found = named.map(|(number, _)| number).or_else(|| number(text))?;
        (self.first..=self.last).contains(&found).then_some(found)
    }

    fn wrong(&self, part: &str) -> ScheduleError {
        ScheduleError::Field {
            part: part.to_owned(),
            field: self.name,
            first: self.first,
            last: self.last,
            names: match self.words.first() {
                Some(&"jan") => ", JAN to DEC",
                Some(_) => ", SUN to SAT",
                None => "",
            },
        }
    }
}

/// Digits alone: no sign, no space.
fn number(text: &str) -> Option<u8> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
