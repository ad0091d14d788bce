//! YAML text to located documents, bounded in depth, nodes and bytes.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use crate::document::{Document, Location, join_index, join_key};
use crate::problem::{Problem, Severity};
use crate::scalar;

/// Deepest nesting of mappings and sequences.
const MAX_DEPTH: usize = 64;
/// Nodes plus bytes of text of one document, expanded aliases included.
const MAX_WEIGHT: usize = 16 << 20;
/// What one node weighs beside its text.
const NODE_WEIGHT: usize = 32;
/// What aliases may add to that.
const MAX_ALIAS_WEIGHT: usize = 1 << 20;
/// Documents of one text.
const MAX_DOCUMENTS: usize = 10_000;

/// Reads all documents of `text`. Empty documents are left out.
///
/// A syntax error costs its document only: the next ones are read all the same.
pub fn parse(file: &Arc<str>, folder: &Arc<PathBuf>, text: &str) -> (Vec<Document>, Vec<Problem>) {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    loop {
        match next_document(&mut parser) {
            Ok(None) => break,
            Ok(Some((Value::Null, _))) => {}
            Ok(Some((value, positions))) => {
                let (file, folder) = (file.clone(), folder.clone());
                let document = Document {
                    file,
                    folder,
                    value,
                    positions,
                };
                documents.extend(document.flattened());
            }
            Err(fault) => {
                problems.push(fault.into_problem(file));
                if !matches!(parser.proceed_next_document(), Ok(true)) {
                    break;
                }
            }
        }
        if documents.len() + problems.len() > MAX_DOCUMENTS {
            problems.push(
                Fault::new((1, 1), "too many documents: at most 10000 are read").into_problem(file),
            );
            break;
        }
    }
    (documents, problems)
}

type Positions = BTreeMap<String, (u32, u32)>;

/// Why a document cannot be read.
#[derive(Debug)]
struct Fault {
    position: (u32, u32),
    message: String,
}

impl Fault {
    fn new(position: (u32, u32), message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
        }
    }

    fn into_problem(self, file: &Arc<str>) -> Problem {
        let (line, column) = self.position;
        Problem {
            severity: Severity::Error,
            location: Location {
                file: file.clone(),
                line,
                column,
            },
            object: None,
            field: String::new(),
            message: self.message,
        }
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        let text = error.info();
        let message = text.lines().next().unwrap_or_default();
        Self::new(
            position(error.marker()),
            format!("not valid YAML: {message}"),
        )
    }
}

/// Line and column from 1; the parser counts columns from 0.
fn position(marker: &Marker) -> (u32, u32) {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (
        number(marker.line()).max(1),
        number(marker.col()).saturating_add(1),
    )
}

fn next_document<'t>(
    parser: &mut Parser<'t, StrInput<'t>>,
) -> Result<Option<(Value, Positions)>, Fault> {
    loop {
        match parser.next_event().transpose()? {
            None | Some((Event::StreamEnd, _)) => return Ok(None),
            Some((Event::DocumentStart(..), _)) => break,
            Some(_) => {}
        }
    }
    let mut builder = Builder {
        parser,
        positions: Positions::new(),
        anchors: HashMap::new(),
        weight: 0,
        alias_weight: 0,
    };
    let (event, span) = builder.next()?;
    builder.mark("", &span);
    let value = builder.node("", event, &span, 0)?.0;
    let positions = builder.positions;
    Ok(Some((value, positions)))
}

/// Builds the value of one document.
struct Builder<'p, 't> {
    parser: &'p mut Parser<'t, StrInput<'t>>,
    positions: Positions,
    anchors: HashMap<usize, (Value, usize)>,
    weight: usize,
    alias_weight: usize,
}

impl<'t> Builder<'_, 't> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.parser.next_event().transpose()? {
            Some(next) => Ok(next),
            None => Err(Fault::new((1, 1), "not valid YAML: it ends too early")),
        }
    }

    fn mark(&mut self, path: &str, span: &Span) {
        self.positions
            .insert(path.to_owned(), position(&span.start));
    }

    /// Accounts for nodes and text; refuses what grows without bound.
    fn weigh(&mut self, weight: usize, span: &Span) -> Result<usize, Fault> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > MAX_WEIGHT {
            return Err(Fault::new(
                position(&span.start),
                "the document is too large: at most 16 MiB",
            ));
        }
        Ok(weight)
    }

    /// One node and its weight.
    fn node(
        &mut self,
        path: &str,
        event: Event<'t>,
        span: &Span,
        depth: usize,
    ) -> Result<(Value, usize), Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::new(
                position(&span.start),
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        let (value, weight, anchor) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                let weight = self.weigh(NODE_WEIGHT + text.len(), span)?;
                (
                    scalar_value(&text, style, tag.as_deref(), span)?,
                    weight,
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, _) => {
                let (value, weight) = self.sequence(path, span, depth)?;
                (value, weight, anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                let (value, weight) = self.mapping(path, span, depth)?;
                (value, weight, anchor)
            }
            _ => {
                return Err(Fault::new(
                    position(&span.start),
                    "not valid YAML: a value is expected here",
                ));
            }
        };
        if anchor != 0 {
            self.weigh(weight, span)?;
            self.anchors.insert(anchor, (value.clone(), weight));
        }
        Ok((value, weight))
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<(Value, usize), Fault> {
        let Some((value, weight)) = self.anchors.get(&id) else {
            return Err(Fault::new(
                position(&span.start),
                "an alias stands inside of what it names",
            ));
        };
        self.alias_weight = self.alias_weight.saturating_add(*weight);
        if self.alias_weight > MAX_ALIAS_WEIGHT {
            return Err(Fault::new(
                position(&span.start),
                "aliases expand to more than 1 MiB",
            ));
        }
        let (value, weight) = (value.clone(), *weight);
        self.weigh(weight, span)?;
        Ok((value, weight))
    }

    fn sequence(&mut self, path: &str, span: &Span, depth: usize) -> Result<(Value, usize), Fault> {
        let mut total = self.weigh(NODE_WEIGHT, span)?;
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((Value::Array(items), total));
            }
            let path = join_index(path, items.len());
            self.mark(&path, &span);
            let (item, weight) = self.node(&path, event, &span, depth + 1)?;
            total += weight;
            items.push(item);
        }
    }

    fn mapping(&mut self, path: &str, span: &Span, depth: usize) -> Result<(Value, usize), Fault> {
        let mut total = self.weigh(NODE_WEIGHT, span)?;
        let (mut map, mut merged) = (Map::new(), Vec::new());
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let (key, weight) = self.key(event, &key_span)?;
            let path = join_key(path, &key);
            if map.contains_key(&key) {
                return Err(Fault::new(
                    position(&key_span.start),
                    format!("key {key:?} is given twice"),
                ));
            }
            self.mark(&path, &key_span);
            let (event, span) = self.next()?;
            let (value, value_weight) = self.node(&path, event, &span, depth + 1)?;
            total += weight + value_weight;
            if is_merge {
                merged.push((value, key_span));
            } else {
                map.insert(key, value);
            }
        }
        for (value, span) in merged {
            merge(&mut map, value, &span)?;
        }
        Ok((Value::Object(map), total))
    }

    fn key(&mut self, event: Event<'t>, span: &Span) -> Result<(String, usize), Fault> {
        let (value, weight) = self.node("", event, span, MAX_DEPTH)?;
        match value {
            Value::String(key) => Ok((key, weight)),
            Value::Number(key) => Ok((key.to_string(), weight)),
            Value::Bool(key) => Ok((key.to_string(), weight)),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(Fault::new(position(&span.start), "a key must be text"))
            }
        }
    }
}

/// `<<: *anchor`: fields of the mapping, or mappings, that are not given themselves.
fn merge(map: &mut Map<String, Value>, value: Value, span: &Span) -> Result<(), Fault> {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| match item {
            Value::Object(_) => merge(map, item, span),
            _ => Err(Fault::new(position(&span.start), "`<<` takes mappings")),
        }),
        _ => Err(Fault::new(position(&span.start), "`<<` takes a mapping")),
    }
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: &Span,
) -> Result<Value, Fault> {
    let plain = style == ScalarStyle::Plain;
    match tag.map(|tag| tag.core_suffix()) {
        None if plain => Ok(scalar::resolve(text)),
        None | Some(Some("str")) => Ok(Value::String(text.to_owned())),
        Some(Some("int" | "float" | "bool" | "null")) => Ok(scalar::resolve(text)),
        Some(_) => Err(Fault::new(
            position(&span.start),
            "this YAML tag is not supported",
        )),
    }
}
