//! Work that takes time, and the numbers of the process.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::body::Body;
use crate::record::{InFlight, Record};
use crate::request::Request;
use crate::response::Response;
use crate::server::{After, Function};
use crate::termination::pause;
use crate::text::query_number;

/// From here on the connection is watched while working; a socket's timer is too coarse for less.
const WATCHED: Duration = Duration::from_millis(50);

/// Takes `ms`, unless the client leaves before.
pub(super) fn work(
    function: &Function,
    request: &Request,
    body: &mut Body<'_>,
    in_flight: &InFlight<'_>,
) -> io::Result<After> {
    body.count()?;
    let duration = Duration::from_millis(query_number(&request.target, "ms", 0));
    if duration < WATCHED {
        pause(duration);
    } else if client_left_within(body.stream(), duration)? {
        function.record.cancelled();
        return Ok(After::Close);
    }
    let answer = stats(&function.record);
    in_flight.done();
    answer.write(
        body.stream(),
        request.method == "HEAD",
        !request.keeps_alive(),
    )?;
    Ok(After::Keep)
}

fn client_left_within(stream: &TcpStream, duration: Duration) -> io::Result<bool> {
    let end = Instant::now() + duration;
    let mut has_left = false;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|d| !d.is_zero())
    {
        stream.set_read_timeout(Some(left))?;
        match stream.peek(&mut [0]) {
            Ok(0) => has_left = true,
            Ok(_) => pause(left), // its next request is here already: it waits
            Err(error) if is_timeout(&error) => {}
            Err(_) => has_left = true,
        }
        if has_left {
            break;
        }
    }
    stream.set_read_timeout(None)?;
    Ok(has_left)
}

/// Whether a read ran into its time limit, or a signal cut it short: nothing was learnt.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// The numbers of the process as JSON.
pub(super) fn stats(record: &Record) -> Response {
    let stats = record.stats();
    Response::json(format!(
        "{{\"pid\":{},\"in_flight\":{},\"max_in_flight\":{},\"served\":{},\"cancelled\":{}}}\n",
        std::process::id(),
        stats.in_flight,
        stats.max_in_flight,
        stats.served,
        stats.cancelled,
    ))
}
