//! Percent-encoding of names in URIs: those that a trigger gives, and those that are asked for.

use std::fmt::Write;

/// `text` as one segment of a path, or one value of a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        push(&mut encoded, byte);
    }
    encoded
}

/// As [`encode`], but a space is a plus sign: what Go's `url.QueryEscape` gives.
pub(super) fn encode_query(text: &str) -> String {
    let words: Vec<_> = text.split(' ').map(encode).collect();
    words.join("+")
}

fn push(encoded: &mut String, byte: u8) {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            encoded.push(char::from(byte));
        }
        _ => write!(encoded, "%{byte:02X}").expect("writing to a string succeeds"),
    }
}

/// The text that was percent-encoded; `None` where an escape is cut off or the bytes are no UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_both_ways() {
        for name in ["orders", "a/b c", "%2F", "ä+&?#", "", "a.b_c-d~e"] {
            assert_eq!(decode(&encode(name)).as_deref(), Some(name));
        }
        assert_eq!(encode("a/b c"), "a%2Fb%20c");
        assert_eq!(encode_query("a/b c"), "a%2Fb+c");
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
