//! An external scaler of somebody else's: a Go program written against KEDA's own protocol.

use std::ffi::OsString;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::broker::{self, Unavailable};
use crate::ports::free_address;
use crate::servers::{self, Server};
use crate::wait::PATIENCE;
use crate::{binary, response};

/// Names the program, where it is built already.
const GIVEN: &str = "ZERON_TEST_EXTERNAL_SCALER";

/// A running scaler. It ends with its value.
#[derive(Debug)]
pub struct ForeignScaler {
    server: Server,
    control: SocketAddr,
}

impl ForeignScaler {
    /// Builds it, where that was not done, and starts it.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] without Go.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Result<Self, Unavailable> {
        Self::start_with(&[])
    }

    /// The same, which speaks TLS with this certificate and key and wants one of `clients` to be
    /// shown: files in PEM.
    ///
    /// # Errors
    /// As [`ForeignScaler::start`].
    pub fn secured(certificate: &Path, key: &Path, clients: &Path) -> Result<Self, Unavailable> {
        let mut arguments: Vec<OsString> = Vec::new();
        for (name, file) in [
            ("-certificate", certificate),
            ("-key", key),
            ("-clients", clients),
        ] {
            arguments.extend([name.into(), file.into()]);
        }
        Self::start_with(&arguments)
    }

    fn start_with(arguments: &[OsString]) -> Result<Self, Unavailable> {
        let program = program()?;
        let (address, control) = (free_address(), free_address());
        let mut command: Vec<OsString> = vec![program.into()];
        for (name, address) in [("-listen", address), ("-control", control)] {
            command.extend([name.into(), address.to_string().into()]);
        }
        command.extend_from_slice(arguments);
        let folder = Server::folder();
        let is_ready = || servers::accepts(address) && servers::accepts(control);
        let server = Server::start(&folder, address, &command, is_ready);
        Ok(Self { server, control })
    }

    /// What triggers name as `scalerAddress`.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The server itself, to be frozen, killed and run again.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// What it measures from now on; a scaler that was started again measures nothing.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn measure(&self, value: f64, target: f64, is_active: bool) {
        let target = format!("/set?value={value}&target={target}&active={is_active}");
        self.ask("POST", &target);
    }

    /// Whom it was last asked about, and how many streams are open.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn seen(&self) -> Value {
        serde_json::from_slice(&self.ask("GET", "/seen")).expect("it answers with JSON")
    }

    fn ask(&self, method: &str, target: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.control).expect("it listens");
        let asked = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| {
            write!(
                stream,
                "{method} {target} HTTP/1.1\r\nHost: scaler\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
        });
        asked.expect("it takes requests");
        let mut reader = BufReader::new(stream);
        let mut answer = response::read_head(&mut reader).expect("it answers");
        response::read_body(&mut reader, &mut answer);
        assert_eq!(answer.status, 200);
        answer.body
    }
}

/// The scaler for a test; `None` where there is none, which is reported.
///
/// # Panics
/// When it should have been there.
pub fn started(test: &str, scaler: Result<ForeignScaler, Unavailable>) -> Option<ForeignScaler> {
    match scaler {
        Ok(scaler) => Some(scaler),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(test, &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// The program, built once.
fn program() -> Result<PathBuf, Unavailable> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match std::env::var_os(GIVEN) {
        Some(given) => Some(given.into()),
        None => build(),
    });
    built
        .clone()
        .ok_or_else(|| Unavailable::Skip("there is no Go to build an external scaler with".into()))
}

fn build() -> Option<PathBuf> {
    servers::find("go", &["/usr/local/go/bin"]).ok()?;
    let output = Command::new(binary::xtask())
        .args(["cluster", "scaler"])
        .output()
        .expect("it was built");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = said.lines().find_map(|line| line.strip_prefix(GIVEN))?;
    Some(path.trim_start_matches('=').into())
}
