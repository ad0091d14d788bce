//! A column's value as a number, from PostgreSQL's binary formats.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// A number of any of PostgreSQL's types, or a text that is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub(super) f64);

type Wrong = Box<dyn Error + Sync + Send>;

impl<'a> FromSql<'a> for Number {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        // Whole numbers beyond 2^53 lose digits, as they do in every metric.
        #[allow(clippy::cast_precision_loss)]
        let value = match *kind {
            Type::INT2 => f64::from(i16::from_sql(kind, raw)?),
            Type::INT4 => f64::from(i32::from_sql(kind, raw)?),
            Type::INT8 => i64::from_sql(kind, raw)? as f64,
            Type::OID => f64::from(u32::from_sql(kind, raw)?),
            Type::FLOAT4 => f64::from(f32::from_sql(kind, raw)?),
            Type::FLOAT8 => f64::from_sql(kind, raw)?,
            Type::NUMERIC => decimal(raw).ok_or("not a numeric value")?,
            _ => std::str::from_utf8(raw)?.trim().parse()?,
        };
        Ok(Self(value))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(
            *kind,
            Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::OID
                | Type::FLOAT4
                | Type::FLOAT8
                | Type::NUMERIC
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::UNKNOWN
        )
    }
}

/// `numeric` as `numeric_send` writes it: count of digits, weight, sign, scale, then digits of base
/// 10,000, the first worth 10,000 to the power of the weight.
fn decimal(raw: &[u8]) -> Option<f64> {
    let mut words = raw
        .chunks_exact(2)
        .map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let count = words.next()?;
    let weight = words.next()?;
    let sign = words.next()?.cast_unsigned();
    words.next()?;
    match sign {
        0x0000 | 0x4000 => {}
        0xC000 => return Some(f64::NAN),
        0xD000 => return Some(f64::INFINITY),
        0xF000 => return Some(f64::NEG_INFINITY),
        _ => return None,
    }
    // As text: one rounding, at the end.
    let mut text = String::from(if sign == 0x4000 { "-0" } else { "0" });
    let mut digits = 0;
    for digit in words.by_ref().take(usize::try_from(count).ok()?) {
        if !(0..10_000).contains(&digit) {
            return None;
        }
        text.push_str(&format!("{digit:04}"));
        digits += 1;
    }
    if digits != count {
        return None;
    }
    let exponent = 4 * (i32::from(weight) + 1 - i32::from(count));
    format!("{text}e{exponent}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server sends it.
    fn numeric(weight: i16, sign: u16, digits: &[i16]) -> Vec<u8> {
        let count = i16::try_from(digits.len()).unwrap();
        let head = [count, weight, sign.cast_signed(), 4];
        head.iter()
            .chain(digits)
            .flat_map(|it| it.to_be_bytes())
            .collect()
    }

    fn read(kind: &Type, raw: &[u8]) -> f64 {
        assert!(Number::accepts(kind));
        Number::from_sql(kind, raw).unwrap().0
    }

    #[test]
    fn whole_and_floating_numbers_are_read() {
        assert_eq!(read(&Type::INT2, &7_i16.to_be_bytes()), 7.0);
        assert_eq!(read(&Type::INT4, &(-7_i32).to_be_bytes()), -7.0);
        assert_eq!(read(&Type::INT8, &7_000_000_000_i64.to_be_bytes()), 7e9);
        assert_eq!(read(&Type::FLOAT4, &1.5_f32.to_be_bytes()), 1.5);
        assert_eq!(read(&Type::FLOAT8, &0.1_f64.to_be_bytes()), 0.1);
        assert!(read(&Type::FLOAT8, &f64::NAN.to_be_bytes()).is_nan());
        assert_eq!(read(&Type::TEXT, b" 12.5 "), 12.5);
    }

    #[test]
    fn decimals_are_read_exactly() {
        for (weight, sign, digits, expected) in [
            (0, 0, &[] as &[i16], 0.0),
            (0, 0, &[42], 42.0),
            (0, 0x4000, &[1, 5000], -1.5),
            (-1, 0, &[1000], 0.1),
            (-2, 0, &[1], 0.000_000_01),
            (1, 0, &[12, 3456], 123_456.0),
            (2, 0, &[1], 100_000_000.0),
            (1, 0, &[1, 0, 5], 10_000.000_5),
        ] {
            let raw = numeric(weight, sign, digits);
            assert_eq!(read(&Type::NUMERIC, &raw), expected, "{digits:?}");
        }
        assert!(read(&Type::NUMERIC, &numeric(0, 0xC000, &[])).is_nan());
        assert_eq!(
            read(&Type::NUMERIC, &numeric(0, 0xD000, &[])),
            f64::INFINITY
        );
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(!Number::accepts(&Type::BOOL));
        assert!(!Number::accepts(&Type::TIMESTAMPTZ));
        assert!(!Number::accepts(&Type::INTERVAL));
        assert!(Number::from_sql(&Type::TEXT, b"seven").is_err());
        assert!(Number::from_sql(&Type::NUMERIC, &numeric(0, 0, &[10_000])).is_err());
        assert!(Number::from_sql(&Type::NUMERIC, &numeric(0, 7, &[1])).is_err());
        let cut = numeric(0, 0, &[1, 2]);
        assert!(Number::from_sql(&Type::NUMERIC, &cut[..10]).is_err());
        assert!(Number::from_sql(&Type::NUMERIC, &cut[..3]).is_err());
        assert!(Number::from_sql(&Type::INT4, &[1]).is_err());
    }
}
