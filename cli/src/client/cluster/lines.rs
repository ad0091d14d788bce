//! Lines of a pod's log: cut from the stream, with their times, none twice when it is opened again.

use jiff::Timestamp;

/// A longer line is cut here, in bytes.
const MAX_LINE: usize = 64 << 10;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    partial: Vec<u8>,
}

impl Cutter {
    /// Takes in bytes and gives each line that is whole, without its end.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            self.partial.extend_from_slice(text);
            if is_whole || self.partial.len() >= MAX_LINE {
                line(&self.partial);
                self.partial.clear();
            }
        }
    }

    /// What was left without an end, as a line.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.partial.clear();
        }
    }
}

/// A line's time (`RFC3339 TEXT`), as it is written and as it is; the text alone where it has none.
pub(super) fn split(line: &[u8]) -> (Option<(&str, Timestamp)>, &[u8]) {
    let stamp = || {
        let space = line.iter().position(|byte| *byte == b' ')?;
        let text = std::str::from_utf8(&line[..space]).ok()?;
        let time = text.parse().ok()?;
        Some(((text, time), &line[space + 1..]))
    };
    match stamp() {
        Some((stamp, rest)) => (Some(stamp), rest),
        None => (None, line),
    }
}

/// Up to where a log was shown, for when its stream breaks.
///
/// Lines of two streams of one container may be a little out of order, so nothing is left out but
/// at the beginning of a stream that was opened again.
#[derive(Debug, Default)]
pub(super) struct Shown {
    newest: Option<Timestamp>,
    /// Lines that have exactly that time.
    with_it: u32,
    /// Lines up to here were shown, and so many that have exactly that time.
    again: Option<(Timestamp, u32)>,
}

impl Shown {
    /// Whether no line was shown yet.
    pub(super) fn is_nothing(&self) -> bool {
        self.newest.is_none()
    }

    /// The stream is opened again: from this time on, if any line was shown.
    pub(super) fn reopen(&mut self) -> Option<Timestamp> {
        self.again = self.newest.map(|time| (time, self.with_it));
        self.newest
    }

    /// Whether a line is to be shown.
    pub(super) fn is_new(&mut self, time: Timestamp) -> bool {
        if let Some((until, left)) = &mut self.again {
            if time < *until {
                return false;
            }
            if time == *until && *left > 0 {
                *left -= 1;
                return false;
            }
            self.again = None;
        }
        match self.newest {
            Some(newest) if time == newest => self.with_it += 1,
            Some(newest) if time < newest => {}
            _ => (self.newest, self.with_it) = (Some(time), 1),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn cut(cutter: &mut Cutter, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        cutter.push(bytes, |line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        });
        lines
    }

    #[test]
    fn lines_are_cut_wherever_the_stream_is() {
        let mut cutter = Cutter::default();
        assert_eq!(cut(&mut cutter, b"one\ntw"), ["one"]);
        assert_eq!(cut(&mut cutter, b"o\n\nthr"), ["two", ""]);
        let mut rest = Vec::new();
        cutter.end(|line| rest.extend_from_slice(line));
        assert_eq!(rest, b"thr");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut cutter = Cutter::default();
        let lines = cut(&mut cutter, &vec![b'x'; MAX_LINE + 1]);
        assert_eq!(lines.len(), 1);
        assert!(cut(&mut cutter, b"\n").len() == 1);
    }

    #[test]
    fn the_time_of_a_line_is_told_from_its_text() {
        let (stamp, text) = split(b"2026-01-02T03:04:05.000000006Z  two words");
        assert_eq!(stamp.unwrap().0, "2026-01-02T03:04:05.000000006Z");
        assert_eq!(text, b" two words");
        assert_eq!(split(b"no time at all"), (None, &b"no time at all"[..]));
        assert_eq!(split(b""), (None, &b""[..]));
    }

    #[test]
    fn a_stream_that_is_opened_again_shows_nothing_twice_and_leaves_nothing_out() {
        let mut shown = Shown::default();
        assert_eq!((shown.reopen(), shown.is_nothing()), (None, true));
        for second in [1, 2, 2] {
            assert!(shown.is_new(at(second)));
        }
        assert!(!shown.is_nothing());
        assert_eq!(shown.reopen(), Some(at(2)));
        // The same second once more: the third line of that time is new.
        let again = [1, 2, 2, 2, 3].map(|second| shown.is_new(at(second)));
        assert_eq!(again, [false, false, false, true, true]);
    }

    #[test]
    fn lines_out_of_order_are_shown_while_a_stream_goes_on() {
        let mut shown = Shown::default();
        let order = [3, 2, 4].map(|second| shown.is_new(at(second)));
        assert_eq!(order, [true; 3]);
    }
}
