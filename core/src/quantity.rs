//! Kubernetes quantities (`100m`, `1.5Gi`, `2e3`).

/// Suffixes of `resource.Quantity` as powers, by Kubernetes' own definition.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number that a quantity stands for; `None` when it is none.
pub fn quantity(text: &str) -> Option<f64> {
    let text = text.trim();
    let scaled = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    let (digits, factor) = scaled.unwrap_or((text, 1.0));
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))
            && text.ends_with(|c: char| c.is_ascii_digit() || c == '.')
    };
    let number: f64 = digits.parse().ok().filter(|_| is_number(digits))?;
    let value = number * factor;
    value.is_finite().then_some(value)
}

/// Thousandths of a core, rounded up as Kubernetes does.
pub fn cpu_millis(text: &str) -> Option<u64> {
    whole(quantity(text)? * 1000.0)
}

/// Bytes.
pub fn memory_bytes(text: &str) -> Option<u64> {
    whole(quantity(text)?)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie within the type"
)]
fn whole(value: f64) -> Option<u64> {
    // Products of decimal fractions miss whole numbers by a hair.
    let value = (value - 1e-6).ceil();
    (0.0..=9e18).contains(&value).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_does() {
        assert_eq!(cpu_millis("100m"), Some(100));
        assert_eq!(cpu_millis("0.1"), Some(100));
        assert_eq!(cpu_millis("2"), Some(2000));
        assert_eq!(cpu_millis("1500000n"), Some(2));
        assert_eq!(memory_bytes("128Mi"), Some(128 << 20));
        assert_eq!(memory_bytes("1e3"), Some(1000));
        assert_eq!(memory_bytes("1.5Gi"), Some(3 << 29));
        assert_eq!(memory_bytes("1E"), Some(1_000_000_000_000_000_000));
    }

    #[test]
    fn nonsense_is_no_quantity() {
        for text in ["", "m", "Gi", "nan", "inf", "1 m x", "-1"] {
            assert_eq!(memory_bytes(text), None, "{text}");
        }
    }
}
