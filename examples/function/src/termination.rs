//! SIGTERM as something that a thread can wait for.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGTERM;

/// SIGTERM from now on: each one is a byte to read, and no longer ends the process by itself.
#[derive(Debug)]
pub(crate) struct Termination {
    signals: UnixStream,
}

impl Termination {
    pub(crate) fn install() -> io::Result<Self> {
        let (signals, from_signal) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(SIGTERM, from_signal)?;
        Ok(Self { signals })
    }

    /// Waits for SIGTERM.
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        self.signals.read_exact(&mut [0])
    }
}

/// Spends this long; nothing can cut it short.
pub fn pause(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
