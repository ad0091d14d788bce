//! One line of a log, in the container runtimes' format: `TIME stdout|stderr F|P TEXT`.

use std::collections::VecDeque;
use std::io::Write;

use parking_lot::Mutex;

/// Longest line kept in one piece (as container runtimes do); a longer one is cut into parts.
pub(crate) const MAX_LINE: usize = 16 << 10;

/// Lines of stderr remembered per replica, for the text of a failure.
const TAIL_LINES: usize = 10;
/// Bytes of them.
const TAIL_BYTES: usize = 2 << 10;

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A line of a log file, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// RFC 3339, UTC, microseconds.
    pub time: &'a str,
    /// Where it was written.
    pub stream: Stream,
    /// The line goes on in the next entry of the same stream.
    pub is_partial: bool,
    /// What was written, without the line end.
    pub text: &'a str,
}

impl<'a> LogLine<'a> {
    /// Takes a line of a log file apart; `None`: it is not one.
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(4, ' ');
        let time = fields.next()?;
        let stream = match fields.next()? {
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            _ => return None,
        };
        let is_partial = match fields.next()? {
            "F" => false,
            "P" => true,
            _ => return None,
        };
        Some(Self {
            time,
            stream,
            is_partial,
            text: fields.next().unwrap_or_default(),
        })
    }
}

/// Cuts what a stream writes into lines.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// The beginning of a line whose end has not come yet; at most `MAX_LINE`.
    open: Vec<u8>,
}

impl Splitter {
    /// Takes `bytes` and calls `line(text, is_partial)` for each piece that is complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8], bool)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.push(head, &mut line);
            line(self.open.strip_suffix(b"\r").unwrap_or(&self.open), false);
            self.open.clear();
            bytes = rest;
        }
        self.push(bytes, &mut line);
        if self.open.is_empty() {
            // An idle stream holds nothing.
            self.open = Vec::new();
        }
    }

    /// The last line, which had no end.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&[u8], bool)) {
        if !self.open.is_empty() {
            line(&self.open, false);
            self.open = Vec::new();
        }
    }

    fn push(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8], bool)) {
        while self.open.len() + bytes.len() > MAX_LINE {
            let (head, rest) = bytes.split_at(MAX_LINE - self.open.len());
            self.open.extend_from_slice(head);
            line(&self.open, true);
            self.open.clear();
            bytes = rest;
        }
        self.open.extend_from_slice(bytes);
    }
}

/// Appends one entry to `out`.
pub(crate) fn write(out: &mut Vec<u8>, time: &str, stream: Stream, text: &[u8], is_partial: bool) {
    let tag = if is_partial { 'P' } else { 'F' };
    // Writing to memory does not fail.
    write!(out, "{time} {} {tag} ", stream.name()).ok();
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// The last lines of a replica's stderr.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: Mutex<VecDeque<String>>,
}

impl Tail {
    pub(crate) fn push(&self, text: &[u8]) {
        let text = text.get(..TAIL_BYTES).unwrap_or(text);
        let mut lines = self.lines.lock();
        lines.push_back(String::from_utf8_lossy(text).into_owned());
        let mut bytes: usize = lines.iter().map(String::len).sum();
        while lines.len() > TAIL_LINES || (bytes > TAIL_BYTES && lines.len() > 1) {
            bytes -= lines.pop_front().map_or(0, |line| line.len());
        }
    }

    /// `happened`, followed by the lines if there are any.
    pub(crate) fn explain(&self, happened: &str) -> String {
        let lines = self.lines.lock();
        let mut text = happened.to_owned();
        if !lines.is_empty() {
            text.push_str("; last lines of stderr:");
        }
        for line in lines.iter() {
            text.push('\n');
            text.push_str(line);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        let mut keep = |text: &[u8], partial: bool| {
            lines.push((String::from_utf8_lossy(text).into_owned(), partial));
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut keep);
        }
        splitter.finish(&mut keep);
        lines
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let whole = split(&[b"one\ntwo\r\n\nthree"]);
        let pieces = split(&[b"o", b"ne\nt", b"wo\r", b"\n\nthr", b"ee"]);
        assert_eq!(whole, pieces);
        let texts: Vec<_> = whole.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["one", "two", "", "three"]);
    }

    #[test]
    fn a_long_line_is_cut_and_holds_no_more_than_one_piece() {
        let long = vec![b'x'; 3 * MAX_LINE + 5];
        let lines = split(&[&long, b"\nnext\n"]);
        let lengths: Vec<_> = lines.iter().map(|(text, p)| (text.len(), *p)).collect();
        assert_eq!(
            lengths,
            [
                (MAX_LINE, true),
                (MAX_LINE, true),
                (MAX_LINE, true),
                (5, false),
                (4, false)
            ]
        );
    }

    #[test]
    fn what_is_written_can_be_parsed() {
        let mut out = Vec::new();
        let time = "2026-01-02T03:04:05.000006Z";
        write(&mut out, time, Stream::Stderr, b"a  b", false);
        let text = String::from_utf8(out).unwrap();
        let line = LogLine::parse(text.trim_end_matches('\n')).unwrap();
        assert_eq!(
            (line.time, line.stream, line.text),
            (time, Stream::Stderr, "a  b")
        );
        assert_eq!(LogLine::parse("nothing of ours"), None);
    }

    #[test]
    fn the_tail_keeps_the_last_lines_within_its_bounds() {
        let tail = Tail::default();
        for n in 0..100 {
            tail.push(format!("line {n}").as_bytes());
        }
        let text = tail.explain("exited with status 1");
        assert!(text.ends_with("line 98\nline 99"));
        assert_eq!(text.lines().count(), 1 + TAIL_LINES);
        for _ in 0..5 {
            tail.push(&vec![b'x'; 10_000]);
        }
        assert!(tail.explain("").len() < TAIL_BYTES + 100);
    }
}
