//! `zeron scalers`, and the page that is generated from it.
#![allow(clippy::unwrap_used)]

#[path = "scalers/left_out.rs"]
mod left_out;
#[path = "scalers/originals.rs"]
mod originals;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use zeron_tests::command;

fn listing() -> Value {
    let output = command(&["scalers", "-o", "json"], |_| ());
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn the_page_of_parameters_is_generated_from_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/scalers/parameters.md");
    let wanted = page(&listing());
    if std::env::var_os("ZERON_UPDATE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/scalers/parameters.md is not what it is generated from: run `ZERON_UPDATE=1 cargo test -p zeron-tests --test scalers`"
    );
}

#[test]
fn one_type_shows_its_parameters_in_columns() {
    let output = command(&["scalers", "kafka"], |_| ());
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("bootstrapServers"));
    assert!(!output.stdout.contains('\u{1b}'), "no colour in pipes");
}

#[test]
fn a_type_that_is_not_there_is_an_error_of_usage() {
    for (name, said) in [
        ("kafak", "there is no trigger type \"kafak\""),
        ("arangodb", "an external scaler may serve it"),
    ] {
        let output = command(&["scalers", name], |_| ());
        assert_eq!(output.code, Some(64), "{name}");
        assert!(output.stderr.contains(said), "{}", output.stderr);
    }
}

#[test]
fn parameters_and_defaults_are_kedas_but_for_what_is_listed() {
    const TEST: &str = "parameters_and_defaults_are_kedas_but_for_what_is_listed";
    let Some(schema) = originals::schema(TEST) else {
        return;
    };
    let (found, meant) = (
        originals::differences(&schema, &listing()),
        originals::meant(),
    );
    let unexpected: Vec<_> = found.difference(&meant).collect();
    let stale: Vec<_> = meant.difference(&found).collect();
    assert!(
        unexpected.is_empty() && stale.is_empty(),
        "differ and are in no list of scalers/left_out.rs: {unexpected:#?}\nlisted there and do not differ: {stale:#?}"
    );
}

#[test]
fn all_types_of_keda_are_known() {
    let Some(schema) = originals::schema("all_types_of_keda_are_known") else {
        return;
    };
    let listing = listing();
    let names = |list: &str, name: fn(&Value) -> &Value| -> Vec<String> {
        let items = listing[list].as_array().unwrap().iter();
        items
            .map(|it| name(it).as_str().unwrap().to_owned())
            .collect()
    };
    let ours: BTreeSet<String> = names("builtIn", |it| &it["type"])
        .into_iter()
        .chain(names("notBuiltIn", |it| it))
        .collect();
    assert_eq!(ours, originals::types(&schema));
}

fn page(listing: &Value) -> String {
    let mut page = "# Parameters of all trigger types\n\nGenerated from the code; `zeron scalers NAME` prints the same. A name that ends in `FromEnv` takes the value of the environment variable that it names.\n".to_owned();
    for it in listing["builtIn"].as_array().unwrap() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        write!(
            page,
            "\n## {}\n\n{}.\n\n",
            text(&it["type"]),
            text(&it["about"])
        )
        .unwrap();
        page.push_str("| parameter | values | from | default | |\n|---|---|---|---|---|\n");
        for parameter in it["parameters"].as_array().unwrap() {
            page.push_str(&row(parameter));
        }
        page.push_str(&originals::left_out(&text(&it["type"])));
    }
    let others = listing["notBuiltIn"].as_array().unwrap().iter();
    let others: Vec<_> = others.map(|it| it.as_str().unwrap()).collect();
    write!(
        page,
        "\n## Not built in\n\n{}.\n\nA ScaledObject with one of them is left to KEDA where KEDA runs; an external scaler may serve it ([external](external.md)).\n",
        others.join(", ")
    )
    .unwrap();
    page
}

fn row(parameter: &Value) -> String {
    let text = |name: &str| parameter[name].as_str().unwrap_or_default().to_owned();
    let values = match parameter["type"].as_str().unwrap() {
        "choice" => {
            let words = parameter["words"].as_array().unwrap().iter();
            let words: Vec<_> = words.map(|word| word.as_str().unwrap()).collect();
            words.join(", ")
        }
        "integer" => format!("integer from {}", parameter["min"]),
        "number" => match &parameter["min"] {
            Value::Null => "number".to_owned(),
            min if parameter["isAbove"] == true => format!("number above {min}"),
            min => format!("number from {min}"),
        },
        other => other.to_owned(),
    };
    let default = match parameter["default"].as_str() {
        Some(default) => format!("`{default}`"),
        None if parameter["isRequired"] == true => "required".to_owned(),
        None => String::new(),
    };
    let about = if parameter["isIgnored"] == true {
        format!("{} (without effect)", text("about"))
    } else {
        text("about")
    };
    format!(
        "| `{}` | {values} | {} | {default} | {about} |\n",
        text("name"),
        text("place")
    )
}
