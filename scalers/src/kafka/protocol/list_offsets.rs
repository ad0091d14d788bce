//! ListOffsets: log-end offsets of partitions that the asked broker leads.

use super::{Api, Code, Garbled, Reader, Request};
use crate::kafka::partition::Partition;

/// Stands for the log end, where a time could be.
const LATEST: i64 = -1;
/// We are no broker.
const NO_REPLICA: i32 = -1;
/// Whatever the leader's epoch is.
const ANY_EPOCH: i32 = -1;
/// The log end that KEDA sees is the high watermark.
const READ_UNCOMMITTED: i8 = 0;

/// The log end of a partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End<'a> {
    /// Its topic.
    pub(crate) topic: &'a str,
    /// Its number.
    pub(crate) partition: i32,
    /// Why it is not known.
    pub(crate) code: Code,
    /// Negative: the broker has none.
    pub(crate) offset: i64,
}

/// Asks for the log ends of `partitions`, those of a topic beside each other.
pub(crate) fn request(version: i16, partitions: &[Partition]) -> Request {
    Request::new(Api::ListOffsets, version, |writer| {
        writer.i32(NO_REPLICA);
        if version >= 2 {
            writer.i8(READ_UNCOMMITTED);
        }
        let topics: Vec<_> = partitions.chunk_by(|a, b| a.topic == b.topic).collect();
        writer.count(topics.len());
        for partitions in topics {
            writer.text(&partitions[0].topic);
            writer.count(partitions.len());
            for partition in partitions {
                writer.i32(partition.id);
                if version >= 4 {
                    writer.i32(ANY_EPOCH);
                }
                writer.i64(LATEST);
                writer.tags();
            }
            writer.tags();
        }
        writer.tags();
    })
}

/// Reads the answer.
pub(crate) fn read<'a>(version: i16, reader: &mut Reader<'a>) -> Result<Vec<End<'a>>, Garbled> {
    if version >= 2 {
        reader.i32()?; // throttled for so long
    }
    let topics = reader.list(|reader| {
        let topic = reader.text()?;
        let ends = reader.list(|reader| read_end(version, topic, reader))?;
        reader.tags()?;
        Ok(ends)
    })?;
    reader.tags()?;
    Ok(topics.into_iter().flatten().collect())
}

fn read_end<'a>(version: i16, topic: &'a str, reader: &mut Reader<'_>) -> Result<End<'a>, Garbled> {
    let (partition, code) = (reader.i32()?, Code(reader.i16()?));
    reader.i64()?; // time
    let offset = reader.i64()?;
    if version >= 4 {
        reader.i32()?; // leader's epoch
    }
    reader.tags()?;
    Ok(End {
        topic,
        partition,
        code,
        offset,
    })
}
