//! Answers: whole ones, and bodies that are written piece by piece in chunks.

use std::io::{self, Write};

/// One answer that is written at once.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::typed("text/plain; charset=utf-8", body)
    }

    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::typed("application/json", body)
    }

    fn typed(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Writes it with its length; without its body for HEAD, and for statuses that have none.
    pub(crate) fn write(
        &self,
        out: &mut impl Write,
        is_head: bool,
        closes: bool,
    ) -> io::Result<()> {
        let has_no_body = matches!(self.status, 204 | 304);
        let length = self.body.len().to_string();
        let mut headers = self.headers.clone();
        if !has_no_body {
            headers.push(("content-length", length));
        }
        let mut bytes = head(self.status, &headers, closes);
        if !is_head && !has_no_body {
            bytes.extend_from_slice(&self.body);
        }
        out.write_all(&bytes)
    }
}

/// A status line with headers, the empty line included.
pub(crate) fn head(status: u16, headers: &[(&'static str, String)], closes: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        head.extend([name, ": ", value.as_str(), "\r\n"]);
    }
    head.push_str(if closes {
        "connection: close\r\n\r\n"
    } else {
        "\r\n"
    });
    head.into_bytes()
}

/// Writes one chunk; an empty one is skipped, because it would end the body.
pub(crate) fn write_chunk(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    out.write_all(&chunk)
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &Response, is_head: bool) -> String {
        let mut out = Vec::new();
        response.write(&mut out, is_head, false).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn head_keeps_the_length_and_drops_the_body() {
        let text = written(&Response::text("four"), true);
        assert!(
            text.contains("content-length: 4\r\n") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }

    #[test]
    fn no_content_has_neither_length_nor_body() {
        let text = written(&Response::text("x").with_status(204), false);
        assert!(
            !text.contains("content-length") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_piece_does_not_end_a_chunked_body() {
        let mut out = Vec::new();
        write_chunk(&mut out, b"").unwrap();
        write_chunk(&mut out, b"abc").unwrap();
        assert_eq!(out, b"3\r\nabc\r\n");
    }
}
