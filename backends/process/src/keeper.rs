//! The keeper: a small process that ends our replicas once we are gone, however we went.
//!
//! It reads from its standard input, one announcement per line, and knows that we are gone when
//! that ends. What was started but not announced is found by the token in its environment.

mod main;
mod procfs;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub use main::keeper_main;
pub(crate) use procfs::start_time;

use crate::config::{KeeperCommand, StartError};

/// Our end of the pipe to the keeper, and what it has to know.
#[derive(Debug)]
pub(crate) struct Keeper {
    command: KeeperCommand,
    link: Mutex<Link>,
}

#[derive(Debug, Default)]
struct Link {
    child: Option<Child>,
    pipe: Option<OwnedFd>,
    /// What a new keeper is told first.
    preamble: String,
    /// Announced groups and when their leaders started, to announce them again.
    groups: HashMap<u32, u64>,
}

impl Keeper {
    /// Starts the keeper; the descriptor becomes readable when it ends.
    pub(crate) fn start(
        command: KeeperCommand,
        token: &str,
        grace: Duration,
    ) -> Result<(Self, OwnedFd), StartError> {
        let program = command.program.clone();
        let keeper = Self {
            command,
            link: Mutex::new(Link {
                preamble: format!("token {token}\ngrace {}\n", grace.as_millis()),
                ..Link::default()
            }),
        };
        let watch = keeper
            .restart()
            .map_err(|source| StartError::Keeper { program, source })?;
        Ok((keeper, watch))
    }

    /// Starts it (again) and announces everything.
    pub(crate) fn restart(&self) -> io::Result<OwnedFd> {
        let mut link = self.link.lock();
        if let Some(mut before) = link.child.take() {
            // One that lives all the same would take us for gone when its pipe ends.
            end(&mut before);
        }
        // It finds everything in its pipe, also if we are gone the moment after it is there.
        let (reader, writer) = filled(&link.everything())?;
        let mut child = Command::new(&self.command.program)
            .args(&self.command.args)
            .stdin(reader)
            .stdout(Stdio::null())
            // Its own group from its first moment, so that Ctrl-C does not reach it.
            .process_group(0)
            .spawn()?;
        let watch = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        if watch.is_err() {
            // Before its pipe ends: it would take us for gone.
            end(&mut child);
        }
        let watch = watch?;
        link.child = Some(child);
        link.pipe = Some(writer);
        Ok(watch)
    }

    /// A process group began to live.
    pub(crate) fn announce(&self, group: u32, start: u64) {
        let mut link = self.link.lock();
        link.groups.insert(group, start);
        link.tell(&format!("+{group} {start}\n"));
    }

    /// A folder of control groups is to be taken away at the end.
    pub(crate) fn add_cgroup(&self, dir: &Path) {
        let mut link = self.link.lock();
        let line = format!("cgroup {}\n", dir.display());
        link.tell(&line);
        link.preamble.push_str(&line);
    }

    /// All of a process group is gone.
    pub(crate) fn retire(&self, group: u32) {
        let mut link = self.link.lock();
        link.groups.remove(&group);
        link.tell(&format!("-{group}\n"));
    }

    /// Closes the pipe: the keeper sweeps up and ends. The descriptor becomes readable then.
    pub(crate) fn close(&self) -> Option<OwnedFd> {
        let mut link = self.link.lock();
        link.pipe = None;
        let child = link.child.as_ref()?;
        pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
    }

    /// Collects its exit status once it ended.
    pub(crate) fn reap(&self) {
        self.link.lock().reap();
    }
}

/// Ends a keeper at once, without its sweep.
fn end(keeper: &mut Child) {
    // Either fails only when it is gone already.
    keeper.kill().ok();
    keeper.wait().ok();
}

/// A pipe with this text in it. A keeper that does not read must not stop us: writing never waits.
fn filled(text: &str) -> io::Result<(PipeReader, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let writer = OwnedFd::from(writer);
    // What is announced before it reads has room, too.
    if text.len() > fcntl_getpipe_size(&writer)? / 2 {
        fcntl_setpipe_size(&writer, 2 * text.len())?;
    }
    rustix::io::ioctl_fionbio(&writer, true)?;
    let written = rustix::io::write(&writer, text.as_bytes())?;
    if written < text.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok((reader, writer))
}

impl Link {
    /// What a new keeper has to know.
    fn everything(&self) -> String {
        let mut text = self.preamble.clone();
        for (group, start) in &self.groups {
            // Writing to memory does not fail.
            writeln!(text, "+{group} {start}").ok();
        }
        text
    }

    /// A keeper that cannot be told is ended, and started again by whoever watches it.
    fn tell(&mut self, text: &str) {
        let Some(pipe) = &self.pipe else { return };
        if rustix::io::write(pipe, text.as_bytes()) != Ok(text.len()) {
            if let Some(child) = &mut self.child {
                // Fails only when it is gone already.
                child.kill().ok();
            }
            self.pipe = None;
        }
    }

    fn reap(&mut self) {
        if let Some(child) = &mut self.child {
            child.try_wait().ok();
        }
    }
}
