//! Commits offset 0 for many groups over one connection: a client per group would take minutes.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::proxy::{read_frame, write_frame};
use crate::measures::PATIENCE;

/// OffsetCommit, in the oldest version that brokers of today take.
const OFFSET_COMMIT: i16 = 8;
const VERSION: i16 = 2;

/// Commits for all of `groups` on all partitions of `topic`.
pub(super) fn commit_all(
    broker: SocketAddr,
    groups: &[String],
    topic: &str,
    partitions: i32,
) -> Result<()> {
    let first = groups.first().context("no group")?;
    wait_for_coordinator(broker, first, topic)?;
    let mut stream = TcpStream::connect(broker)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for group in groups {
        write_frame(&stream, &request(group, topic, partitions))?;
        let answer = read_frame(&mut stream)?;
        // Number, one topic, its name, partitions: each its own number and an error.
        let errors = answer
            .get(4 + 4 + 2 + topic.len() + 4..)
            .context("too short")?;
        let is_done = errors.chunks_exact(6).all(|it| it[4..] == [0, 0]);
        anyhow::ensure!(is_done, "{group} cannot commit: {errors:?}");
    }
    Ok(())
}

/// The broker makes its topic of offsets when it is first asked who keeps a group's.
fn wait_for_coordinator(broker: SocketAddr, group: &str, topic: &str) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.to_string())
        .set("group.id", group)
        .create()?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(0))?;
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = consumer.commit(&offsets, CommitMode::Sync) {
        anyhow::ensure!(Instant::now() < deadline, "nobody keeps offsets: {error}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}

fn request(group: &str, topic: &str, partitions: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(text.as_bytes());
    };
    bytes.extend(OFFSET_COMMIT.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes()); // number
    text(&mut bytes, "zeron-bench");
    text(&mut bytes, group);
    bytes.extend((-1_i32).to_be_bytes()); // no generation
    text(&mut bytes, ""); // no member
    bytes.extend((-1_i64).to_be_bytes()); // kept as long as the broker keeps offsets
    bytes.extend(1_i32.to_be_bytes()); // topics
    text(&mut bytes, topic);
    bytes.extend(partitions.to_be_bytes());
    for partition in 0..partitions {
        bytes.extend(partition.to_be_bytes());
        bytes.extend(0_i64.to_be_bytes());
        text(&mut bytes, "");
    }
    bytes
}
