//! What each command does, and with which exit code it ends.

mod change;
mod check;
mod cluster;
mod crds;
mod failure;
mod grant;
mod handback;
mod import;
mod inspect;
mod log;
mod scalers;
mod simulate;
mod swap;
mod takeover;
mod up;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use zeron_core::Chain;

use crate::args::{Cli, Command, CompletionArgs, GlobalArgs};
use crate::client::Client;
use crate::output::{Style, print, structured};
pub(crate) use check::CheckArgs;
pub(crate) use crds::CrdsArgs;
pub(crate) use failure::{Failure, USAGE};
pub(crate) use grant::GrantArgs;
pub(crate) use handback::HandbackArgs;
pub(crate) use import::ImportArgs;
pub(crate) use scalers::ScalersArgs;
pub(crate) use swap::SwapArgs;

/// Reads the command line, does what it says, and tells what went wrong.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::read(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Nowhere to write it to: the code tells all the same.
            error.print().ok();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match execute(cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", Chain(failure.error()));
            failure.code()
        }
    }
}

fn execute(cli: Cli) -> Result<ExitCode, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => return up::run(*args),
        Command::Activator(args) => return cluster::activator(*args),
        Command::Autoscaler(args) => return cluster::autoscaler(*args),
        Command::Controller(args) => return cluster::controller(*args),
        Command::Ls(args) => ask(inspect::ls(&global, &args))?,
        Command::Describe(args) => ask(inspect::describe(&global, &args))?,
        Command::Why(args) => ask(inspect::why(&global, &args))?,
        Command::Timeline(args) => ask(inspect::timeline(&global, &args))?,
        Command::Logs(args) => ask(inspect::logs(&global, &args))?,
        Command::Apply(args) => ask(change::apply(&global, &args))?,
        Command::Delete(args) => ask(change::delete(&global, &args))?,
        Command::Validate(args) => return validate::run(&global, &args),
        Command::Simulate(args) => simulate::run(&global, &args)?,
        Command::Scalers(args) => scalers::run(&global, &args)?,
        Command::Crds(args) => crds::run(&global, &args)?,
        Command::Check(args) => return ask(check::run(&global, &args)),
        Command::Grant(args) => ask(grant::run(&global, &args))?,
        Command::Import(args) => return ask(import::run(&global, &args)),
        Command::Handback(args) => return ask(handback::run(&global, &args)),
        Command::Swap(args) => return ask(swap::run(&global, &args)),
        Command::Completion(args) => complete(&args)?,
        Command::Version => version(&global)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command that asks a running zeron.
fn ask<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(Failure::runtime)?.block_on(work)
}

fn client(global: &GlobalArgs) -> Result<Client, Failure> {
    Ok(Client::new(global.admin(), global.token_file.as_deref())?)
}

fn style(global: &GlobalArgs) -> Style {
    Style::new(global.color)
}

fn complete(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "zeron", &mut script);
    print(&String::from_utf8_lossy(&script)).map_err(Failure::runtime)
}

fn version(global: &GlobalArgs) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let value = serde_json::json!({ "version": version });
    let text = structured(global.output, &value)?.unwrap_or_else(|| format!("zeron {version}\n"));
    print(&text).map_err(Failure::runtime)
}
