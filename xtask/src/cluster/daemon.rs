//! Processes that outlive this one: started into sessions of their own, known by id and start time, ended by it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::state::State;
use super::wait::until;

/// Where programs of an administrator lie, which not every user has on the path.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long the kernel may take to end a killed process.
const KILL_TIME: Duration = Duration::from_secs(20);

/// A started process.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    /// What it is called in the folders of logs and ids.
    pub(crate) name: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// When it began, in ticks since boot: with it a reused id is told apart.
    began: u64,
    record: PathBuf,
}

/// Starts `program`, writing to `logs/NAME.log`.
pub(crate) fn start(
    state: &State,
    name: &str,
    program: &Path,
    arguments: &[String],
) -> anyhow::Result<Daemon> {
    let log = state.path(&format!("logs/{name}.log"));
    let log = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    // A session of its own: neither Ctrl-C nor the end of a terminal reaches it.
    let child = Command::new("setsid")
        .arg(program)
        .args(arguments)
        .env("PATH", system_path())
        .current_dir(state.root())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = child.id();
    let began = began(pid).with_context(|| format!("{name} ended at once"))?;
    let record = state.write(&format!("pids/{name}"), &format!("{pid} {began}\n"))?;
    Ok(Daemon {
        name: name.to_owned(),
        pid,
        began,
        record,
    })
}

/// The path for programs that call others.
pub(crate) fn system_path() -> String {
    match std::env::var("PATH") {
        Ok(path) => format!("{path}:{SYSTEM_PATH}"),
        Err(_) => SYSTEM_PATH.to_owned(),
    }
}

/// All that were started, whether they still run or not.
pub(crate) fn all(state: &State) -> Vec<Daemon> {
    let entries = fs::read_dir(state.path("pids"));
    let mut found: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| read(&entry.path()))
        .collect();
    found.sort_by(|a: &Daemon, b: &Daemon| a.name.cmp(&b.name));
    found
}

fn read(record: &Path) -> Option<Daemon> {
    let text = fs::read_to_string(record).ok()?;
    let (pid, began) = text.trim().split_once(' ')?;
    Some(Daemon {
        name: record.file_name()?.to_str()?.to_owned(),
        pid: pid.parse().ok()?,
        began: began.parse().ok()?,
        record: record.to_owned(),
    })
}

impl Daemon {
    /// Whether this very process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// An error, with the end of its log, when it ended by itself; or when the user wants no more.
    pub(crate) fn check(&self, state: &State) -> anyhow::Result<()> {
        crate::interrupt::check()?;
        if self.is_alive() {
            return Ok(());
        }
        let log = state.path(&format!("logs/{}.log", self.name));
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(8)..].join("\n");
        bail!("{} ended; the end of {}:\n{last}", self.name, log.display())
    }

    /// Ends it at once and forgets it. Nothing of a throw-away cluster needs a graceful end.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        if self.is_alive() {
            kill(self.pid);
            until(KILL_TIME, &format!("{} to end", self.name), || {
                Ok((!self.is_alive()).then_some(()))
            })?;
        }
        fs::remove_file(&self.record)
            .with_context(|| format!("cannot remove {}", self.record.display()))
    }
}

/// Kills a process; one that is gone already is fine.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // One that is gone already is what is wanted; one that stays is waited for in vain.
        kill_process(pid, Signal::KILL).unwrap_or_default();
    }
}

/// When a process began, in ticks since boot; `None` when it does not run (any more).
fn began(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    // The state is the third field of the line.
    let fields: Vec<_> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let threads: u32 = field(20)?.parse().ok()?;
    // Of an ended one other threads may still be about to give its ports back.
    if matches!(field(3)?, "Z" | "X") && threads <= 1 {
        return None;
    }
    field(22)?.parse().ok()
}

/// The process that a process was started by.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// The fields of its `stat` after the name, which stands in brackets and may hold anything.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned())
}

/// The ids of all processes.
pub(crate) fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
