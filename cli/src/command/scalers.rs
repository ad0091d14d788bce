//! `scalers`: the trigger types that are built in, and what each takes.

use clap::Args;
use serde::Serialize;
use zeron_scalers::parameters::{Kind, Parameter, Place};
use zeron_scalers::{AddressPolicy, Registry, TriggerType};

use super::Failure;
use crate::args::{Format, GlobalArgs};
use crate::output::{Cell, Style, Table, Tone, print, structured};

/// Arguments of `scalers`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ScalersArgs {
    /// A trigger type, such as kafka: its parameters
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// What was asked for does not exist, or not here.
#[derive(Debug, thiserror::Error)]
enum Unavailable {
    #[error("there is no trigger type {name:?}; `zeron scalers` lists all")]
    Unknown { name: String },
    #[error(
        "trigger type {name} is not built in; an external scaler may serve it (`zeron scalers external`)"
    )]
    NotBuiltIn { name: String },
}

/// All types, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    built_in: Vec<&'a TriggerType>,
    not_built_in: Vec<&'static str>,
}

pub(super) fn run(global: &GlobalArgs, args: &ScalersArgs) -> Result<(), Failure> {
    let registry = Registry::builtin(AddressPolicy::MACHINE);
    let style = Style::new(global.color);
    let text = match &args.name {
        None => listing(&registry, global.output, style)?,
        Some(name) => one(&registry, name, global.output, style)?,
    };
    print(&text).map_err(Failure::runtime)
}

fn listing(registry: &Registry, format: Format, style: Style) -> Result<String, Failure> {
    let listing = Listing {
        built_in: registry.types().collect(),
        not_built_in: registry.others().collect(),
    };
    if let Some(text) = structured(format, &listing)? {
        return Ok(text);
    }
    let mut table = Table::new(&["TYPE", "ABOUT"]);
    for it in &listing.built_in {
        table.push(vec![Cell::toned(it.name, Tone::Strong), it.about.into()]);
    }
    let mut text = table.render(style);
    text.push_str(&format!(
        "\nNot built in: {}.\nAn external scaler may serve them: `zeron scalers external`.\n",
        listing.not_built_in.join(", ")
    ));
    Ok(text)
}

fn one(registry: &Registry, name: &str, format: Format, style: Style) -> Result<String, Failure> {
    let Some(found) = registry.types().find(|it| it.name == name) else {
        let name = name.to_owned();
        let is_known = registry.others().any(|other| other == name);
        return Err(Failure::usage(if is_known {
            Unavailable::NotBuiltIn { name }
        } else {
            Unavailable::Unknown { name }
        }));
    };
    if let Some(text) = structured(format, found)? {
        return Ok(text);
    }
    let mut table = Table::new(&["PARAMETER", "VALUES", "FROM", "DEFAULT", "ABOUT"]);
    for parameter in found.parameters {
        table.push(row(parameter));
    }
    Ok(format!(
        "{}: {}\n\n{}",
        found.name,
        found.about,
        table.render(style)
    ))
}

fn row(parameter: &Parameter) -> Vec<Cell> {
    let from = match parameter.place {
        Place::Metadata => "metadata",
        Place::Auth => "authentication",
        Place::Either => "either",
    };
    let default = match parameter.default {
        Some(default) => default,
        None if parameter.is_required => "(required)",
        None => "",
    };
    let about = if parameter.is_ignored {
        format!("{} (without effect)", parameter.about)
    } else {
        parameter.about.to_owned()
    };
    let name = Cell::toned(parameter.name, Tone::Strong);
    vec![
        name,
        values(parameter).into(),
        from.into(),
        default.into(),
        about.into(),
    ]
}

/// What is allowed, short enough for a column.
fn values(parameter: &Parameter) -> String {
    match parameter.kind {
        Kind::Text => "text".to_owned(),
        Kind::List => "a,b,c".to_owned(),
        Kind::Pairs => "a=x,b=y".to_owned(),
        Kind::Ranges => "1-4,7".to_owned(),
        Kind::Flag => "true|false".to_owned(),
        Kind::Integer { min } => format!("integer from {min}"),
        Kind::Number { min: None, .. } => "number".to_owned(),
        Kind::Number {
            min: Some(min),
            is_above,
        } => format!("number {} {min}", if is_above { "above" } else { "from" }),
        Kind::Duration => "duration".to_owned(),
        Kind::Choice { words } => words.join("|"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn registry() -> Registry {
        Registry::builtin(AddressPolicy::MACHINE)
    }

    #[test]
    fn every_type_of_keda_is_listed_once() {
        let text = listing(&registry(), Format::Json, Style::default()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let count = |field: &str| value[field].as_array().unwrap().len();
        assert_eq!(count("builtIn") + count("notBuiltIn"), 79);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn parameters_are_shown_with_defaults_and_places() {
        let text = one(&registry(), "kafka", Format::Table, Style::default()).unwrap();
        let line = text
            .lines()
            .find(|it| it.starts_with("lagThreshold"))
            .unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words[..6],
            ["lagThreshold", "integer", "from", "1", "metadata", "10"]
        );
        assert!(text.contains("bootstrapServers"));
        assert!(text.contains("(required)"));
    }

    #[test]
    fn a_type_that_is_not_built_in_is_told_from_a_misspelt_one() {
        let error = |name| {
            let failure = one(&registry(), name, Format::Table, Style::default()).unwrap_err();
            failure.error().to_string()
        };
        assert!(error("arangodb").contains("an external scaler may serve it"));
        assert!(error("kafak").starts_with("there is no trigger type \"kafak\""));
    }
}
