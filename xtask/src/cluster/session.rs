//! The cluster of a test run: given, found running, or brought up for the run and taken down after it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::programs::{self, Programs};
use super::state::{self, State};
use super::{KUBECONFIG, Mode};
use crate::skipped::Report;
use crate::{apt, cargo};

/// Tells tests why there is no cluster.
const MISSING: &str = "ZERON_TEST_NO_CLUSTER";

/// Programs of a cluster in the making, while cargo builds ours.
#[derive(Debug)]
pub(crate) enum Preparation {
    /// A cluster is there already.
    Found(PathBuf),
    /// Go builds in the background.
    Building(Mode, JoinHandle<anyhow::Result<Programs>>),
}

impl Preparation {
    /// Looks for a cluster, and begins to build one when there is none.
    pub(crate) fn begin() -> Self {
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

    /// Brings the cluster up. What cannot be had here is entered into the report of skips.
    pub(crate) fn up(self, report: &Report) -> anyhow::Result<Session> {
        let (mode, building) = match self {
            Self::Found(kubeconfig) => return Ok(Session::of(kubeconfig, None)),
            Self::Building(mode, building) => (mode, building),
        };
        if mode == Mode::ApiOnly {
            report.add("the node of the test cluster", "not root")?;
        }
        let built = building.join();
        if let Err(error) = built.unwrap_or_else(|_| Err(anyhow::anyhow!("a build panicked"))) {
            return Session::missing(report, &error);
        }
        let state = State::open(&cargo::target().join("cluster"))?;
        match super::up(&state, mode, false) {
            Ok(kubeconfig) => Ok(Session::of(kubeconfig, Some(state))),
            Err(error) if mode == Mode::Full => {
                println!("== no node can be had here: {error:#}");
                crate::interrupt::check()?;
                report.add("the node of the test cluster", &first_line(&error))?;
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
    variable: (&'static str, OsString),
}

impl Session {
    fn of(kubeconfig: PathBuf, own: Option<State>) -> Self {
        Self {
            own,
            variable: (KUBECONFIG, kubeconfig.into()),
        }
    }

    fn missing(report: &Report, error: &anyhow::Error) -> anyhow::Result<Self> {
        println!("== no test cluster: {error:#}");
        let reason = first_line(error);
        report.add("the test cluster", &reason)?;
        Ok(Self {
            own: None,
            variable: (MISSING, reason.into()),
        })
    }

    /// What tests find it by.
    pub(crate) fn variable(&self) -> (&str, &OsString) {
        (self.variable.0, &self.variable.1)
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

fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().to_owned()
}
