//! Durations as KEDA's scalers take them: Go's notation, or whole milliseconds.

use std::time::Duration;

/// `1h2m3.5s`, `300ms`, `1500` (milliseconds). `None`: not understood, or negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if let Ok(milliseconds) = text.parse::<u64>() {
        return Some(Duration::from_millis(milliseconds));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number * length(&rest[..unit])?;
        rest = &rest[unit..];
    }
    (!text.is_empty())
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// Seconds of one unit of Go's `time.ParseDuration`.
fn length(unit: &str) -> Option<f64> {
    match unit {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_notation_and_milliseconds_are_understood() {
        let cases = [
            ("1500", 1_500),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("0", 0),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "-1s", "5x", "s", "1m30", ".", "1e99h", "1s garbage"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
