//! A TCP proxy in front of a real server that makes the faults which the server does not make on demand.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ports::free_address;

/// How often threads look at the mode.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// More connections than this are refused.
const MAX_CONNECTIONS: usize = 256;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They pass.
    Pass,
    /// Nobody listens, and what was open is closed.
    Down,
    /// Connections are taken, and nothing ever comes back.
    Hang,
    /// The answer to every byte is nonsense, and then the end.
    Garbage,
    /// Every piece waits so long, in both directions.
    Slow(Duration),
}

#[derive(Debug)]
struct Shared {
    mode: Mutex<Mode>,
    is_over: AtomicBool,
    open: AtomicUsize,
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// A proxy; its threads end when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Listens on loopback and hands everything on to `server`.
    ///
    /// # Panics
    /// When a free address is taken.
    pub fn before(server: SocketAddr) -> Self {
        let address = free_address();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Pass),
            is_over: AtomicBool::new(false),
            open: AtomicUsize::new(0),
        });
        // Before the thread runs: who connects at once is not refused.
        let listener = TcpListener::bind(address).expect("the address is free");
        let listening = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || listen(listener, server, &shared)
        });
        Self {
            address,
            shared,
            listening: Some(listening),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of bytes from now on, on open connections too.
    pub fn set(&self, mode: Mode) {
        *self.shared.lock() = mode;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(listening) = self.listening.take() {
            listening.join().expect("the proxy's thread does not panic");
        }
    }
}

fn listen(first: TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    let address = first.local_addr().expect("it listens");
    let mut listener = Some(first);
    while !shared.is_over() {
        if shared.mode() == Mode::Down {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).ok();
        }
        match accept(listener.as_ref()) {
            Some(client) => take(client, server, shared),
            None => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}

fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    let listener = listener?;
    listener.set_nonblocking(true).ok()?;
    let (client, _) = listener.accept().ok()?;
    client.set_nonblocking(false).ok()?;
    Some(client)
}

fn take(client: TcpStream, server: SocketAddr, shared: &Arc<Shared>) {
    if shared.open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
        return;
    }
    let Ok(server) = TcpStream::connect_timeout(&server, Duration::from_secs(2)) else {
        return;
    };
    let ends = [
        (client.try_clone(), server.try_clone()),
        (Ok(server), Ok(client)),
    ];
    for (place, (from, to)) in ends.into_iter().enumerate() {
        if let (Ok(from), Ok(to)) = (from, to) {
            shared.open.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(shared);
            let is_from_client = place == 0;
            std::thread::spawn(move || {
                pump(from, to, is_from_client, &shared);
                shared.open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

/// Moves bytes one way until either end is gone.
fn pump(mut from: TcpStream, mut to: TcpStream, is_from_client: bool, shared: &Shared) {
    let timed = from.set_read_timeout(Some(LOOK_EVERY));
    let mut buffer = [0; 16 * 1024];
    while timed.is_ok() && !shared.is_over() && shared.mode() != Mode::Down {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        if !hand_on(&buffer[..count], &mut from, &mut to, is_from_client, shared) {
            break;
        }
    }
    // The other direction ends as well: half-open connections are not what is tested here.
    for end in [&from, &to] {
        end.shutdown(Shutdown::Both).ok();
    }
}

/// False: the connection is over.
fn hand_on(
    bytes: &[u8],
    from: &mut TcpStream,
    to: &mut TcpStream,
    is_from_client: bool,
    shared: &Shared,
) -> bool {
    loop {
        if shared.is_over() {
            return false;
        }
        match shared.mode() {
            Mode::Pass => return to.write_all(bytes).is_ok(),
            Mode::Down => return false,
            Mode::Hang => std::thread::park_timeout(LOOK_EVERY),
            Mode::Garbage if is_from_client => {
                from.write_all(b"\x00\xffnonsense \x15\x03 {[<\r\n\r\n")
                    .ok();
                return false;
            }
            Mode::Garbage => return false,
            Mode::Slow(pause) => {
                crate::wait::last(pause);
                return to.write_all(bytes).is_ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every byte with the same byte.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut write = stream.try_clone().expect("it can be cloned");
                    std::io::copy(&mut &stream, &mut write).ok();
                });
            }
        });
        address
    }

    fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"hello")?;
        let mut answer = [0; 64];
        let count = stream.read(&mut answer)?;
        Ok(answer[..count].to_vec())
    }

    #[test]
    fn every_mode_does_what_it_says() {
        let proxy = FaultProxy::before(echo());
        let address = proxy.address();
        crate::until("it to listen", || ask(address).ok());
        assert_eq!(ask(address).expect("it passes"), b"hello");
        proxy.set(Mode::Garbage);
        crate::until("garbage", || ask(address).ok().filter(|it| it != b"hello"));
        proxy.set(Mode::Hang);
        let is_silent = |error: std::io::Error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        };
        assert!(ask(address).is_err_and(is_silent));
        proxy.set(Mode::Down);
        crate::until("nobody to listen", || {
            let refused = ask(address).err()?;
            (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
        });
        proxy.set(Mode::Pass);
        crate::until("it to pass again", || {
            ask(address).ok().filter(|it| it == b"hello")
        });
    }
}
