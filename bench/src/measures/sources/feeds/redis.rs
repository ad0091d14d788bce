//! Redis: lists and streams.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::SystemTime;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::redis::{Options, Redis};

use super::Feed;

struct RedisFeed {
    server: Redis,
    stream: TcpStream,
    is_list: bool,
}

pub(super) fn lists() -> Result<Box<dyn Feed>, Unavailable> {
    redis(true)
}

pub(super) fn streams() -> Result<Box<dyn Feed>, Unavailable> {
    redis(false)
}

fn redis(is_list: bool) -> Result<Box<dyn Feed>, Unavailable> {
    let server = Redis::start_with(&Options::with(&[("notify-keyspace-events", "KA")]))?;
    let stream = connect(server.address()).map_err(Unavailable::Failed)?;
    Ok(Box::new(RedisFeed {
        server,
        stream,
        is_list,
    }))
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Feed for RedisFeed {
    fn kind(&self, _: bool) -> &'static str {
        if self.is_list {
            "redis"
        } else {
            "redis-streams"
        }
    }

    fn metadata(&self, thing: &str, is_pushed: bool) -> Value {
        let (key, length) = if self.is_list {
            ("listName", "listLength")
        } else {
            ("stream", "streamLength")
        };
        json!({
            "address": self.server.address().to_string(),
            key: thing,
            length: "1",
            "push": is_pushed.to_string(),
        })
    }

    fn can_push(&self) -> bool {
        true
    }

    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let began = SystemTime::now();
        let command = if self.is_list {
            format!("RPUSH {thing} x\r\n")
        } else {
            format!("XADD {thing} * a b\r\n")
        };
        self.stream.write_all(command.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&self.stream).read_line(&mut answer)?;
        ensure!(!answer.starts_with('-'), "redis: {answer}");
        Ok(began)
    }
}
