//! Keeps what replicas write: one thread reads all their pipes.

mod file;
mod line;

use std::collections::{HashMap, HashSet};
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;
use zeron_core::{EndpointId, FunctionId};

pub(crate) use file::{function_dir, list, replica_file};
pub use line::{LogLine, Stream};
pub(crate) use line::{Splitter, Tail};

use crate::clock::Now;
use crate::config::LogLimits;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::poller::Poller;
use file::LogFile;

/// Bytes read from one pipe at a time: what a pipe holds by default.
const CHUNK: usize = 64 << 10;
/// Reads after which a replica that ended is not listened to any more: something that escaped its
/// group may hold the pipe and write for ever.
const LAST_READS: usize = 16;
/// Removed functions after which the folders are looked through again.
const PRUNE_EVERY: usize = 32;

/// What the log thread is told.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// A replica began to write.
    Open(Box<Output>),
    /// Its processes are gone: read the rest, then say so.
    Finish(EndpointId),
    /// A function was removed; its logs stay for a while.
    Removed,
    /// Write everything and end.
    Stop,
}

/// The output of one replica.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) replica: EndpointId,
    pub(crate) path: PathBuf,
    pub(crate) stdout: PipeReader,
    pub(crate) stderr: PipeReader,
    pub(crate) tail: Arc<Tail>,
}

/// Everything that the log thread owns.
pub(crate) struct LogThread {
    root: PathBuf,
    limits: LogLimits,
    inbox: Arc<LogInbox>,
    outputs: HashMap<EndpointId, Open>,
    chunk: Box<[u8]>,
    entries: Vec<u8>,
    removed: usize,
    has_warned: bool,
    metrics: Arc<Metrics>,
    hooks: Hooks,
}

/// What the log thread asks of the rest.
pub(crate) struct Hooks {
    /// Called when all output of a replica was read.
    pub(crate) on_finished: Box<dyn Fn(EndpointId) + Send>,
    /// The functions that are declared.
    pub(crate) functions: Box<dyn Fn() -> Vec<FunctionId> + Send>,
}

struct Open {
    file: LogFile,
    path: PathBuf,
    pipes: [Pipe; 2],
    tail: Arc<Tail>,
}

struct Pipe {
    /// `None` after its end.
    reader: Option<PipeReader>,
    splitter: Splitter,
}

/// The way to the log thread.
#[derive(Debug)]
pub(crate) struct LogInbox {
    events: Inbox<LogEvent>,
    poller: Poller,
}

impl LogInbox {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (events, poller) = (Inbox::new()?, Poller::new()?);
        poller.watch_readable(&events, WAKE)?;
        Ok(Self { events, poller })
    }

    /// Follows the output of a replica. A silent one does not wake the log thread.
    pub(crate) fn open(&self, output: Output) -> std::io::Result<()> {
        for (pipe, stream) in [&output.stdout, &output.stderr].into_iter().zip(0..) {
            rustix::io::ioctl_fionbio(pipe, true)?;
            // Ready before the thread knows of it: then it looks again at once.
            let token = (output.replica.0 << 1) | stream;
            self.poller.watch_readable(pipe, token)?;
        }
        self.events.push_quietly(LogEvent::Open(Box::new(output)));
        Ok(())
    }

    pub(crate) fn push(&self, event: LogEvent) {
        self.events.push(event);
    }
}

const WAKE: u64 = u64::MAX;
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl LogThread {
    pub(crate) fn new(
        root: PathBuf,
        limits: LogLimits,
        inbox: Arc<LogInbox>,
        metrics: Arc<Metrics>,
        hooks: Hooks,
    ) -> Self {
        Self {
            root,
            limits,
            inbox,
            outputs: HashMap::new(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            entries: Vec::new(),
            // The first removal looks through what earlier runs left.
            removed: PRUNE_EVERY - 1,
            has_warned: false,
            metrics,
            hooks,
        }
    }

    /// Runs until [`LogEvent::Stop`].
    pub(crate) fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            self.inbox.poller.wait(None, &mut ready);
            // First: whatever writes may be new.
            if !self.obey() {
                return;
            }
            for &token in ready.iter().filter(|token| **token != WAKE) {
                let (replica, stream) = (EndpointId(token >> 1), usize::from(token & 1 == 1));
                self.read(replica, stream, 1);
            }
        }
    }

    /// `false`: it is time to end.
    fn obey(&mut self) -> bool {
        for event in self.inbox.events.take() {
            match event {
                LogEvent::Open(output) => self.open(*output),
                LogEvent::Finish(replica) => self.finish(replica),
                LogEvent::Removed => self.forget(),
                LogEvent::Stop => {
                    let left: Vec<_> = self.outputs.keys().copied().collect();
                    left.into_iter().for_each(|replica| self.finish(replica));
                    return false;
                }
            }
        }
        true
    }

    fn open(&mut self, output: Output) {
        let pipe = |reader| Pipe {
            reader: Some(reader),
            splitter: Splitter::default(),
        };
        let open = Open {
            file: LogFile::new(output.path.clone()),
            path: output.path,
            pipes: [pipe(output.stdout), pipe(output.stderr)],
            tail: output.tail,
        };
        self.outputs.insert(output.replica, open);
    }

    /// Reads up to `reads` chunks of one stream and keeps them.
    fn read(&mut self, replica: EndpointId, stream: usize, reads: usize) {
        for _ in 0..reads {
            let Some(open) = self.outputs.get_mut(&replica) else {
                return;
            };
            let pipe = &mut open.pipes[stream];
            let Some(reader) = &pipe.reader else { return };
            let count = match rustix::io::read(reader, &mut self.chunk[..]) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Ok(count) if count > 0 => count,
                Ok(_) | Err(_) => {
                    pipe.reader = None;
                    return;
                }
            };
            let time = time();
            let (tail, entries) = (&open.tail, &mut self.entries);
            entries.clear();
            pipe.splitter
                .feed(&self.chunk[..count], |text, is_partial| {
                    keep(entries, tail, &time, STREAMS[stream], text, is_partial);
                });
            if !self.entries.is_empty() {
                let result = open.file.append(&self.entries, &self.limits);
                let len = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
                self.account(result, len, replica);
            }
        }
    }

    fn account(&mut self, result: std::io::Result<()>, len: u64, replica: EndpointId) {
        match result {
            Ok(()) => {
                self.metrics.log_bytes.inc_by(len);
                self.has_warned = false;
            }
            Err(error) => {
                self.metrics.log_lost_bytes.inc_by(len);
                if !self.has_warned {
                    self.has_warned = true;
                    warn!(%error, %replica, "cannot keep the output of a replica");
                }
            }
        }
    }

    fn finish(&mut self, replica: EndpointId) {
        for stream in 0..STREAMS.len() {
            self.read(replica, stream, LAST_READS);
        }
        if let Some(mut open) = self.outputs.remove(&replica) {
            let time = time();
            self.entries.clear();
            for (pipe, stream) in open.pipes.iter_mut().zip(STREAMS) {
                let (tail, entries) = (&open.tail, &mut self.entries);
                pipe.splitter.finish(|text, is_partial| {
                    keep(entries, tail, &time, stream, text, is_partial);
                });
            }
            if !self.entries.is_empty() {
                let result = open.file.append(&self.entries, &self.limits);
                let len = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
                self.account(result, len, replica);
            }
            (self.hooks.on_finished)(replica);
            self.prune(&open.path);
        }
    }

    fn prune(&self, ended: &Path) {
        let Some(dir) = ended.parent() else { return };
        let live = self.outputs.values().map(|open| open.path.as_path());
        let live: HashSet<&Path> = live.filter(|path| path.parent() == Some(dir)).collect();
        file::prune_replicas(dir, &live, self.limits.kept_replicas);
    }

    fn forget(&mut self) {
        self.removed += 1;
        if self.removed < PRUNE_EVERY {
            return;
        }
        self.removed = 0;
        let live = self.outputs.values().filter_map(|open| open.path.parent());
        let mut known: HashSet<PathBuf> = live.map(Path::to_owned).collect();
        let declared = (self.hooks.functions)();
        known.extend(declared.iter().map(|id| function_dir(&self.root, id)));
        file::prune_functions(&self.root, &known, self.limits.kept_functions);
    }
}

fn keep(
    entries: &mut Vec<u8>,
    tail: &Tail,
    time: &str,
    stream: Stream,
    text: &[u8],
    is_partial: bool,
) {
    line::write(entries, time, stream, text, is_partial);
    if stream == Stream::Stderr {
        tail.push(text);
    }
}

fn time() -> String {
    let micros = Now::read().timestamp.as_micros();
    let time = jiff::Timestamp::from_microsecond(i64::try_from(micros).unwrap_or(i64::MAX));
    format!("{:.6}", time.unwrap_or(jiff::Timestamp::MAX))
}
