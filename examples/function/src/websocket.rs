//! A WebSocket (RFC 6455) that sends back what it is sent, until either side closes or the function drains.

mod frame;
mod sha1;

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::request::Request;
use crate::response::{Response, head};
use crate::server::{After, Function};
use crate::text::base64;
use frame::{Frame, Opcode};

/// RFC 6455 section 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Close code "going away" (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;
/// How often a silent connection looks whether the function drains.
const DRAIN_CHECK: Duration = Duration::from_millis(100);

/// Switches protocols and echoes until the end.
pub(crate) fn serve(
    function: &Function,
    request: &Request,
    stream: &mut TcpStream,
) -> io::Result<After> {
    let Some(key) = request
        .header("sec-websocket-key")
        .filter(|_| request.lists("upgrade", "websocket"))
    else {
        let refusal = Response::text("this path speaks WebSocket\n").with_status(400);
        refusal.write(stream, false, false)?;
        return Ok(After::Keep);
    };
    stream.write_all(&head(101, &handshake(key), false))?;
    echo(function, stream)?;
    Ok(After::Close)
}

fn handshake(key: &str) -> [(&'static str, String); 3] {
    let accept = base64(&sha1::digest(format!("{key}{KEY_SUFFIX}").as_bytes()));
    [
        ("upgrade", "websocket".to_owned()),
        ("connection", "Upgrade".to_owned()),
        ("sec-websocket-accept", accept),
    ]
}

fn echo(function: &Function, stream: &mut TcpStream) -> io::Result<()> {
    while wait_for_data(function, stream)? {
        let frame = Frame::read(stream)?;
        match frame.opcode {
            Opcode::Text | Opcode::Binary | Opcode::Continuation => frame.write(stream)?,
            Opcode::Ping => Frame::new(Opcode::Pong, frame.payload).write(stream)?,
            Opcode::Pong => {}
            Opcode::Close => return frame.write(stream),
        }
    }
    Frame::new(Opcode::Close, GOING_AWAY.to_be_bytes().to_vec()).write(stream)
}

/// Waits for the next frame; false when the function drains instead.
fn wait_for_data(function: &Function, stream: &TcpStream) -> io::Result<bool> {
    stream.set_read_timeout(Some(DRAIN_CHECK))?;
    let waited = loop {
        match stream.peek(&mut [0]) {
            Ok(0) => break Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => break Ok(true),
            Err(error) if !crate::paths::is_timeout(&error) => break Err(error),
            Err(_) if function.record.is_draining() => break Ok(false),
            Err(_) => {}
        }
    };
    stream.set_read_timeout(None)?;
    waited
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn the_handshake_answers_as_the_rfc_shows() {
        let [_, _, (_, accept)] = handshake("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
