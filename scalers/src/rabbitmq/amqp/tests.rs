use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// What is long for a server on loopback.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server saw.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    most_channels: AtomicUsize,
}

/// A server with every queue but those that begin with `missing`; one that begins with `hung` blocks its channel.
fn serve() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.connections.fetch_add(1, Ordering::SeqCst);
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || Served::new(stream.unwrap(), counted).run());
        }
    });
    (address, seen)
}

/// One connection of the server.
struct Served {
    stream: TcpStream,
    seen: Arc<Seen>,
    channels: HashSet<u16>,
    blocked: HashSet<u16>,
    hung: HashSet<u16>,
}

impl Served {
    fn new(stream: TcpStream, seen: Arc<Seen>) -> Self {
        Self {
            stream,
            seen,
            channels: HashSet::new(),
            blocked: HashSet::new(),
            hung: HashSet::new(),
        }
    }

    /// Answers until the client is gone.
    fn run(&mut self) -> Option<()> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header).ok()?;
        let start = [&[0, 9, 0, 0, 0, 0][..], &long("PLAIN"), &long("en_US")].concat();
        self.send(0, 10, 10, &start)?;
        loop {
            let mut head = [0; 7];
            self.stream.read_exact(&mut head).ok()?;
            let channel = u16::from_be_bytes([head[1], head[2]]);
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
            let mut payload = vec![0; usize::try_from(size).ok()? + 1];
            self.stream.read_exact(&mut payload).ok()?;
            if head[0] == 1 {
                let class = u16::from_be_bytes([payload[0], payload[1]]);
                let method = u16::from_be_bytes([payload[2], payload[3]]);
                self.answer(channel, class, method, &payload[4..])?;
            }
        }
    }

    fn answer(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) -> Option<()> {
        match (class, method) {
            // Channels, bytes of a frame, no heartbeats.
            (10, 11) => self.send(0, 10, 30, &[7, 255, 0, 2, 0, 0, 0, 0]),
            (10, 40) => self.send(0, 10, 41, &[0]),
            (10, 50) => self.send(0, 10, 51, &[]),
            (20, 10) => {
                self.channels.insert(channel);
                let count = self.channels.len();
                self.seen.most_channels.fetch_max(count, Ordering::SeqCst);
                self.send(channel, 20, 11, &[0; 4])
            }
            (20, 40) if !self.hung.contains(&channel) => {
                self.close(channel);
                self.send(channel, 20, 41, &[])
            }
            (20, 41) => {
                self.close(channel);
                Some(())
            }
            (50, 10) if !self.blocked.contains(&channel) => self.declared(channel, arguments),
            _ => Some(()),
        }
    }

    fn close(&mut self, channel: u16) {
        self.channels.remove(&channel);
        self.blocked.remove(&channel);
    }

    fn declared(&mut self, channel: u16, arguments: &[u8]) -> Option<()> {
        let length = usize::from(arguments[2]);
        let name = String::from_utf8_lossy(&arguments[3..3 + length]).into_owned();
        if name.starts_with("hung") || name.starts_with("missing") {
            // Until the channel is closed, nothing else is answered on it.
            self.blocked.insert(channel);
        }
        if name.starts_with("hung") {
            self.hung.insert(channel);
            return Some(());
        }
        if name.starts_with("missing") {
            let text = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
            let close = [&404_u16.to_be_bytes()[..], &short(&text), &[0, 50, 0, 10]].concat();
            return self.send(channel, 20, 40, &close);
        }
        let ok = [short(&name), vec![0, 0, 0, 7, 0, 0, 0, 0]].concat();
        self.send(channel, 50, 11, &ok)
    }

    fn send(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) -> Option<()> {
        let size = u32::try_from(arguments.len() + 4).ok()?;
        let mut frame = vec![1];
        frame.extend(channel.to_be_bytes());
        frame.extend(size.to_be_bytes());
        frame.extend(class.to_be_bytes());
        frame.extend(method.to_be_bytes());
        frame.extend(arguments);
        frame.push(0xce);
        self.stream.write_all(&frame).ok()
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

fn trigger(address: SocketAddr, queue: &str) -> Arc<RabbitTrigger> {
    let host = format!("amqp://{address}/");
    let spec = crate::testkit::spec("rabbitmq", &[("queueName", queue)], &[("host", &host)]);
    Arc::new(RabbitTrigger::parse(&spec).0.unwrap())
}

fn client(address: SocketAddr) -> Amqp {
    Amqp::new(&trigger(address, "any").source, AddressPolicy::MACHINE)
}

/// `Ok` where the queue was counted, else why not.
async fn read(
    client: &Amqp,
    triggers: &[Arc<RabbitTrigger>],
    timeout: Duration,
) -> Vec<Option<UnknownKind>> {
    let readings = client.read(triggers, timeout).await;
    let kind = |reading: Readings| match reading {
        Ok(readings) => {
            assert_eq!(readings[0].value, 7.0);
            None
        }
        Err(error) => Some(error.kind),
    };
    readings.into_iter().map(kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_queues_need_one_connection_and_few_channels() {
    let (address, seen) = serve();
    let client = client(address);
    let name = |number| if number % 10 == 3 { "missing" } else { "queue" };
    let triggers: Vec<_> = (0..1_000)
        .map(|number| trigger(address, &format!("{}-{number}", name(number))))
        .collect();
    for _ in 0..3 {
        let kinds = read(&client, &triggers, PATIENCE).await;
        for (number, kind) in kinds.into_iter().enumerate() {
            let expected = (number % 10 == 3).then_some(UnknownKind::Missing);
            assert_eq!(kind, expected, "{number}");
        }
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
    assert!(seen.most_channels.load(Ordering::SeqCst) <= 8, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_that_hangs_delays_its_neighbours_once() {
    let (address, _seen) = serve();
    let client = client(address);
    let mut names: Vec<_> = (0..40).map(|number| format!("queue-{number:02}")).collect();
    names.insert(20, "hung".to_owned());
    let triggers: Vec<_> = names.iter().map(|name| trigger(address, name)).collect();
    // It sorts before all others, and so keeps all of them waiting.
    let short = Duration::from_millis(800);
    let first = read(&client, &triggers, short).await;
    assert!(
        first.iter().all(|it| *it == Some(UnknownKind::Timeout)),
        "{first:?}"
    );
    // From then on it is asked for alone, and is given up after a quarter of the time.
    let long = Duration::from_secs(4);
    for _ in 0..2 {
        let began = Instant::now();
        let kinds = read(&client, &triggers, long).await;
        assert!(began.elapsed() < long, "{:?}", began.elapsed());
        for (name, kind) in names.iter().zip(kinds) {
            let expected = (name == "hung").then_some(UnknownKind::Timeout);
            assert_eq!(kind, expected, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_that_hang_for_ever_do_not_fill_a_connection() {
    let (address, seen) = serve();
    let client = client(address);
    let triggers = ["hung", "queue"].map(|name| trigger(address, name));
    let mut answered = 0;
    for _ in 0..60 {
        let kinds = read(&client, &triggers, Duration::from_millis(400)).await;
        assert_eq!(kinds[0], Some(UnknownKind::Timeout));
        answered += usize::from(kinds[1].is_none());
    }
    // Not in the first, and not where the machine does something else for that long.
    assert!(answered >= 50, "{answered}");
    let connections = seen.connections.load(Ordering::SeqCst);
    // The first evaluation, in which nothing was answered, and one with 40 channels that hang.
    assert!((3..=10).contains(&connections), "{seen:?}");
    assert!(seen.most_channels.load(Ordering::SeqCst) <= 42, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_refuses_is_not_dialled_at_every_evaluation() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dialled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dialled);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let client = client(address);
    let triggers = [trigger(address, "queue")];
    let began = Instant::now();
    for _ in 0..100 {
        let kinds = read(&client, &triggers, PATIENCE).await;
        assert!(kinds[0].is_some());
    }
    // One at once, then after 0.1 s, 0.2 s, 0.4 s and so on.
    let waits = began.elapsed().as_millis() / 100 + 2;
    let dialled = dialled.load(Ordering::SeqCst);
    assert!(
        u128::try_from(dialled).unwrap() <= waits,
        "{dialled} in {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_silent_costs_no_thread_afterwards() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let silent = client(address);
    let triggers = [trigger(address, "queue")];
    let kinds = read(&silent, &triggers, Duration::from_millis(200)).await;
    assert_eq!(kinds, [Some(UnknownKind::Timeout)]);
    // The other end sees the connection end: lapin's thread is gone or about to go.
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    // A reset is an end as well; a timeout is not.
    match accepted.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}
