//! What `up` needs before anything runs: state, options, parts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zeron_activator::Activator;
use zeron_autoscaler::{Engine, EngineConfig, MonotonicClock};
use zeron_backend_process::{KeeperCommand, OpenFiles, ProcessBackend, ProcessConfig};
use zeron_core::{Backend, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Resources};

use super::applets;
use super::control::NodeControl;
use super::parts::Parts;
use super::reconcile::Command;
use super::view::View;
use crate::admin::Token;
use crate::args::UpArgs;
use crate::control::Problem;
use crate::store::Store;
use zeron_catalog::CompileOptions;

/// Exit code for bad usage or configuration (`EX_USAGE`).
const BAD_CONFIGURATION: u8 = 64;

/// The state folder and what is in it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) folder: PathBuf,
    pub(super) store: Arc<Store>,
}

/// Opens the state folder: `--state-dir`, else `$XDG_STATE_HOME/zeron`, else
/// `~/.local/state/zeron`.
pub(super) fn open_state(args: &UpArgs) -> anyhow::Result<State> {
    let folder = args.state_dir.clone().or_else(default_state_dir);
    let folder = folder.context("no state folder: give --state-dir, or set HOME")?;
    let store = Arc::new(Store::open(&folder)?);
    let folder = folder.canonicalize()?;
    Ok(State { folder, store })
}

fn default_state_dir() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(base.join("zeron"))
}

pub(super) fn options(args: &UpArgs) -> CompileOptions {
    CompileOptions {
        is_strict: args.strict,
        domain: args.domain.clone(),
    }
}

pub(super) fn token(args: &UpArgs) -> anyhow::Result<Option<Token>> {
    Ok(args
        .admin_token_file
        .as_deref()
        .map(Token::read)
        .transpose()?)
}

/// Prints every problem; nothing was started.
pub(super) fn refuse(problems: &[Problem]) -> ExitCode {
    let mut err = std::io::stderr().lock();
    for problem in problems {
        // Nobody left to tell when stderr is gone.
        writeln!(err, "{problem}").ok();
    }
    ExitCode::from(BAD_CONFIGURATION)
}

/// The event sources that are built in.
pub(super) fn scalers(args: &UpArgs) -> zeron_scalers::Registry {
    let addresses = AddressPolicy::MACHINE;
    let files = args.filepath_auth_root_path.clone();
    zeron_scalers::Registry::builtin(addresses.clone()).with_file_root(addresses, files)
}

/// Starts back end, engine and data plane, and connects them.
pub(super) fn parts(args: &UpArgs, state: &State, metrics: &mut Registry) -> anyhow::Result<Parts> {
    let (activator_link, engine_link) = zeron_wire::link();
    let activator = Activator::start(args.requests.config(args.listen), activator_link)
        .context("the data plane cannot start: --listen and --tls-listen choose its addresses")?;
    let backend = ProcessBackend::start(process_config(&state.folder)?)?;
    // Before the engine: a waiter is served before anybody is told of the replica.
    backend.subscribe(activator.sink());
    let resources = Resources::new(backend.meter());
    let scalers: Arc<dyn ScalerRegistry> = Arc::new(scalers(args).with(Box::new(resources)));
    let platform: Arc<dyn Backend> = backend.clone();
    let clock = Arc::new(MonotonicClock::new());
    let engine = Engine::start(
        EngineConfig::default(),
        platform,
        scalers,
        engine_link,
        clock,
    )?;
    backend.register(metrics);
    engine.register(metrics);
    activator.register(metrics);
    Ok(Parts {
        backend,
        engine,
        activator,
        runtime: tokio::runtime::Handle::current(),
    })
}

fn process_config(state_dir: &Path) -> anyhow::Result<ProcessConfig> {
    let program = std::env::current_exe().context("cannot find the running program")?;
    let keeper = KeeperCommand {
        program: program.clone(),
        args: vec![crate::applet::KEEPER.into()],
    };
    let base = std::env::current_dir().context("cannot find the current folder")?;
    // First: how many replicas may run follows from the limit.
    let open_files = OpenFiles::raise();
    let mut config = ProcessConfig::new(state_dir.to_owned(), base, keeper);
    config.open_files = Some(open_files);
    config.path_prefix = applets::path(&program, state_dir)?;
    Ok(config)
}

pub(super) fn control(
    parts: &Parts,
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<View>>,
    draining: CancellationToken,
) -> NodeControl {
    let port = parts
        .activator
        .addresses()
        .first()
        .map_or(80, std::net::SocketAddr::port);
    NodeControl {
        parts: parts.clone(),
        commands,
        view,
        port,
        draining,
    }
}

/// A named thread that lives as long as the process.
pub(super) fn thread(
    name: &str,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("zeron-{name}"))
        .spawn(run)
}
