//! Durations as Go writes them: `300ms`, `1m30s`, `1h`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a duration such as 500ms, 30s, 1m30s or 1h")]
pub struct DurationError;

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a duration that is not negative.
///
/// # Errors
/// [`DurationError`] for anything else, a bare number other than `0` included.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(DurationError);
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (value, after) = term(rest)?;
        nanos = nanos.checked_add(value).ok_or(DurationError)?;
        rest = after;
    }
    // Go's durations are 64-bit nanoseconds: about 292 years.
    let nanos = i64::try_from(nanos).map_err(|_| DurationError)?;
    Ok(Duration::from_nanos(nanos.unsigned_abs()))
}

/// One number with its unit, in nanoseconds, and what follows.
fn term(text: &str) -> Result<(u128, &str), DurationError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or(DurationError)?;
    let (number, rest) = text.split_at(end);
    let unit_end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let scale = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(DurationError)?
        .1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 18 || fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(DurationError);
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| DurationError)?
    };
    let fraction = &fraction[..fraction.len().min(18)];
    let mut nanos = whole * scale;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().map_err(|_| DurationError)?;
        let power = u32::try_from(fraction.len()).map_err(|_| DurationError)?;
        nanos += digits * scale / 10_u128.pow(power);
    }
    Ok((nanos, rest))
}

/// Writes a duration the way it is read: `1h0m30s` without the parts that are zero.
pub fn format_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_owned();
    }
    let seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, value) in [
        ("h", seconds / 3_600),
        ("m", seconds / 60 % 60),
        ("s", seconds % 60),
    ] {
        if value > 0 {
            text.push_str(&format!("{value}{unit}"));
        }
    }
    let nanos = duration.subsec_nanos();
    if nanos > 0 {
        text.push_str(&match nanos {
            n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => format!("{}us", n / 1_000),
            n => format!("{n}ns"),
        });
    }
    text
}
