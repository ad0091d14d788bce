//! The cluster of a test run: given, found running, or brought up for the run and taken down after it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::programs::{self, Programs};
use super::state::{self, State};
use super::{KUBECONFIG, Mode, keda, knative, node};
use crate::skipped::Report;
use crate::{apt, cargo, image};

/// Tells tests why there is no cluster.
const MISSING: &str = "ZERON_TEST_NO_CLUSTER";
/// The tag of the function's image in tests: `dev.local/zeron-example-function:test`.
const IMAGE_TAG: &str = "test";

/// What Go builds in the background, while cargo builds ours.
#[derive(Debug)]
pub(crate) struct Preparation {
    cluster: Source,
    keda: Option<JoinHandle<anyhow::Result<PathBuf>>>,
    knative: Option<JoinHandle<anyhow::Result<PathBuf>>>,
}

#[derive(Debug)]
enum Source {
    /// A cluster is there already.
    Found(PathBuf),
    /// Go builds in the background.
    Building(Mode, JoinHandle<anyhow::Result<Programs>>),
}

impl Preparation {
    /// Looks for a cluster, and begins to build one when there is none; KEDA and Knative after it.
    pub(crate) fn begin() -> Self {
        let cluster = Source::find();
        // Their tests need a node. The lock of the cache lets one build work at a time.
        let has_node = !matches!(cluster, Source::Building(Mode::ApiOnly, _));
        Self {
            cluster,
            keda: has_node.then(|| std::thread::spawn(keda::operator)),
            knative: has_node.then(|| std::thread::spawn(knative::build)),
        }
    }

    /// Brings the cluster up. What cannot be had here is entered into the report of skips.
    pub(crate) fn up(self, report: &Report) -> anyhow::Result<Session> {
        let mut session = self.cluster.up(report)?;
        give_test_image()?;
        match self.keda.map(joined) {
            Some(Ok(operator)) => session.variables.push((keda::OPERATOR, operator.into())),
            Some(Err(error)) => report.add("KEDA's operator", &in_short(&error))?,
            None => {}
        }
        match self.knative.map(joined) {
            Some(Ok(programs)) => session.variables.push((knative::PROGRAMS, programs.into())),
            Some(Err(error)) => report.add("Knative Serving", &in_short(&error))?,
            None => {}
        }
        Ok(session)
    }
}

/// Gives the node of this machine the image that tests of crates start pods of: the function of the examples
/// as this run built it.
fn give_test_image() -> anyhow::Result<()> {
    let Some(state) = state::claimed().filter(State::is_running) else {
        return Ok(());
    };
    let archive = image::run(&image::Order {
        program: image::Program::Function,
        binary: Some(cargo::target().join("debug/zeron-example-function")),
        output: None,
        tag: Some(IMAGE_TAG.to_owned()),
    })?;
    node::load(&state, &archive)
}

impl Source {
    fn find() -> Self {
        if let Some(given) = std::env::var_os(KUBECONFIG) {
            println!("== the cluster of {} is used", Path::new(&given).display());
            return Self::Found(given.into());
        }
        if let Some(state) = state::claimed().filter(State::is_running) {
            println!(
                "== the cluster that is up in {} is used, and left up",
                state.root().display()
            );
            return Self::Found(state.path("kubeconfig"));
        }
        let mode = if apt::is_root() {
            Mode::Full
        } else {
            Mode::ApiOnly
        };
        programs::install(mode);
        Self::Building(mode, std::thread::spawn(move || Programs::build(mode)))
    }

    fn up(self, report: &Report) -> anyhow::Result<Session> {
        let (mode, building) = match self {
            Self::Found(kubeconfig) => return Ok(Session::of(kubeconfig, None)),
            Self::Building(mode, building) => (mode, building),
        };
        if mode == Mode::ApiOnly {
            report.add("the node of the test cluster", "not root")?;
        }
        if let Err(error) = joined(building) {
            return Session::missing(report, &error);
        }
        let state = State::open(&super::default_folder())?;
        match super::up(&state, mode, false) {
            Ok(kubeconfig) => Ok(Session::of(kubeconfig, Some(state))),
            Err(error) if mode == Mode::Full => {
                println!("== no node can be had here: {error:#}");
                crate::interrupt::check()?;
                report.add("the node of the test cluster", &in_short(&error))?;
                match super::up(&state, Mode::ApiOnly, false) {
                    Ok(kubeconfig) => Ok(Session::of(kubeconfig, Some(state))),
                    Err(error) => Session::missing(report, &error),
                }
            }
            Err(error) => Session::missing(report, &error),
        }
    }
}

/// A cluster that tests use, or the reason why there is none.
#[derive(Debug)]
pub(crate) struct Session {
    own: Option<State>,
    variables: Vec<(&'static str, OsString)>,
}

impl Session {
    fn of(kubeconfig: PathBuf, own: Option<State>) -> Self {
        Self {
            own,
            variables: vec![(KUBECONFIG, kubeconfig.into())],
        }
    }

    fn missing(report: &Report, error: &anyhow::Error) -> anyhow::Result<Self> {
        println!("== no test cluster: {error:#}");
        let reason = in_short(error);
        report.add("the test cluster", &reason)?;
        Ok(Self {
            own: None,
            variables: vec![(MISSING, reason.into())],
        })
    }

    /// What tests find it by.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.as_os_str()))
    }

    /// Takes it down, when it was brought up for this run.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        match self.own {
            Some(state) => {
                let lock = state.lock()?;
                super::down(&state)?;
                drop(lock);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// What a build came to.
fn joined<T>(build: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    build
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a build panicked")))
}

/// What failed and, where the end of a log follows, the last that was said there.
fn in_short(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    match lines.next_back() {
        Some(last) => format!("{first} {last}"),
        None => first.to_owned(),
    }
}
