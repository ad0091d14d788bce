//! The healthy trigger beside each source under test: numbers over HTTP, of which each function has its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: u32,
    asked: u64,
}

/// A server of numbers, `/NAME` each.
#[derive(Debug)]
pub(crate) struct CoTrigger {
    address: SocketAddr,
    numbers: Arc<Mutex<BTreeMap<String, Number>>>,
}

impl CoTrigger {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let numbers = Arc::default();
        let served = Arc::clone(&numbers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let numbers = Arc::clone(&served);
                // A client that goes away ends its own thread alone.
                std::thread::spawn(move || serve(&stream, &numbers).ok());
            }
        });
        Self { address, numbers }
    }

    /// The trigger's metadata, as YAML in one line.
    pub(crate) fn metadata(&self, function: &str) -> String {
        format!(
            "{{url: \"http://{}/{function}\", valueLocation: value, targetValue: \"1\"}}",
            self.address
        )
    }

    pub(crate) fn set(&self, function: &str, value: u32) {
        let mut numbers = self.numbers.lock().unwrap();
        numbers.entry(function.to_owned()).or_default().value = value;
    }

    /// How often it was asked for this function's number.
    pub(crate) fn asked(&self, function: &str) -> u64 {
        let numbers = self.numbers.lock().unwrap();
        numbers.get(function).map_or(0, |number| number.asked)
    }
}

fn serve(stream: &TcpStream, numbers: &Mutex<BTreeMap<String, Number>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if lines.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while lines.read_line(&mut header)? > 2 {
            header.clear();
        }
        let name = request.split_whitespace().nth(1).unwrap_or("/");
        let value = {
            let mut numbers = numbers.lock().unwrap();
            let number = numbers.entry(name[1..].to_owned()).or_default();
            number.asked += 1;
            number.value
        };
        let body = format!("{{\"value\":{value}}}");
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
    }
}
