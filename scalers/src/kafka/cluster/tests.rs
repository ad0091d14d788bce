use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::kafka::trigger::tests::spec;
use crate::parameters::Parameters;

/// How long a reading may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster as its first broker tells it: that one keeps all groups and leads topic `a`, the other leads `b`.
#[derive(Clone, Copy)]
struct Told {
    first: SocketAddr,
    second: SocketAddr,
}

impl Told {
    /// The body of the answer to a request of the only version that is admitted to.
    fn answer(self, kind: i16) -> Vec<u8> {
        match kind {
            18 => {
                let versions = [(2, 1), (3, 1), (9, 1), (10, 0)];
                let versions = versions.map(|(kind, version)| numbers(&[kind, version, version]));
                [numbers(&[0]), list(&versions)].concat()
            }
            3 => {
                let brokers = [(1, self.first), (2, self.second)];
                let no_rack = numbers(&[-1]);
                let brokers =
                    brokers.map(|(id, at)| [long(id), place(at), no_rack.clone()].concat());
                let topics = [("a", 1), ("b", 2)].map(|(name, leader)| {
                    let nobody = list(&[]);
                    let partition = [numbers(&[0]), long(0), long(leader), nobody.clone(), nobody];
                    let external = vec![0];
                    [
                        numbers(&[0]),
                        text(name),
                        external,
                        list(&[partition.concat()]),
                    ]
                    .concat()
                });
                [list(&brokers), long(1), list(&topics)].concat()
            }
            10 => [numbers(&[0]), long(1), place(self.first)].concat(),
            9 => {
                let partition = [long(0), 1_i64.to_be_bytes().to_vec(), numbers(&[-1, 0])].concat();
                let topics = ["a", "b"]
                    .map(|name| [text(name), list(std::slice::from_ref(&partition))].concat());
                list(&topics)
            }
            2 => {
                let (now, end) = ((-1_i64).to_be_bytes(), 5_i64.to_be_bytes());
                let partition = [long(0), numbers(&[0]), now.to_vec(), end.to_vec()].concat();
                list(&[[text("a"), list(&[partition])].concat()])
            }
            kind => panic!("nobody asks for {kind}"),
        }
    }
}

fn numbers(numbers: &[i16]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

fn long(number: i32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    let count = i32::try_from(elements.len()).unwrap();
    [long(count), elements.concat()].concat()
}

fn place(address: SocketAddr) -> Vec<u8> {
    [text(&address.ip().to_string()), long(address.port().into())].concat()
}

async fn serve(mut client: TcpStream, told: Told) -> std::io::Result<()> {
    loop {
        let length = client.read_u32().await?;
        let mut frame = vec![0; length.try_into().unwrap()];
        client.read_exact(&mut frame).await?;
        let kind = i16::from_be_bytes([frame[0], frame[1]]);
        let answer = [&frame[4..8], &told.answer(kind)].concat();
        client.write_u32(answer.len().try_into().unwrap()).await?;
        client.write_all(&answer).await?;
    }
}

/// A broker that says what is `told` of it and of one at `second`.
async fn broker(second: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, Told { first, second }));
        }
    });
    first
}

fn cluster(first: SocketAddr) -> Cluster {
    let spec = spec("kafka", &[("bootstrapServers", &first.to_string())], &[]);
    let key = SourceKey::parse(&mut Parameters::new(&spec));
    Cluster::new(&key, AddressPolicy::MACHINE)
}

fn want(topic: &str) -> Want {
    Want {
        group: "group".to_owned(),
        topics: vec![topic.to_owned()],
        limit: None,
    }
}

async fn read_both(cluster: &Cluster) -> (Answer, Answer) {
    let mut answers = cluster.read(&[want("a"), want("b")], TIMEOUT).await;
    let (b, a) = (answers.pop().unwrap(), answers.pop().unwrap());
    (a, b)
}

fn assert_known(answer: &Answer) {
    let offsets = answer.as_ref().unwrap();
    assert_eq!((offsets[0].committed, offsets[0].end), (Some(1), Some(5)));
}

#[tokio::test]
async fn broker_that_hangs_costs_the_partitions_that_it_leads_alone() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = silent.local_addr().unwrap();
    let cluster = cluster(broker(second).await);
    for _ in 0..3 {
        let began = Instant::now();
        let (a, b) = read_both(&cluster).await;
        assert_known(&a);
        let broker = second.to_string().into();
        assert_eq!(b.unwrap_err(), ReadError::Timeout { broker });
        assert!(began.elapsed() <= TIMEOUT * 2, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn broker_that_is_down_costs_its_partitions_alone_and_no_time() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = gone.local_addr().unwrap();
    drop(gone);
    let cluster = cluster(broker(second).await);
    let began = Instant::now();
    let (a, b) = read_both(&cluster).await;
    assert_known(&a);
    let error = b.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("waiting for broker {second}: ")),
        "{error}"
    );
    assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn wants_that_are_equal_are_asked_once_and_answered_each() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let cluster = cluster(broker(nobody).await);
    let wants = vec![want("a"); 50];
    let answers = cluster.read(&wants, TIMEOUT).await;
    assert_eq!(answers.len(), wants.len());
    answers.iter().for_each(assert_known);
    assert_eq!(by_group(&wants, &cluster.known_topics()).len(), 1);
}
