//! `%41` as `A`.

/// The text without its percent sequences. `None`: one has no two hexadecimal digits, or what comes out is not
/// UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let [high, low, after @ ..] = rest else {
            return None;
        };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_decoded_and_broken_ones_refused() {
        assert_eq!(decode("a%20b%C3%a9%25").as_deref(), Some("a bé%"));
        assert_eq!(decode("").as_deref(), Some(""));
        for text in ["%", "%2", "a%zz", "%ff"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
