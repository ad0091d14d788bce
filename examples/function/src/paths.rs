//! What each path answers.

mod echo;
mod stream;
mod work;

use std::io;

use crate::body::Body;
use crate::record::InFlight;
use crate::request::Request;
use crate::response::Response;
use crate::server::{After, Function};
use crate::text::query_number;
use crate::websocket;

pub(crate) use work::is_timeout;

/// Answers one request.
pub(crate) fn answer(
    function: &Function,
    request: &Request,
    body: &mut Body<'_>,
    in_flight: &InFlight<'_>,
) -> io::Result<After> {
    let number = |name, default| query_number(&request.target, name, default);
    let response = match request.path() {
        "/" => greeting(function),
        "/work" => return work::work(function, request, body, in_flight),
        "/echo" => echo::echo(request, body)?,
        "/sink" => Response::json(format!("{{\"bytes\":{}}}\n", body.count()?)),
        "/bytes" => return stream::bytes(body.stream(), request.method == "HEAD", number("n", 0)),
        "/stream" => return stream::chunks(body.stream(), number("n", 3), number("ms", 0)),
        "/sse" => return stream::events(body.stream(), number("n", 10), number("ms", 200)),
        "/slow-body" => return stream::slowly(body.stream(), number("n", 10), number("ms", 100)),
        "/close-mid-body" => return stream::truncated(body.stream(), number("chunked", 0) == 1),
        "/ws" => return websocket::serve(function, request, body.stream()),
        "/status" => Response::text("as asked\n").with_status(status(number("code", 200))),
        "/exit" => exit(number("code", 1)),
        "/seen" => echo::seen(&function.record),
        "/stats" => work::stats(&function.record),
        "/concurrency" => Response::text(format!("{}\n", function.record.stats().max_in_flight)),
        _ => Response::text("no such path\n").with_status(404),
    };
    in_flight.done();
    response.write(
        body.stream(),
        request.method == "HEAD",
        !request.keeps_alive(),
    )?;
    Ok(After::Keep)
}

fn greeting(function: &Function) -> Response {
    let message = &function.options.message;
    let response = match &function.options.revision {
        Some(revision) => Response::text(format!("{message} from {revision}\n"))
            .with_header("x-revision", revision),
        None => Response::text(format!("{message}\n")),
    };
    response.with_header("x-pid", &std::process::id())
}

fn status(code: u64) -> u16 {
    u16::try_from(code)
        .ok()
        .filter(|code| (200..600).contains(code))
        .unwrap_or(500)
}

/// Ends the process in the middle of a request, as a crash does.
fn exit(code: u64) -> ! {
    eprintln!("zeron-example-function: asked to exit");
    std::process::exit(i32::try_from(code).unwrap_or(1))
}
