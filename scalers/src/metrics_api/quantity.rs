//! Kubernetes quantities as numbers: `1500m`, `2Ki`, `1e3`.

/// The number of a quantity; `None` where it is none. Rounded as floating point is.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let digits = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    // Divisors keep thousandths exact, where factors such as 0.001 do not.
    let (factor, divisor) = match suffix {
        "" => (1.0, 1.0),
        "n" => (1.0, 1e9),
        "u" => (1.0, 1e6),
        "m" => (1.0, 1e3),
        "k" => (1e3, 1.0),
        "M" => (1e6, 1.0),
        "G" => (1e9, 1.0),
        "T" => (1e12, 1.0),
        "P" => (1e15, 1.0),
        "E" => (1e18, 1.0),
        "Ki" => (1024.0, 1.0),
        "Mi" => (1024_f64.powi(2), 1.0),
        "Gi" => (1024_f64.powi(3), 1.0),
        "Ti" => (1024_f64.powi(4), 1.0),
        "Pi" => (1024_f64.powi(5), 1.0),
        "Ei" => (1024_f64.powi(6), 1.0),
        exponent => return with_exponent(text, exponent),
    };
    Some(number * factor / divisor)
}

/// `1e3` and `1E-3`; not `1e1000`.
fn with_exponent(text: &str, exponent: &str) -> Option<f64> {
    let digits = exponent.strip_prefix(['e', 'E'])?;
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let is_exponent = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let number: f64 = is_exponent.then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_and_exponents_are_understood() {
        for (text, number) in [
            ("0", 0.0),
            ("7", 7.0),
            ("-3.5", -3.5),
            ("1500m", 1.5),
            ("100n", 1e-7),
            ("5k", 5_000.0),
            ("2Ki", 2_048.0),
            ("1.5Gi", 1_610_612_736.0),
            ("1e3", 1_000.0),
            ("12E-1", 1.2),
            ("3E", 3e18),
            (" 4 ", 4.0),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in [
            "", "m", "NaN", "inf", "1x", "1 k", "1e", "e3", "1e999", "--1", "1.2.3", "0x10",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
