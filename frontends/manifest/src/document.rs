//! One YAML document with the position of every field.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

/// One YAML document: its value, and where each field of it stands.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file's name as it was given; `stdin` for standard input.
    pub file: Arc<str>,
    /// The folder that relative paths in the document are relative to.
    pub folder: Arc<PathBuf>,
    /// What the document says.
    pub value: Value,
    /// Line and column by field path; the root is the empty path.
    pub(crate) positions: BTreeMap<String, (u32, u32)>,
}

/// A place in a file. Lines and columns count from 1; 0 where there is no text, as in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// `file:line:column`; without a line only the file.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Document {
    /// An object that was never text: its places are field paths alone.
    pub fn from_json(name: impl Into<Arc<str>>, value: Value) -> Self {
        Self {
            file: name.into(),
            folder: Arc::default(),
            value,
            positions: BTreeMap::new(),
        }
    }

    /// Where the field at `path` stands; the nearest enclosing field when it is not there itself.
    ///
    /// Paths look like `spec.template.spec.containers[0].image`; keys that are not plain words
    /// stand in brackets: `metadata.annotations[autoscaling.knative.dev/min-scale]`.
    pub fn location(&self, path: &str) -> Location {
        if self.positions.is_empty() {
            return Location {
                file: self.file.clone(),
                line: 0,
                column: 0,
            };
        }
        let mut path = path;
        loop {
            if let Some(&(line, column)) = self.positions.get(path) {
                return Location {
                    file: self.file.clone(),
                    line,
                    column,
                };
            }
            let Some(end) = parent_end(path) else {
                return Location {
                    file: self.file.clone(),
                    line: 1,
                    column: 1,
                };
            };
            path = &path[..end];
        }
    }
}

impl Document {
    /// The documents of a v1 List; the document itself when it is none.
    pub(crate) fn flattened(self) -> Vec<Self> {
        let is_list = self.value.get("kind").is_some_and(|kind| kind == "List");
        let items = match self.value.get("items") {
            Some(Value::Array(items)) if is_list => items,
            _ => return vec![self],
        };
        let item = |(index, value): (usize, &Value)| Self {
            file: self.file.clone(),
            folder: self.folder.clone(),
            value: value.clone(),
            positions: self.positions_below(&join_index("items", index)),
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Positions of the fields below `path`, by their paths from there.
    fn positions_below(&self, path: &str) -> BTreeMap<String, (u32, u32)> {
        let below = |(key, position): (&String, &(u32, u32))| {
            let rest = key.strip_prefix(path)?;
            let is_below = rest.is_empty() || rest.starts_with(['.', '[']);
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            is_below.then(|| (rest.to_owned(), *position))
        };
        let from = self.positions.range(path.to_owned()..);
        let is_near = |(key, _): &(&String, _)| key.starts_with(path);
        from.take_while(is_near).filter_map(below).collect()
    }
}

/// Where the enclosing field's path ends.
fn parent_end(path: &str) -> Option<usize> {
    if path.ends_with(']') {
        return path.rfind('[');
    }
    match path.rfind(['.', ']']) {
        Some(end) if path.as_bytes()[end] == b']' => Some(end + 1),
        Some(end) => Some(end),
        None if path.is_empty() => None,
        None => Some(0),
    }
}

/// The path of the field `key` of the mapping at `path`.
pub(crate) fn join_key(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    match (is_plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key}]"),
    }
}

/// The path of the item `index` of the sequence at `path`.
pub(crate) fn join_index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
