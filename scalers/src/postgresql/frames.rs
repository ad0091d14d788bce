//! Messages of a server as they pass by: the driver reserves as much memory as a message says that it is long.
//!
//! A message is a byte for its kind, four bytes for its length, which counts them too, and the rest
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

/// Longest message: what is asked for is a number.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

/// Bytes of a message's kind and length.
const HEADER: usize = 5;

/// Where in a message the server is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// Bytes of the header that came.
    filled: usize,
    /// Bytes of the message that are to come after its header.
    left: usize,
}

impl Frames {
    /// Follows `bytes`; false as soon as a message is too long.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.filled == HEADER {
                let rest = self.left.min(bytes.len());
                self.left -= rest;
                bytes = &bytes[rest..];
            } else {
                let part = (HEADER - self.filled).min(bytes.len());
                self.header[self.filled..self.filled + part].copy_from_slice(&bytes[..part]);
                self.filled += part;
                bytes = &bytes[part..];
                if self.filled == HEADER && !self.begin() {
                    return false;
                }
            }
            if self.filled == HEADER && self.left == 0 {
                self.filled = 0;
            }
        }
        true
    }

    fn begin(&mut self) -> bool {
        let [_, length @ ..] = self.header;
        // A negative one is a long one too; the driver refuses one that is too short for itself.
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        self.left = length.saturating_sub(HEADER - 1);
        length <= MAX_MESSAGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, body: usize) -> Vec<u8> {
        let mut bytes = vec![b'D'];
        bytes.extend(length.to_be_bytes());
        bytes.extend(vec![0xff; body]);
        bytes
    }

    #[test]
    fn messages_pass_however_they_are_cut() {
        let mut bytes = message(4, 0);
        bytes.extend(message(104, 100));
        bytes.extend(message(1 << 20, (1 << 20) - 4));
        bytes.extend(message(5, 1));
        for size in [1, 3, 5, 7, 4096, bytes.len()] {
            let mut frames = Frames::default();
            assert!(bytes.chunks(size).all(|part| frames.pass(part)), "{size}");
            assert_eq!((frames.filled, frames.left), (0, 0), "{size}");
        }
    }

    #[test]
    fn a_length_that_is_too_long_is_noticed_with_its_last_byte() {
        for length in [(1 << 20) + 1, i32::MAX.unsigned_abs(), u32::MAX] {
            let mut bytes = message(5, 1);
            bytes.extend(message(length, 0));
            let mut frames = Frames::default();
            let (last, before) = bytes.split_last().unwrap();
            assert!(frames.pass(before));
            assert!(!frames.pass(&[*last]), "{length}");
        }
    }
}
