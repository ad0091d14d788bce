//! Accepts, serves each connection in a thread of its own, and drains on SIGTERM.

use std::io::{self, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::body::Body;
use crate::options::{Options, Start};
use crate::paths;
use crate::record::{Head, InFlight, Record};
use crate::request::Request;
use crate::response::Response;
use crate::termination::{Termination, pause};

/// Connections served at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 2048;
/// Nothing here recurses or keeps large values on the stack.
const STACK_BYTES: usize = 128 * 1024;
/// Of a body that nobody read, so much is read before the next request; beyond it the connection closes.
const MAX_LEFTOVER: u64 = 1 << 20;

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) options: Options,
    pub(crate) record: Record,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may carry another request.
    Keep,
    /// It is closed.
    Close,
}

/// Runs until SIGTERM.
pub(crate) fn run(options: Options) -> ExitCode {
    if let Some(text) = &options.stderr {
        eprintln!("{text}");
    }
    if let Start::Exit { code } = options.start {
        return ExitCode::from(code);
    }
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zeron-example-function: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: Options) -> io::Result<()> {
    let mut termination = Termination::install()?;
    pause(options.ready_after);
    match options.start {
        Start::NeverListen => return end(&options, &mut termination),
        Start::ListenThenRefuse => {
            drop(listen(&options)?.accept()?);
            return end(&options, &mut termination);
        }
        Start::Serve | Start::Exit { .. } => {}
    }
    let (function, listener) = open(options)?;
    let draining = Arc::clone(&function);
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || drain_on_sigterm(&draining, termination))?;
    accept(&function, &listener)
}

/// Serves in the background; the caller watches for SIGTERM and drains the record.
pub(crate) fn serve_beside(options: Options) -> io::Result<Arc<Function>> {
    let (function, listener) = open(options)?;
    let serving = Arc::clone(&function);
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            if let Err(error) = accept(&serving, &listener) {
                eprintln!("zeron-example-function: {error}");
            }
        })?;
    Ok(function)
}

fn open(options: Options) -> io::Result<(Arc<Function>, TcpListener)> {
    let listener = listen(&options)?;
    let record = Record::default();
    Ok((Arc::new(Function { options, record }), listener))
}

fn listen(options: &Options) -> io::Result<TcpListener> {
    TcpListener::bind((options.address, options.port))
}

/// Returns at SIGTERM, or never.
fn end(options: &Options, termination: &mut Termination) -> io::Result<()> {
    loop {
        termination.wait()?;
        if !options.ignores_sigterm {
            return Ok(());
        }
    }
}

/// Ends the process once SIGTERM came and nothing is in flight. What arrives meanwhile is still served.
fn drain_on_sigterm(function: &Function, mut termination: Termination) {
    let ended = end(&function.options, &mut termination);
    function.record.drain();
    std::process::exit(if ended.is_ok() { 0 } else { 1 });
}

fn accept(function: &Arc<Function>, listener: &TcpListener) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    loop {
        function.record.open_connection(MAX_CONNECTIONS);
        let (stream, _) = listener.accept()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let owned = Arc::clone(function);
        let spawned = thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // A connection that breaks is the peer's business; the record says what it cost.
                drop(connection(&owned, stream, number));
                owned.record.close_connection();
            });
        if let Err(error) = spawned {
            function.record.close_connection();
            eprintln!("zeron-example-function: no thread for a connection: {error}");
        }
    }
}

fn connection(function: &Function, stream: TcpStream, number: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader)? {
        let first_line = request.raw.split(|&byte| byte == b'\n').next();
        let in_flight = function.record.begin(Head {
            connection: number,
            request_line: crate::text::latin1(first_line.unwrap_or_default().trim_ascii_end()),
        });
        let after = match Body::of(&request, &mut reader) {
            Ok(body) => exchange(function, &request, body, &in_flight)?,
            Err(_) => refuse(reader.get_mut())?,
        };
        if after == After::Close {
            break;
        }
    }
    Ok(())
}

fn exchange(
    function: &Function,
    request: &Request,
    mut body: Body<'_>,
    in_flight: &InFlight<'_>,
) -> io::Result<After> {
    let after = paths::answer(function, request, &mut body, in_flight)?;
    let leftover = if body.is_read() {
        0
    } else {
        body.collect(MAX_LEFTOVER)?.len()
    };
    let is_drained = leftover < usize::try_from(MAX_LEFTOVER).unwrap_or(usize::MAX);
    let goes_on = request.keeps_alive() && is_drained && !function.record.is_draining();
    Ok(if goes_on { after } else { After::Close })
}

fn refuse(stream: &mut TcpStream) -> io::Result<After> {
    Response::text("malformed length\n")
        .with_status(400)
        .write(stream, false, true)?;
    Ok(After::Close)
}
