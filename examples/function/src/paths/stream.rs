//! Bodies that are written piece by piece: large, slow, chunked, endless, or cut off.

use std::io::{self, Write};
use std::time::Duration;

use crate::response::{head, write_chunk};
use crate::server::After;
use crate::termination::pause;

/// One piece of a large body.
const PIECE: [u8; 16 * 1024] = [b'z'; 16 * 1024];

/// `n` bytes with their length announced.
pub(super) fn bytes(out: &mut impl Write, is_head: bool, n: u64) -> io::Result<After> {
    out.write_all(&head(200, &binary_of_length(n), false))?;
    let mut left = if is_head { 0 } else { n };
    while left > 0 {
        let piece = usize::try_from(left).map_or(PIECE.len(), |left| left.min(PIECE.len()));
        out.write_all(&PIECE[..piece])?;
        left -= piece as u64;
    }
    Ok(After::Keep)
}

/// `n` chunks, `ms` apart, then trailers.
pub(super) fn chunks(out: &mut impl Write, n: u64, ms: u64) -> io::Result<After> {
    let headers = [
        ("content-type", "text/plain".to_owned()),
        ("transfer-encoding", "chunked".to_owned()),
        ("trailer", "x-chunks".to_owned()),
    ];
    out.write_all(&head(200, &headers, false))?;
    for i in 1..=n {
        write_chunk(out, format!("chunk {i}\n").as_bytes())?;
        pause(Duration::from_millis(ms));
    }
    write!(out, "0\r\nx-chunks: {n}\r\n\r\n")?;
    Ok(After::Keep)
}

/// `n` server-sent events, `ms` apart.
pub(super) fn events(out: &mut impl Write, n: u64, ms: u64) -> io::Result<After> {
    let headers = [
        ("content-type", "text/event-stream".to_owned()),
        ("cache-control", "no-cache".to_owned()),
        ("transfer-encoding", "chunked".to_owned()),
    ];
    out.write_all(&head(200, &headers, false))?;
    for i in 1..=n {
        write_chunk(
            out,
            format!("id: {i}\ndata: event {i} of {n}\n\n").as_bytes(),
        )?;
        pause(Duration::from_millis(ms));
    }
    out.write_all(b"0\r\n\r\n")?;
    Ok(After::Keep)
}

/// `n` bytes, one each `ms`, with their length announced.
pub(super) fn slowly(out: &mut impl Write, n: u64, ms: u64) -> io::Result<After> {
    out.write_all(&head(200, &binary_of_length(n), false))?;
    for _ in 0..n {
        pause(Duration::from_millis(ms));
        out.write_all(b"z")?;
    }
    Ok(After::Keep)
}

/// Half of what was announced, then the end of the connection.
pub(super) fn truncated(out: &mut impl Write, is_chunked: bool) -> io::Result<After> {
    if is_chunked {
        let headers = [("transfer-encoding", "chunked".to_owned())];
        out.write_all(&head(200, &headers, false))?;
        write_chunk(out, &[b'z'; 500])?;
    } else {
        out.write_all(&head(200, &binary_of_length(1000), false))?;
        out.write_all(&[b'z'; 500])?;
    }
    Ok(After::Close)
}

fn binary_of_length(n: u64) -> [(&'static str, String); 2] {
    [
        ("content-type", "application/octet-stream".to_owned()),
        ("content-length", n.to_string()),
    ]
}
