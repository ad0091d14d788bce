//! A consumer that takes one message and does not acknowledge it: the few frames of AMQP 0-9-1 that this needs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use zeron_tests::servers::rabbitmq::{PASSWORD, RabbitMq, USER};

/// Holds one message for as long as it lives.
#[derive(Debug)]
pub(crate) struct Consumer {
    stream: TcpStream,
}

impl Consumer {
    /// Takes a message out of a queue of the root virtual host.
    pub(crate) fn hold_one(rabbit: &RabbitMq, queue: &str) -> Self {
        let stream = TcpStream::connect(rabbit.amqp()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut consumer = Self { stream };
        consumer.stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
        consumer.expect(10, 10);
        let login = format!("\0{USER}\0{PASSWORD}");
        let start_ok = [table(), short("PLAIN"), long(&login), short("en_US")].concat();
        consumer.send(0, 10, 11, &start_ok);
        consumer.expect(10, 30);
        // One channel, frames of 128 KiB, no heartbeats.
        consumer.send(0, 10, 31, &[0, 1, 0, 2, 0, 0, 0, 0]);
        consumer.send(0, 10, 40, &[short("/"), short(""), vec![0]].concat());
        consumer.expect(10, 41);
        consumer.send(1, 20, 10, &short(""));
        consumer.expect(20, 11);
        // basic.get, to be acknowledged.
        consumer.send(1, 60, 70, &[vec![0, 0], short(queue), vec![0]].concat());
        consumer.expect(60, 71);
        consumer
    }

    fn send(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let size = u32::try_from(arguments.len() + 4).unwrap();
        let mut frame = vec![1];
        frame.extend(channel.to_be_bytes());
        frame.extend(size.to_be_bytes());
        frame.extend(class.to_be_bytes());
        frame.extend(method.to_be_bytes());
        frame.extend(arguments);
        frame.push(0xce);
        self.stream.write_all(&frame).unwrap();
    }

    fn expect(&mut self, class: u16, method: u16) {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head).unwrap();
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(size).unwrap() + 1];
        self.stream.read_exact(&mut payload).unwrap();
        let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
        assert_eq!(
            payload[..4],
            expected,
            "{:?}",
            String::from_utf8_lossy(&payload)
        );
    }
}

fn short(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

fn long(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// An empty table.
fn table() -> Vec<u8> {
    vec![0; 4]
}
