//! One line of Prometheus text. Label blocks are read here, because `prometheus-parse` splits values
//! at every comma and drops what has an equals sign; the rest of a line is read by it.

use prometheus_parse::LineInfo;

use super::words::Words;

/// A value with its labels.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    labels: Vec<(String, String)>,
    /// The number.
    pub(super) value: f64,
}

impl Sample {
    /// The sample of a line whose metric `is_wanted`; `None` for other metrics, comments and empty lines.
    pub(super) fn read(
        line: &str,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Self>, &'static str> {
        let mut words = Words::new(line);
        if words.is_done() || words.rest().starts_with('#') {
            return Ok(None);
        }
        let name = words.name().ok_or("a line begins with no name")?;
        if !is_wanted(name) {
            return Ok(None);
        }
        let labels = labels(&mut words)?;
        // A name of its own: it knows none with a colon.
        let rest = format!("sample {}", words.rest());
        let LineInfo::Sample { value, .. } = LineInfo::parse(&rest) else {
            return Err("a sample has no value");
        };
        let value = value.parse().map_err(|_| "a value is no number")?;
        Ok(Some(Self { labels, value }))
    }

    /// The value of a label, empty where there is none.
    pub(super) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(it, _)| it == name);
        found.map_or("", |(_, value)| value)
    }
}

fn labels(words: &mut Words<'_>) -> Result<Vec<(String, String)>, &'static str> {
    let mut labels = Vec::new();
    if !words.take("{") {
        return Ok(labels);
    }
    while !words.take("}") {
        let name = words.name().ok_or("a label has no name")?;
        if !words.take("=") {
            return Err("a label has no value");
        }
        let value = words
            .quoted()
            .map_err(|_| "a label's value is not quoted")?;
        labels.push((name.to_owned(), value));
        if !words.take(",") && !words.rest().starts_with('}') {
            return Err("labels are not separated");
        }
    }
    Ok(labels)
}
