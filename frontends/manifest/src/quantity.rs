//! Kubernetes quantities: `500m`, `1.5`, `128Mi`, `1e3`.

use std::str::FromStr;

/// A quantity that is not negative, in thousandths, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    millis: u128,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a quantity such as 500m, 2, 128Mi or 1G")]
pub struct QuantityError;

impl Quantity {
    /// Thousandths, rounded up; saturates.
    pub fn millis(self) -> u64 {
        u64::try_from(self.millis).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded up; saturates.
    pub fn units(self) -> u64 {
        u64::try_from(self.millis.div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_number =
            whole.len() + fraction.len() > 0 && whole.len() <= 20 && fraction.len() <= 9;
        if !is_number || fraction.contains('.') {
            return Err(QuantityError);
        }
        let digits: u128 = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| QuantityError)?;
        let fraction = i32::try_from(fraction.len()).map_err(|_| QuantityError)?;
        let (binary, decimal) = scale(suffix).ok_or(QuantityError)?;
        let scaled = digits.checked_mul(1_u128 << binary).ok_or(QuantityError)?;
        Ok(Self {
            millis: shift(scaled, decimal + 3 - fraction).ok_or(QuantityError)?,
        })
    }
}

/// Powers of two and of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent
                .strip_prefix('+')
                .unwrap_or(exponent)
                .parse()
                .ok()?;
            (0, Some(exponent).filter(|e| (-18..=18).contains(e))?)
        }
    })
}

/// `value * 10^exponent`, rounded up.
fn shift(value: u128, exponent: i32) -> Option<u128> {
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    if exponent >= 0 {
        value.checked_mul(power)
    } else {
        Some(value.div_ceil(power))
    }
}
