//! Fields of an object by their path.

use std::collections::BTreeMap;

use serde_json::Value;
use zeron_core::Timestamp;

/// The value at `path`, if it is there and not null.
pub(super) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    let found = path.iter().try_fold(value, |value, name| value.get(name))?;
    Some(found).filter(|found| !found.is_null())
}

/// A text that is not empty.
pub(super) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// The items of a list; none when it is not there.
pub(super) fn items<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A mapping of texts.
pub(super) fn labels(value: &Value, path: &[&str]) -> BTreeMap<String, String> {
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let map = at(value, path).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(pair).collect()
}

/// An annotation of the object.
pub(super) fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    at(object, &["metadata", "annotations", name])?.as_str()
}

/// A point in time as the API writes it.
pub(super) fn time(value: &Value, path: &[&str]) -> Option<Timestamp> {
    let time: jiff::Timestamp = text(value, path)?.parse().ok()?;
    Some(Timestamp::from_micros(
        u64::try_from(time.as_microsecond()).ok()?,
    ))
}

/// The value at a path such as `.spec.replicas`, as a CustomResourceDefinition writes it.
pub(super) fn at_json_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let names = path.split('.').filter(|name| !name.is_empty());
    names
        .into_iter()
        .try_fold(value, |value, name| value.get(name))
}
