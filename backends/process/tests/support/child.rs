//! What the tests start: replicas of every kind, the keeper, and a parent that gets killed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use zeron_backend_process::{KeeperCommand, ProcessBackend, ProcessConfig, keeper_main};
use zeron_core::function::Protocol;
use zeron_core::workload::Port;
use zeron_core::{Backend, Function, FunctionId, ObjectRef, Workload};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let mode = args.get(1).map_or("serve", String::as_str);
    let extra = args.get(2).cloned().unwrap_or_default();
    match mode {
        "keeper" => return keeper_main(),
        "parent" => parent(&args[2..]),
        // Listens on $PORT, or the given port, and answers each request with the given text.
        "serve" => serve(&extra),
        // The same, with a process of its own beside it.
        "family" => {
            family(&extra);
            serve("");
        }
        // As above, but the leader ends and leaves its child behind.
        "leave" => family(&extra),
        "sleep" => forever(),
        // As "serve"; its parent starts many and does not wait for them.
        "burst" => serve(""),
        // Says the text on stderr and ends with status 3.
        "fail" => {
            eprintln!("{extra}");
            return ExitCode::from(3);
        }
        // Answers one request, then ends with status 4.
        "once" => {
            answer(&listen("").accept().expect("accept").0, "once");
            return ExitCode::from(4);
        }
        // Writes lines until it has written the given number of them, then serves.
        "chatty" => {
            for n in 0..extra.parse::<u32>().expect("a number") {
                println!("line {n}");
            }
            serve("");
        }
        // Serves and ignores SIGTERM.
        "stubborn" => stubborn(),
        // Answers with 503 until the given file exists.
        "unready" => unready(&extra),
        "environment" => {
            for (name, value) in std::env::vars() {
                println!("{name}={value}");
            }
            serve("");
        }
        other => {
            eprintln!("unknown mode {other}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn listen(port: &str) -> TcpListener {
    let given = port.parse().ok();
    let port = given.or_else(|| std::env::var("PORT").ok()?.parse().ok());
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).expect("the port is free")
}

fn serve(text: &str) {
    for stream in listen("").incoming().flatten() {
        answer(&stream, text);
    }
}

fn answer(mut stream: &TcpStream, text: &str) {
    let mut head = [0u8; 1024];
    if stream.read(&mut head).unwrap_or(0) > 0 {
        let length = text.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
        stream.write_all(answer.as_bytes()).ok();
    }
}

fn unready(file: &str) {
    for mut stream in listen("").incoming().flatten() {
        let mut head = [0u8; 1024];
        if stream.read(&mut head).unwrap_or(0) > 0 {
            let is_ready = std::path::Path::new(file).exists();
            let status = if is_ready { "200 OK" } else { "503 No" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).ok();
        }
    }
}

fn forever() {
    loop {
        std::thread::park();
    }
}

/// Starts a grandchild that sleeps, and writes its number into a file.
#[expect(
    clippy::zombie_processes,
    reason = "what is left behind is what is tested"
)]
fn family(file: &str) {
    let own = std::env::current_exe().expect("own path");
    let child = Command::new(own).arg("sleep").spawn().expect("a child");
    std::fs::write(file, child.id().to_string()).expect("a writable file");
}

fn stubborn() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let _context = runtime.enter();
    let kind = tokio::signal::unix::SignalKind::terminate();
    let _ignored = tokio::signal::unix::signal(kind).expect("a signal");
    serve("");
}

/// Runs a back end with one function and never ends by itself: `parent STATE_DIR MODE [ARG]`.
fn parent(args: &[String]) {
    let own = std::env::current_exe().expect("own path");
    let state = std::path::PathBuf::from(&args[0]);
    let keeper = KeeperCommand {
        program: own.clone(),
        args: vec!["keeper".into()],
    };
    let mut config = ProcessConfig::new(state.clone(), state, keeper);
    config.orphan_grace = Duration::from_millis(300);
    let backend = ProcessBackend::start(config).expect("a back end");
    let mut command = vec![own.display().to_string()];
    command.extend_from_slice(&args[1..]);
    let id = FunctionId::new("default", "Deployment", "f");
    backend.apply(Arc::new(Function {
        workload: Workload {
            command,
            port: Some(Port::Assigned),
            start_deadline: Duration::from_secs(30),
            ..Workload::default()
        },
        ..Function::new(
            id.clone(),
            ObjectRef {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                namespace: "default".to_owned(),
                name: "f".to_owned(),
            },
            Protocol::Http1,
        )
    }));
    let replicas = if args[1] == "burst" { 60 } else { 3 };
    backend.scale(&id, replicas, &[]);
    let is_ready = |r: &zeron_backend_process::ReplicaStatus| r.ready_at.is_some();
    loop {
        let replicas = backend.replicas(&id);
        if replicas.len() == 3 && replicas.iter().all(is_ready) {
            let pids: Vec<_> = replicas.iter().filter_map(|r| r.pid).collect();
            println!("{pids:?}");
            forever();
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
