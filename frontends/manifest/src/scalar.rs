//! What a plain scalar means: YAML 1.2 core schema.

use serde_json::{Number, Value};

/// Resolves an untagged plain scalar.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_like_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts_like_number || !unsigned.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        if let Ok(integer) = text.parse::<i64>() {
            return Some(integer.into());
        }
        if let Ok(integer) = text.parse::<u64>() {
            return Some(integer.into());
        }
    }
    if !unsigned
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
    {
        return None;
    }
    // What overflows to infinity stays text: JSON has no such number.
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

fn digits(text: &str, radix: u32) -> Option<Number> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
    u64::from_str_radix(text, radix)
        .ok()
        .filter(|_| is_plain)
        .map(Number::from)
}
