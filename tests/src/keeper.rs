//! Owns a server's process and folder: a shell that takes orders on a pipe and cleans up when the
//! pipe closes, however this process ends.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use anyhow::{Context, ensure};

use crate::process;

/// `$1`: the folder; the rest: the server's command. One order per line.
///
/// Signals to the whole terminal (Ctrl-C) are left to the process that gives the orders.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
folder=$1; shift; pid=
while read -r order; do
    case $order in
        run) "$@" </dev/null >>"$folder/server.log" 2>&1 & pid=$! ;;
        wait) wait "$pid" 2>/dev/null; pid=; echo ended ;;
        *) kill -s "$order" "$pid"; echo "$pid" ;;
    esac
done
if [ -n "$pid" ]; then kill -s KILL "$pid"; kill -s CONT "$pid"; wait "$pid"; fi 2>/dev/null
rm -rf -- "$folder"
"#;

/// Bytes of the log that a failure shows.
const TAIL_BYTES: usize = 4_000;

/// What may be done to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    /// End it at once.
    Kill,
    /// Freeze it.
    Stop,
    /// Let it go on.
    Continue,
}

/// Owns a server's process and folder.
#[derive(Debug)]
pub(crate) struct Keeper {
    shell: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

/// A fresh folder for a server's settings and data.
pub(crate) fn new_folder() -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("zeron-server-{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    Ok(folder)
}

impl Keeper {
    /// Starts the shell, which runs nothing yet.
    pub(crate) fn start(folder: &Path, command: &[OsString]) -> anyhow::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "zeron-test-keeper"])
            .arg(folder)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start sh")?;
        let orders = shell.stdin.take();
        let answers = shell.stdout.take().context("the shell has no output")?;
        Ok(Self {
            shell,
            orders,
            answers: BufReader::new(answers),
            folder: folder.to_owned(),
        })
    }

    /// Starts the process.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        self.order("run")
    }

    /// Sends a signal to it; it was sent, and the process has stopped if that was asked, when this returns.
    pub(crate) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.order(match signal {
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        })?;
        let pid = self
            .answer()?
            .parse()
            .context("the keeper tells whom it signalled")?;
        if matches!(signal, Signal::Stop) {
            process::wait_stopped(pid);
        }
        Ok(())
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        self.order("wait")?;
        let answer = self.answer()?;
        ensure!(answer == "ended", "the server's keeper is gone");
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.folder.join("server.log")).unwrap_or_default();
        let start = log.len().saturating_sub(TAIL_BYTES);
        String::from_utf8_lossy(&log[start..]).into_owned()
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim_end().to_owned())
    }

    fn order(&mut self, order: &str) -> anyhow::Result<()> {
        let orders = self
            .orders
            .as_mut()
            .context("the server's keeper was dismissed")?;
        writeln!(orders, "{order}").context("the server's keeper is gone")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("cannot wait for a server's keeper: {error}");
        }
    }
}
