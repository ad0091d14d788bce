//! `validate`: everything that `up` would check, without running anything.

use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, USAGE};
use crate::args::{GlobalArgs, ValidateArgs};
use crate::control::{Problem, Severity};
use crate::output::{print, structured};
use zeron_catalog::{self as catalog, CompileOptions};

/// What was found, as JSON or YAML.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Findings {
    is_valid: bool,
    files: usize,
    documents: usize,
    problems: Vec<Problem>,
}

pub(super) fn run(global: &GlobalArgs, args: &ValidateArgs) -> Result<ExitCode, Failure> {
    let findings = check(args);
    let text = structured(global.output, &findings)?.unwrap_or_else(|| findings.text());
    print(&text).map_err(Failure::runtime)?;
    Ok(if findings.is_valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(USAGE)
    })
}

fn check(args: &ValidateArgs) -> Findings {
    let sources = zeron_manifest::read_paths(&args.paths);
    let options = CompileOptions {
        domain: args.domain.clone(),
        is_strict: args.strict,
    };
    let registry = zeron_scalers::Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
    let (_, compiled) = catalog::compile(&sources.documents, &registry, &options);
    let problems: Vec<Problem> = sources
        .problems
        .iter()
        .chain(&compiled)
        .map(Problem::from)
        .collect();
    let refuses = |p: &Problem| args.strict || p.severity == Severity::Error;
    Findings {
        is_valid: !problems.iter().any(refuses),
        files: sources.files.len(),
        documents: sources.documents.len(),
        problems,
    }
}

impl Findings {
    fn text(&self) -> String {
        let mut text: String = self.problems.iter().map(|p| format!("{p}\n")).collect();
        let count = |severity| {
            self.problems
                .iter()
                .filter(|p| p.severity == severity)
                .count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let verdict = if self.is_valid { "valid" } else { "not valid" };
        text.push_str(&format!(
            "{verdict}: {} files, {} documents, {errors} errors, {warnings} warnings\n",
            self.files, self.documents
        ));
        text
    }
}
