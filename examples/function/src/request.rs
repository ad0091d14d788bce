//! The head of a request as it arrived, byte for byte, and what this origin takes it to mean.
//!
//! Deliberately as lenient as many origins are (bare LF, odd spaces): a front that lets two readings of one message
//! through is found out here.

use std::io::{self, BufRead, Read};

use crate::text::latin1;

/// Longest head that is read.
const MAX_HEAD: u64 = 256 * 1024;

/// One request without its body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The head as it arrived, the empty line included.
    pub(crate) raw: Vec<u8>,
}

impl Request {
    /// Reads one head; `None` when the peer closed before a new one began.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut raw = Vec::new();
        let mut limited = reader.take(MAX_HEAD);
        loop {
            let start = raw.len();
            limited.read_until(b'\n', &mut raw)?;
            match &raw[start..] {
                [] if start == 0 => return Ok(None),
                b"\r\n" | b"\n" if start > 0 => return Ok(Some(Self::parse(raw))),
                b"\r\n" | b"\n" => raw.clear(), // empty lines before a request (RFC 9112 section 2.2)
                [.., b'\n'] => {}
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn parse(raw: Vec<u8>) -> Self {
        let text = latin1(&raw);
        let mut lines = text.lines();
        let request_line = lines.next().unwrap_or_default();
        let mut words = request_line.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (method, target, version) = (word(), word(), word());
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            method,
            target,
            version,
            headers,
            raw,
        }
    }

    /// The first value of a header, by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a comma-separated header lists `token`.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// The target without its query, and without scheme and authority in absolute form.
    pub(crate) fn path(&self) -> &str {
        let target = match self.target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => &self.target,
        };
        target.split('?').next().unwrap_or_default()
    }

    /// Whether the connection may carry another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.version.as_str() {
            "HTTP/1.1" => !self.lists("connection", "close"),
            _ => self.lists("connection", "keep-alive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_kept_byte_for_byte() {
        let mut wire = &b"\r\nGET /a?b=1 HTTP/1.1\r\nHost: x\r\nX-Odd : \xff \n\r\nrest"[..];
        let request = Request::read(&mut wire).unwrap().unwrap();
        assert_eq!(
            request.raw,
            b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\nX-Odd : \xff \n\r\n"
        );
        assert_eq!((request.path(), request.header("host")), ("/a", Some("x")));
        assert_eq!(wire, b"rest");
    }

    #[test]
    fn an_end_between_requests_is_clean_and_within_one_is_not() {
        assert!(Request::read(&mut &b""[..]).unwrap().is_none());
        assert!(Request::read(&mut &b"GET / HT"[..]).is_err());
    }

    #[test]
    fn absolute_form_has_a_path() {
        let request = Request::parse(b"GET http://a.b/c?d HTTP/1.1\r\n\r\n".to_vec());
        assert_eq!(request.path(), "/c");
    }
}
