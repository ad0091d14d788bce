//! An answer, read once per format however many values are taken from it.

use std::cell::OnceCell;

use serde_json::Value;
use zeron_core::metric::{Unknown, UnknownKind};

use super::location::Path;
use super::trigger::Location;
use super::xml;
use crate::source::unknown;

/// An answer, read on first use in the format that is asked for.
#[derive(Debug)]
pub(super) struct Document {
    text: Result<String, Unknown>,
    json: OnceCell<Result<(), Unknown>>,
    yaml: OnceCell<Result<String, Unknown>>,
    xml: OnceCell<Result<String, Unknown>>,
}

impl Document {
    /// Of a body.
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self {
            text: String::from_utf8(body).map_err(|_| not("UTF-8")),
            json: OnceCell::new(),
            yaml: OnceCell::new(),
            xml: OnceCell::new(),
        }
    }

    /// The number at `location`, finite and not negative.
    pub(super) fn number(&self, location: &Location) -> Result<f64, Unknown> {
        let text = self.text.as_ref().map_err(Unknown::clone)?;
        let number = match location {
            Location::Json(path) => {
                self.json.get_or_init(|| check(text)).clone()?;
                path.number(text)
            }
            Location::Yaml(path) => at(path, self.yaml.get_or_init(|| from_yaml(text))),
            Location::Xml(path) => at(path, self.xml.get_or_init(|| from_xml(text))),
            Location::Prometheus(selector) => selector.sum(text),
        }?;
        if number.is_finite() && number >= 0.0 {
            Ok(number)
        } else {
            let message = format!("the value is {number}, and must be finite and not negative");
            Err(unknown(UnknownKind::Parse, message))
        }
    }
}

/// A path is looked up in the text itself, which must be well formed for that, and not too deep.
fn check(text: &str) -> Result<(), Unknown> {
    let read: Result<Value, _> = serde_json::from_str(text);
    read.map(drop).map_err(|_| not("JSON"))
}

fn from_yaml(text: &str) -> Result<String, Unknown> {
    let tree: Value = serde_saphyr::from_str(text).map_err(|_| not("YAML"))?;
    Ok(tree.to_string())
}

fn from_xml(text: &str) -> Result<String, Unknown> {
    let tree = xml::tree(text).ok_or_else(|| not("XML"))?;
    Ok(tree.to_string())
}

fn at(path: &Path, json: &Result<String, Unknown>) -> Result<f64, Unknown> {
    path.number(json.as_ref().map_err(Unknown::clone)?)
}

fn not(format: &str) -> Unknown {
    let message = format!("the answer is no {format}");
    unknown(UnknownKind::Parse, message)
}

#[cfg(test)]
mod tests {
    use super::super::selector::Selector;
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn number(body: &str, location: &Location) -> Result<f64, UnknownKind> {
        let document = Document::new(body.as_bytes().to_vec());
        document.number(location).map_err(|error| error.kind)
    }

    #[test]
    fn every_format_is_read_by_its_location() {
        let json = Location::Json(path("a.1"));
        assert_eq!(number(r#"{"a": [1, 2]}"#, &json), Ok(2.0));
        let yaml = Location::Yaml(path("a.b"));
        assert_eq!(number("a:\n  b: 1500m\n", &yaml), Ok(1.5));
        let xml = Location::Xml(path("a.b"));
        assert_eq!(number("<a><b>3</b></a>", &xml), Ok(3.0));
        let prometheus = Location::Prometheus(Selector::parse("a").unwrap());
        assert_eq!(number("a 4", &prometheus), Ok(4.0));
    }

    #[test]
    fn one_document_answers_several_locations() {
        let document = Document::new(br#"{"a": 1, "b": 2}"#.to_vec());
        assert_eq!(document.number(&Location::Json(path("a"))), Ok(1.0));
        assert_eq!(document.number(&Location::Yaml(path("b"))), Ok(2.0));
    }

    #[test]
    fn garbage_is_unknown_in_every_format() {
        let deep = "[".repeat(1_000_000);
        for body in ["", "<a>", "{\"a\": ", "a: [", "\u{0}", deep.as_str()] {
            for location in [Location::Json(path("a")), Location::Xml(path("a"))] {
                let kind = number(body, &location).unwrap_err();
                assert_eq!(kind, UnknownKind::Parse, "{:.20}", body);
            }
            assert!(
                number(body, &Location::Yaml(path("a"))).is_err(),
                "{body:.20}"
            );
        }
        let document = Document::new(vec![0xff, 0xfe]);
        assert!(document.number(&Location::Json(path("a"))).is_err());
    }

    #[test]
    fn numbers_that_are_no_load_are_unknown() {
        let json = Location::Json(path("a"));
        assert_eq!(number(r#"{"a": -1}"#, &json), Err(UnknownKind::Parse));
        let prometheus = Location::Prometheus(Selector::parse("a").unwrap());
        for text in ["a NaN", "a +Inf", "a -1"] {
            assert_eq!(number(text, &prometheus), Err(UnknownKind::Parse), "{text}");
        }
    }
}
