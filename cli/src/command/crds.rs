//! `crds`: the CustomResourceDefinitions of all kinds that are understood.

use clap::Args;
use serde_json::Value;
use zeron_controller::crds::manifests;

use super::Failure;
use crate::args::{Format, GlobalArgs};
use crate::output::{print, structured};

/// Arguments of `crds`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrdsArgs {
    /// Only this one, such as scaledobjects.keda.sh; several times for several
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
}

/// There is no such definition.
#[derive(Debug, thiserror::Error)]
#[error("there is no CustomResourceDefinition {name}; there are {known}")]
struct UnknownName {
    name: String,
    known: String,
}

pub(super) fn run(global: &GlobalArgs, args: &CrdsArgs) -> Result<(), Failure> {
    let mut text = String::new();
    for definition in chosen(args)? {
        text.push_str(&document(global.output, &definition)?);
    }
    print(&text).map_err(Failure::runtime)
}

fn chosen(args: &CrdsArgs) -> Result<Vec<Value>, Failure> {
    let mut all = manifests();
    let known: Vec<String> = all.iter().map(|c| name(c).to_owned()).collect();
    if let Some(name) = args.name.iter().find(|name| !known.contains(name)) {
        return Err(Failure::usage(UnknownName {
            name: name.clone(),
            known: known.join(", "),
        }));
    }
    all.retain(|c| args.name.is_empty() || args.name.iter().any(|wanted| wanted == name(c)));
    Ok(all)
}

fn name(definition: &Value) -> &str {
    definition["metadata"]["name"].as_str().unwrap_or_default()
}

/// One document that `kubectl apply -f -` takes: YAML unless JSON is asked for.
fn document(format: Format, definition: &Value) -> Result<String, Failure> {
    let is_json = format == Format::Json;
    let format = if is_json { Format::Json } else { Format::Yaml };
    let text = structured(format, definition)?.unwrap_or_default();
    Ok(if is_json {
        text
    } else {
        format!("---\n{text}")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn yaml_says_what_the_types_say() {
        let args = CrdsArgs { name: Vec::new() };
        for definition in chosen(&args).unwrap() {
            let text = document(Format::Yaml, &definition).unwrap();
            let folder = Arc::new(PathBuf::from("."));
            let (read, problems) = zeron_manifest::parse(&Arc::from("crds"), &folder, &text);
            assert_eq!(problems, []);
            assert_eq!(read[0].value, definition, "{}", name(&definition));
        }
    }

    #[test]
    fn one_is_chosen_by_its_name_and_an_unknown_one_refused() {
        let named = |name: &str| CrdsArgs {
            name: vec![name.to_owned()],
        };
        let one = chosen(&named("scaledjobs.keda.sh")).unwrap();
        assert_eq!(one.len(), 1);
        let refusal = chosen(&named("scaledjobs")).unwrap_err();
        assert!(refusal.error().to_string().contains("scaledjobs.keda.sh"));
    }
}
