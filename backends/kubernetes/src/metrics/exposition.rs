//! A kubelet's `/metrics/resource`: Prometheus' text format, as much of it as the kubelet writes.

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    labels: &'a str,
    pub(crate) value: f64,
    /// Milliseconds since the epoch, where given.
    pub(crate) at: Option<i64>,
}

impl<'a> Sample<'a> {
    /// Reads `name{labels} value timestamp`; comments and what is no sample are `None`.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (name, labels, rest) = match line.split_once('{') {
            Some((name, rest)) => {
                let end = end_of_labels(rest)?;
                (name, &rest[..end], &rest[end + 1..])
            }
            None => {
                let (name, rest) = line.split_once(' ')?;
                (name, "", rest)
            }
        };
        let mut numbers = rest.split_ascii_whitespace();
        let value = numbers.next()?.parse().ok()?;
        let at = numbers.next().and_then(|at| at.parse().ok());
        Some(Self {
            name,
            labels,
            value,
            at,
        })
    }

    /// A label's value. Names of pods, namespaces and containers need no escapes.
    pub(crate) fn label(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        loop {
            let (key, after) = rest.split_once("=\"")?;
            let end = end_of_value(after)?;
            if key.trim_start_matches(',').trim() == name {
                return Some(&after[..end]);
            }
            rest = &after[end + 1..];
        }
    }
}

/// Where the closing brace is, outside of quotes.
fn end_of_labels(text: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Where the closing quote is.
fn end_of_value(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn samples_of_a_kubelet_are_read() {
        let line = "container_cpu_usage_seconds_total{container=\"fn\",namespace=\"h\",pod=\"a-b\"} 0.018 1795274510320";
        let sample = Sample::parse(line).unwrap();
        assert_eq!(sample.name, "container_cpu_usage_seconds_total");
        assert_eq!(sample.label("pod"), Some("a-b"));
        assert_eq!(sample.label("container"), Some("fn"));
        assert_eq!(sample.label("node"), None);
        assert_eq!((sample.value, sample.at), (0.018, Some(1_795_274_510_320)));
        let plain = Sample::parse("node_memory_working_set_bytes 9.9e+09").unwrap();
        assert_eq!((plain.value, plain.at), (9.9e9, None));
    }

    #[test]
    fn anything_else_is_none_and_never_a_panic() {
        for line in [
            "",
            "# HELP x",
            "x{",
            "x{a=\"",
            "x{a=\"\\\"} 1",
            "x",
            "x{a=\"b\"}",
            "x{} y",
        ] {
            assert_eq!(Sample::parse(line), None, "{line}");
        }
        assert_eq!(Sample::parse("x{a} 1").unwrap().label("a"), None);
        let tricky = Sample::parse("x{a=\"}\",b=\"\\\"\"} 1").unwrap();
        assert_eq!(
            (tricky.label("a"), tricky.label("b")),
            (Some("}"), Some("\\\""))
        );
    }
}
