//! KEDA's own schema of its scalers against our tables: names, defaults, what is required, choices, places.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::left_out::{DIFFERENT, LEFT_OUT, OURS};

/// Names the folder of KEDA's generated schemas.
const FOLDER: &str = "ZERON_ORIGINAL_SCHEMAS";

/// KEDA's schema, if it is there; a test without it is skipped, which is reported.
pub(crate) fn schema(test: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        zeron_tests::broker::skip(test, &format!("{FOLDER} names no schemas of KEDA"));
        return None;
    };
    let file = folder.join("scalers-schema.json");
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
    Some(serde_json::from_str(&text).unwrap())
}

/// The trigger types that it lists.
pub(crate) fn types(schema: &Value) -> BTreeSet<String> {
    let scalers = schema["scalers"].as_array().unwrap().iter();
    scalers.map(|it| text(&it["type"])).collect()
}

/// One parameter, with all that the comparison knows of it.
#[derive(Debug, Default, PartialEq)]
struct Parameter {
    default: Option<String>,
    is_required: bool,
    words: BTreeSet<String>,
    is_in_metadata: bool,
    is_in_auth: bool,
}

/// All differences of types that are built in, as `TYPE NAME: what`.
pub(crate) fn differences(schema: &Value, listing: &Value) -> BTreeSet<String> {
    let theirs = by_type(&schema["scalers"], theirs);
    let ours = by_type(&listing["builtIn"], ours);
    let mut found = BTreeSet::new();
    for (kind, ours) in &ours {
        let Some(theirs) = theirs.get(kind) else {
            found.insert(format!("{kind}: only ours"));
            continue;
        };
        for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
            found.insert(format!("{kind} {name}: only theirs"));
        }
        for (name, ours) in ours {
            match theirs.get(name) {
                None => drop(found.insert(format!("{kind} {name}: only ours"))),
                Some(theirs) => compare(&format!("{kind} {name}"), theirs, ours, &mut found),
            }
        }
    }
    found
}

/// The differences that are meant, in the same words.
pub(crate) fn meant() -> BTreeSet<String> {
    let listed = |list: &[(&[&str], &[&str], &str)], what: &str| {
        let mut lines = Vec::new();
        for (types, names, _) in list {
            for kind in *types {
                lines.extend(names.iter().map(|name| format!("{kind} {name}: {what}")));
            }
        }
        lines
    };
    let mut all: BTreeSet<String> = listed(LEFT_OUT, "only theirs").into_iter().collect();
    all.extend(listed(OURS, "only ours"));
    for (types, what, _) in DIFFERENT {
        all.extend(types.iter().map(|kind| format!("{kind} {what}")));
    }
    all
}

fn compare(at: &str, theirs: &Parameter, ours: &Parameter, found: &mut BTreeSet<String>) {
    let default = |it: &Parameter| it.default.clone().unwrap_or_else(|| "nothing".to_owned());
    if !is_same_default(theirs, ours) {
        let (theirs, ours) = (default(theirs), default(ours));
        found.insert(format!("{at}: default {theirs}, ours {ours}"));
    }
    match (theirs.is_required, ours.is_required) {
        (true, false) => drop(found.insert(format!("{at}: required, not by us"))),
        (false, true) => drop(found.insert(format!("{at}: required by us"))),
        _ => {}
    }
    // Where ours is no choice, the words are checked by the code that reads them.
    for word in theirs.words.difference(&ours.words) {
        if !ours.words.is_empty() {
            found.insert(format!("{at}: no choice {word}"));
        }
    }
    let place = |it: &Parameter| (it.is_in_metadata, it.is_in_auth);
    if place(theirs) != place(ours) {
        found.insert(format!("{at}: read from elsewhere"));
    }
}

/// What is not said there is Go's zero.
fn is_same_default(theirs: &Parameter, ours: &Parameter) -> bool {
    let is_zero = |it: &Parameter| matches!(it.default.as_deref(), None | Some("false" | "0"));
    theirs.default == ours.default || is_zero(theirs) && is_zero(ours)
}

fn by_type(
    list: &Value,
    read: fn(&Value) -> Parameter,
) -> BTreeMap<String, BTreeMap<String, Parameter>> {
    let mut types = BTreeMap::new();
    for it in list.as_array().unwrap() {
        let mut parameters: BTreeMap<String, Parameter> = BTreeMap::new();
        for parameter in it["parameters"].as_array().unwrap() {
            // Some have several names.
            for name in text(&parameter["name"]).split(',') {
                let read = read(parameter);
                let known = parameters.entry(name.trim().to_owned());
                known
                    .and_modify(|known| {
                        known.is_in_metadata |= read.is_in_metadata;
                        known.is_in_auth |= read.is_in_auth;
                    })
                    .or_insert(read);
            }
        }
        types.insert(text(&it["type"]), parameters);
    }
    types
}

fn theirs(parameter: &Value) -> Parameter {
    let is = |name: &str| parameter[name] == true;
    let default = parameter["default"].as_str().map(str::to_owned);
    Parameter {
        is_required: !is("optional") && default.is_none(),
        default,
        words: words(&parameter["allowedValue"]),
        is_in_metadata: is("metadataVariableReadable") || is("envVariableReadable"),
        is_in_auth: is("triggerAuthenticationVariableReadable"),
    }
}

fn ours(parameter: &Value) -> Parameter {
    let place = parameter["place"].as_str().unwrap();
    Parameter {
        default: parameter["default"].as_str().map(str::to_owned),
        is_required: parameter["isRequired"] == true,
        words: words(&parameter["words"]),
        is_in_metadata: place != "auth",
        is_in_auth: place != "metadata",
    }
}

fn words(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What of a type is left out, and why, for its page.
pub(crate) fn left_out(kind: &str) -> String {
    let mut lines = String::new();
    for (types, names, why) in LEFT_OUT {
        if types.contains(&kind) {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            lines.push_str(&format!("- {}: {why}\n", names.join(", ")));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!("\nParameters of KEDA's that are left out:\n\n{lines}")
}
