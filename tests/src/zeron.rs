//! One `zeron up` as a child process, its admin API, and its other commands.

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::manifest::{QUICK, Service, host};
use crate::ports::free_address;
use crate::process::{self, Signal};
use crate::raw::Raw;
use crate::response::{self, Response};
use crate::wait::{PATIENCE, until, within};

/// What to bring up, and how.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    manifests: Vec<(String, String)>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    folder: Option<Arc<TempDir>>,
    listen: Option<SocketAddr>,
}

impl Setup {
    /// Nothing yet, but that functions go back to zero soon.
    pub fn new() -> Self {
        Self::default().manifest("config.yaml", QUICK)
    }

    /// Adds a function, in a file of its own.
    #[must_use]
    pub fn function(self, service: &Service) -> Self {
        let file = format!("{}.yaml", service.host());
        self.manifest(&file, &service.yaml())
    }

    /// Adds a file.
    #[must_use]
    pub fn manifest(mut self, file: &str, text: &str) -> Self {
        self.manifests.push((file.to_owned(), text.to_owned()));
        self
    }

    /// Adds arguments of `up`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses the folder, with its state, of one that ran before.
    #[must_use]
    pub fn after(mut self, earlier: &Zeron) -> Self {
        self.folder = Some(Arc::clone(&earlier.folder));
        self
    }

    /// Listens there instead of on a free port.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// Brings it up and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn up(self) -> Zeron {
        let mut zeron = self.start();
        until("zeron to be ready", || {
            let ended = zeron.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "zeron ended: {ended:?}\n{}", zeron.log());
            zeron
                .admin("GET", "/readyz", "")
                .ok()
                .filter(|answer| answer.status == 200)
        });
        zeron
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    /// When the process cannot be started.
    pub fn start(self) -> Zeron {
        let folder = self.folder.unwrap_or_else(|| Arc::new(temporary_folder()));
        let manifests = folder.path().join("manifests");
        std::fs::create_dir_all(&manifests).expect("the folder is ours");
        for (file, text) in &self.manifests {
            let file = manifests.join(file);
            std::fs::create_dir_all(file.parent().expect("it lies in a folder"))
                .and_then(|()| std::fs::write(file, text))
                .expect("the folder is ours");
        }
        let requests = self.listen.unwrap_or_else(free_address);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.path().join("log"))
            .expect("the folder is ours");
        let mut command = Command::new(binary::zeron());
        if self
            .manifests
            .iter()
            .any(|(_, text)| text.contains("zeron-example-consumer"))
        {
            command.env("PATH", on_path(binary::consumer()));
        }
        let child = command
            .arg("up")
            .arg(&manifests)
            .args(["--listen", &requests.to_string()])
            .args(["--admin-listen", &admin_address(folder.path())])
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .args(&self.args)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("zeron was built");
        Zeron {
            child,
            requests,
            folder,
        }
    }
}

/// Our `PATH`, with the folder of `program` in front.
fn on_path(program: &Path) -> std::ffi::OsString {
    let folder = program.parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&path)))
        .expect("the parts of a PATH make one")
}

/// A running `zeron up`. It is ended, with all that it runs, when this is dropped.
#[derive(Debug)]
pub struct Zeron {
    child: Child,
    /// Where it takes requests.
    pub requests: SocketAddr,
    folder: Arc<TempDir>,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Zeron {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection for requests.
    pub fn connect(&self) -> Raw {
        Raw::connect(self.requests)
    }

    /// Sends a GET to a function on a connection of its own.
    pub fn get(&self, function: &str, target: &str) -> Response {
        self.connect().get(&host(function), target).response()
    }

    /// Runs another command against this one.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Output {
        command(args, |command| {
            command.env("ZERON_ADMIN", admin_address(self.folder.path()));
        })
    }

    /// Asks the admin API.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn admin(&self, method: &str, target: &str, body: &str) -> std::io::Result<Response> {
        let mut stream = UnixStream::connect(self.folder.path().join("admin"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let mut answer = response::read_head(&mut reader)?;
        response::read_body(&mut reader, &mut answer);
        Ok(answer)
    }

    /// Every function, as the admin API has it.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn functions(&self) -> Vec<Value> {
        let answer = self
            .admin("GET", "/v1/functions", "")
            .expect("the admin API answers");
        let list = answer.json();
        let list = list.get("functions").unwrap_or(&list).clone();
        list.as_array()
            .cloned()
            .unwrap_or_else(|| panic!("no list: {list}"))
    }

    /// The function of that name: its own, or its Service's newest one.
    pub fn function(&self, name: &str) -> Option<Value> {
        let is_named = |view: &Value| view["id"]["name"] == name || view["owner"]["name"] == name;
        self.functions().into_iter().rev().find(is_named)
    }

    /// A number of a function, such as `ready` or `queued`; 0 while it does not exist.
    pub fn count(&self, function: &str, field: &str) -> u64 {
        self.function(function)
            .and_then(|view| view[field].as_u64())
            .unwrap_or(0)
    }

    /// Process ids of a function's replicas.
    pub fn replicas(&self, function: &str) -> Vec<u32> {
        let view = self.function(function).unwrap_or_default();
        let replicas = view["replicas"].as_array().cloned().unwrap_or_default();
        let pid = |replica: &Value| {
            replica["pid"]
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok())
        };
        replicas.iter().filter_map(pid).collect()
    }

    /// Waits until a number of a function is as expected.
    pub fn wait_for(&self, function: &str, field: &str, expected: u64) {
        until(&format!("{field} of {function} to be {expected}"), || {
            (self.count(function, field) == expected).then_some(())
        });
    }

    /// Waits until it has no replica any more, wanted or running.
    pub fn wait_for_zero(&self, function: &str) {
        within(
            2 * PATIENCE,
            &format!("{function} to go back to zero"),
            || {
                let view = self.function(function)?;
                let is_empty = view["replicas"].as_array().is_none_or(Vec::is_empty);
                (view["desired"] == 0 && is_empty).then_some(())
            },
        );
    }

    /// The decisions of a function, oldest first.
    ///
    /// # Panics
    /// When the admin API does not answer.
    pub fn decisions(&self, function: &str) -> Vec<Value> {
        let Some(view) = self.function(function) else {
            return Vec::new();
        };
        let name = view["id"]["name"].as_str().unwrap_or_default();
        let target = format!("/v1/functions/default/{name}/decisions");
        let list = self
            .admin("GET", &target, "")
            .expect("the admin API answers")
            .json();
        list.get("decisions")
            .unwrap_or(&list)
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Writes a manifest anew, as an editor does: whole, in one step.
    ///
    /// # Panics
    /// When the folder is gone.
    pub fn edit(&self, file: &str, text: &str) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(&fresh, text).expect("the folder is ours");
        std::fs::rename(fresh, self.manifests().join(file)).expect("the folder is ours");
    }

    /// Where its manifests are.
    pub fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When it is not our child.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits until it ends.
    pub fn wait(&mut self) -> ExitStatus {
        let log = self.folder.path().join("log");
        until(
            &format!("zeron to end; its log is {}", log.display()),
            || self.child.try_wait().expect("it is our child"),
        )
    }
}

impl Zeron {
    /// Says, for a test that failed, why its functions are as they are and what they wrote.
    fn explain(&self) {
        const SHOWN: usize = 5;
        if !std::fs::exists(self.folder.path().join("admin")).unwrap_or(false) {
            return;
        }
        let names = self.run(&["ls"]).stdout;
        let names = names
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next());
        for name in names.take(SHOWN) {
            for command in ["why", "timeline", "logs"] {
                let output = self.run(&[command, name]);
                let lines: Vec<&str> = output.stdout.lines().collect();
                let last = &lines[lines.len().saturating_sub(30)..];
                eprintln!("--- {command} {name}\n{}", last.join("\n"));
            }
        }
    }
}

impl Drop for Zeron {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of zeron\n{}---", self.log());
            self.explain();
        }
        // Killed, its keeper ends all that it ran; a drain would only take longer.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program under test, to be given arguments and started.
pub fn program() -> Command {
    Command::new(binary::zeron())
}

/// Runs a command that needs no running zeron.
///
/// # Panics
/// When it cannot be started.
pub fn command(args: &[&str], prepare: impl FnOnce(&mut Command)) -> Output {
    let mut command = program();
    command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
    prepare(&mut command);
    let output = command.output().expect("zeron was built");
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn temporary_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("zeron-test-")
        .tempdir()
        .expect("there is a temporary folder")
}

/// A socket in the folder: its name cannot be taken by anybody else.
fn admin_address(folder: &Path) -> String {
    format!("unix:{}", folder.join("admin").display())
}
