//! Log files of a function's replicas as one stream of lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeron_backend_process::LogLine;
use zeron_core::FunctionId;

use crate::control::{ControlPlane, LogFile};

/// How often followed files are looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// Chunks that may wait for a slow reader.
const QUEUE: usize = 8;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// A longer line is cut here.
const MAX_LINE: usize = 64 << 10;
/// How far back `tail` looks, in bytes.
const MAX_TAIL: u64 = 16 << 20;

/// Which lines to send.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct LogQuery {
    /// Go on with what is written from now on.
    #[serde(default)]
    follow: bool,
    /// Only so many last lines of each replica.
    tail: Option<u32>,
    /// Only this replica. Otherwise lines begin with `[REPLICA] `.
    replica: Option<String>,
    /// Begin lines with the time they were written.
    #[serde(default)]
    timestamps: bool,
}

/// Streams the lines until the end, or for as long as somebody reads when following.
pub(super) fn stream(
    control: Arc<dyn ControlPlane>,
    id: FunctionId,
    query: LogQuery,
    stop: CancellationToken,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let reading = read(control, id, query, &sender);
        tokio::select! {
            () = reading => {}
            () = sender.closed() => {}
            () = stop.cancelled() => {}
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    })
}

async fn read(
    control: Arc<dyn ControlPlane>,
    id: FunctionId,
    query: LogQuery,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) {
    let mut tails = Tails {
        query,
        open: Vec::new(),
        is_begun: false,
    };
    loop {
        let (node, function) = (Arc::clone(&control), id.clone());
        let look = move || tails.refresh(node.log_files(&function));
        let Some(mut next) = blocking(look).await else {
            return;
        };
        for index in 0..next.open.len() {
            loop {
                let read = move || {
                    let lines = next.read(index);
                    (next, lines)
                };
                let Some((back, lines)) = blocking(read).await else {
                    return;
                };
                next = back;
                let Some(lines) = lines else { break };
                if sender.send(Ok(Bytes::from(lines))).await.is_err() {
                    return;
                }
            }
        }
        if !next.query.follow {
            return;
        }
        tails = next;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Runs what blocks on the disk. `None`: it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// All files that are being read.
struct Tails {
    query: LogQuery,
    open: Vec<Tail>,
    is_begun: bool,
}

impl Tails {
    /// Opens files that are new and forgets those that are gone. A file is known by its inode:
    /// rotation gives it another name while it is read.
    fn refresh(mut self, files: Vec<LogFile>) -> Self {
        let mut found = Vec::new();
        for file in files
            .into_iter()
            .filter(|f| self.query.is_wanted(&f.replica))
        {
            match inode(&file.path) {
                Ok(inode) => found.push((inode, file)),
                Err(error) => tracing::debug!(%error, path = %file.path.display(), "log is gone"),
            }
        }
        self.open
            .retain(|tail| found.iter().any(|(inode, _)| *inode == tail.inode));
        // Lines still to be skipped to, by replica, counted from the newest file back.
        let mut wanted: HashMap<String, u32> = HashMap::new();
        let mut new = Vec::new();
        for (inode, file) in found.into_iter().rev() {
            if self.open.iter().any(|tail| tail.inode == inode) {
                continue;
            }
            // Replicas and files that are new while following are read from their beginning.
            let limit = self.query.tail.filter(|_| !self.is_begun);
            let left = limit.map(|limit| wanted.entry(file.replica.clone()).or_insert(limit));
            match Tail::open(&file, inode, left) {
                Ok(tail) => new.push(tail),
                Err(error) => {
                    tracing::warn!(%error, path = %file.path.display(), "log cannot be read")
                }
            }
        }
        new.reverse();
        self.open.extend(new);
        self.is_begun = true;
        self
    }

    /// The next lines of one file. `None`: no more for now.
    fn read(&mut self, index: usize) -> Option<Vec<u8>> {
        let tail = &mut self.open[index];
        match tail.read_lines(&self.query) {
            Ok(lines) => lines,
            Err(error) => {
                tracing::warn!(%error, replica = tail.replica, "log cannot be read");
                None
            }
        }
    }
}

impl LogQuery {
    /// A replica is meant by its whole name, or by the number at its end.
    fn is_wanted(&self, replica: &str) -> bool {
        self.replica.as_deref().is_none_or(|wanted| {
            replica == wanted
                || replica
                    .strip_suffix(wanted)
                    .is_some_and(|rest| rest.ends_with('-'))
        })
    }

    /// Writes one line of a file as the reader sees it.
    fn write(&self, replica: &str, line: &[u8], lines: &mut Vec<u8>) {
        if self.replica.is_none() {
            lines.extend_from_slice(format!("[{replica}] ").as_bytes());
        }
        match std::str::from_utf8(line).ok().and_then(LogLine::parse) {
            Some(entry) => {
                if self.timestamps {
                    lines.extend_from_slice(format!("{} ", entry.time).as_bytes());
                }
                lines.extend_from_slice(entry.text.as_bytes());
            }
            None => lines.extend_from_slice(line),
        }
        lines.push(b'\n');
    }
}

/// One log file, read up to some point.
struct Tail {
    replica: String,
    inode: (u64, u64),
    file: File,
    /// Read, but not yet a whole line.
    partial: Vec<u8>,
}

impl Tail {
    /// Opens a file at its beginning, or so many lines before its end as are left to skip to.
    fn open(file: &LogFile, inode: (u64, u64), left: Option<&mut u32>) -> io::Result<Self> {
        let mut open = File::open(&file.path)?;
        if let Some(left) = left {
            let (start, found) = tail_start(&mut open, *left)?;
            *left -= found;
            open.seek(SeekFrom::Start(start))?;
        }
        Ok(Self {
            replica: file.replica.clone(),
            inode,
            file: open,
            partial: Vec::new(),
        })
    }

    /// The next whole lines. `None`: no more for now.
    fn read_lines(&mut self, query: &LogQuery) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = vec![0; CHUNK];
        let mut lines = Vec::new();
        while lines.is_empty() {
            let count = self.file.read(&mut chunk)?;
            if count == 0 {
                if !query.follow && !self.partial.is_empty() {
                    self.end_line(query, &mut lines);
                }
                break;
            }
            for piece in chunk[..count].split_inclusive(|b| *b == b'\n') {
                let (text, is_whole) = match piece.split_last() {
                    Some((b'\n', text)) => (text, true),
                    _ => (piece, false),
                };
                self.partial.extend_from_slice(text);
                if is_whole || self.partial.len() >= MAX_LINE {
                    self.end_line(query, &mut lines);
                }
            }
        }
        Ok((!lines.is_empty()).then_some(lines))
    }

    fn end_line(&mut self, query: &LogQuery, lines: &mut Vec<u8>) {
        query.write(&self.replica, &self.partial, lines);
        self.partial.clear();
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Where the last `lines` lines of a file begin, and how many of them it has.
fn tail_start(file: &mut File, lines: u32) -> io::Result<(u64, u32)> {
    let end = file.metadata()?.len();
    if lines == 0 || end == 0 {
        return Ok((end, 0));
    }
    let floor = end.saturating_sub(MAX_TAIL);
    let (mut position, mut found) = (end, 0);
    let mut block = vec![0; CHUNK];
    while position > floor {
        let size = (position - floor).min(CHUNK as u64);
        position -= size;
        let block = &mut block[..usize::try_from(size).unwrap_or(CHUNK)];
        file.seek(SeekFrom::Start(position))?;
        file.read_exact(block)?;
        for (offset, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            let after = position + offset as u64 + 1;
            // The newline that ends the last line does not begin another one.
            if after < end {
                found += 1;
                if found == lines {
                    return Ok((after, found));
                }
            }
        }
    }
    Ok((floor, found + 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    const ALL: LogQuery = LogQuery {
        follow: false,
        tail: None,
        replica: None,
        timestamps: false,
    };

    fn files(folder: &Path, names: &[&str]) -> Vec<LogFile> {
        names
            .iter()
            .filter_map(|name| LogFile::from_path(folder.join(name)))
            .collect()
    }

    fn begin(query: LogQuery) -> Tails {
        Tails {
            query,
            open: Vec::new(),
            is_begun: false,
        }
    }

    fn text(tails: &mut Tails) -> String {
        let mut text = Vec::new();
        for index in 0..tails.open.len() {
            while let Some(lines) = tails.read(index) {
                text.extend(lines);
            }
        }
        String::from_utf8(text).unwrap()
    }

    fn numbers(range: std::ops::Range<u32>) -> String {
        range.map(|n| format!("line {n}\n")).collect()
    }

    #[test]
    fn tail_gives_the_last_lines_across_rotated_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log.1"), numbers(0..50_000)).unwrap();
        fs::write(folder.path().join("a.log"), numbers(50_000..50_002)).unwrap();
        let read = |tail| {
            let files = files(folder.path(), &["a.log.1", "a.log"]);
            text(&mut begin(LogQuery { tail, ..ALL }).refresh(files))
        };
        assert_eq!(read(Some(1)), "[a] line 50001\n");
        assert_eq!(
            read(Some(3)),
            "[a] line 49999\n[a] line 50000\n[a] line 50001\n"
        );
        assert_eq!(read(Some(0)), "");
        assert_eq!(read(None).lines().count(), 50_002);
        assert_eq!(read(Some(60_000)).lines().count(), 50_002);
    }

    #[test]
    fn entries_are_shown_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let entry = "2026-01-02T03:04:05.000006Z stderr F  two words\n";
        fs::write(folder.path().join("a-3.log"), entry).unwrap();
        let read = |query| text(&mut begin(query).refresh(files(folder.path(), &["a-3.log"])));
        assert_eq!(read(ALL), "[a-3]  two words\n");
        let one = LogQuery {
            replica: Some("3".to_owned()),
            timestamps: true,
            ..ALL
        };
        assert_eq!(read(one), "2026-01-02T03:04:05.000006Z  two words\n");
        assert_eq!(
            read(LogQuery {
                replica: Some("a-4".to_owned()),
                ..ALL
            }),
            ""
        );
    }

    #[test]
    fn a_line_without_its_end_waits_for_it_only_while_following() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "one\ntw").unwrap();
        let list = || files(folder.path(), &["a.log"]);
        let mut tails = begin(LogQuery {
            follow: true,
            ..ALL
        })
        .refresh(list());
        assert_eq!(text(&mut tails), "[a] one\n");
        fs::write(&path, "one\ntwo\n").unwrap();
        let mut tails = tails.refresh(list());
        assert_eq!(text(&mut tails), "[a] two\n");
        assert_eq!(text(&mut begin(ALL).refresh(list())), "[a] one\n[a] two\n");
    }

    #[test]
    fn following_reads_nothing_twice_when_files_are_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "old\n").unwrap();
        let query = LogQuery {
            follow: true,
            tail: Some(5),
            ..ALL
        };
        let mut tails = begin(query).refresh(files(folder.path(), &["a.log"]));
        assert_eq!(text(&mut tails), "[a] old\n");
        fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        fs::write(&path, numbers(0..9)).unwrap();
        let mut tails = tails.refresh(files(folder.path(), &["a.log.1", "a.log"]));
        assert_eq!(text(&mut tails).lines().count(), 9);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), vec![b'x'; 3 * MAX_LINE]).unwrap();
        let mut tails = begin(ALL).refresh(files(folder.path(), &["a.log"]));
        assert!(text(&mut tails).lines().count() >= 2);
    }
}
