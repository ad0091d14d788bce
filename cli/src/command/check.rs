//! `check`: what is missing in a cluster, with a hint for each.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use zeron_backend_kubernetes::ClientOptions;

use super::{Failure, style};
use crate::args::{Format, GlobalArgs};
use crate::check::{self, Finding, Level, Question};
use crate::output::{Cell, Style, Table, Tone, clean, print, structured};

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// Before it is installed: whether this cluster and you are fit for it
    #[arg(long)]
    pub(crate) pre: bool,
    /// Also what is as it should be
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Namespace of zeron itself
    #[arg(long, value_name = "NAMESPACE", default_value = "zeron-system", value_parser = check::namespace)]
    pub(crate) zeron_namespace: String,
    /// Kubeconfig file [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// As JSON or YAML.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'f> {
    is_well: bool,
    findings: &'f [Finding],
}

pub(super) async fn run(global: &GlobalArgs, args: &CheckArgs) -> Result<ExitCode, Failure> {
    if let Some(namespace) = &global.namespace {
        check::namespace(namespace).map_err(Failure::usage)?;
    }
    let options = ClientOptions {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        ..ClientOptions::default()
    };
    let client = options.connect().await.map_err(Failure::usage)?;
    let question = Question {
        zeron: args.zeron_namespace.clone(),
        namespace: global.namespace.clone(),
        is_before: args.pre,
    };
    let tell = |what: &str| progress(&format!("checking {what} ..."));
    let checked = check::check(client, &question, &tell).await;
    progress("");
    let mut findings = checked.map_err(Failure::runtime)?;
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let is_well = findings.iter().all(|f| f.level < Level::Wrong);
    let view = View {
        is_well,
        findings: &findings,
    };
    let text = match structured(global.output, &view)? {
        Some(text) => text,
        None => {
            let shows_all = args.all || global.output == Format::Wide;
            table(&findings, shows_all, style(global))
        }
    };
    print(&text).map_err(Failure::runtime)?;
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// One line that is written over, where somebody looks.
fn progress(text: &str) {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        // Nobody is hurt when it cannot be shown.
        write!(error, "\r\x1b[K{text}").ok();
        error.flush().ok();
    }
}

fn table(findings: &[Finding], shows_all: bool, style: Style) -> String {
    let mut table = Table::new(&["STATUS", "AREA", "SUBJECT", "MESSAGE"]);
    let shown = |f: &&Finding| shows_all || f.level > Level::Ok;
    for finding in findings.iter().filter(shown) {
        table.push(vec![
            Cell::toned(finding.level.as_str(), tone(finding.level)),
            finding.area.into(),
            clean(&finding.subject).into(),
            clean(&finding.message).into(),
        ]);
    }
    let mut text = String::new();
    if findings.iter().any(|f| shown(&f)) {
        text = table.render(style);
    }
    text.push_str(&hints(findings, style));
    text.push_str(&verdict(findings));
    text
}

/// Each hint once, with what it is for.
fn hints(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    let mut said: Vec<&str> = Vec::new();
    for finding in findings {
        let Some(hint) = finding.hint.as_deref().filter(|hint| !said.contains(hint)) else {
            continue;
        };
        said.push(hint);
        let subject = style.strong(&clean(&finding.subject));
        let lines = hint.replace('\n', "\n    ");
        text.push_str(&format!("\n{subject}:\n    {lines}\n"));
    }
    text
}

fn verdict(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let (wrong, warnings) = (count(Level::Wrong), count(Level::Warning));
    let gap = match findings.iter().any(|f| f.level > Level::Ok) {
        true => "\n",
        false => "",
    };
    let checked = findings.len();
    format!("{gap}{checked} checked: {wrong} wrong, {warnings} warnings\n")
}

fn tone(level: Level) -> Tone {
    match level {
        Level::Ok => Tone::Good,
        Level::Note => Tone::Faint,
        Level::Warning => Tone::Busy,
        Level::Wrong => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::new(Level::Wrong, "rights", "a", "may not").hint("do this\nand that"),
            Finding::new(Level::Wrong, "rights", "b", "may not").hint("do this\nand that"),
            Finding::new(Level::Ok, "mesh", "c", "fine"),
        ]
    }

    #[test]
    fn what_is_well_is_shown_only_when_asked_for_and_hints_once() {
        let text = table(&findings(), false, Style::default());
        assert_eq!(
            text,
            "STATUS   AREA     SUBJECT   MESSAGE\n\
             wrong    rights   a         may not\n\
             wrong    rights   b         may not\n\
             \na:\n    do this\n    and that\n\
             \n3 checked: 2 wrong, 0 warnings\n"
        );
        assert!(table(&findings(), true, Style::default()).contains("fine"));
    }

    #[test]
    fn nothing_but_the_verdict_is_printed_when_all_is_well() {
        let well = [Finding::new(Level::Ok, "mesh", "c", "fine")];
        assert_eq!(
            table(&well, false, Style::default()),
            "1 checked: 0 wrong, 0 warnings\n"
        );
    }
}
