//! OffsetFetch: committed offsets of groups that the asked broker keeps.

use super::{Api, Code, Garbled, Reader, Request, Writer};
use crate::kafka::partition::Partition;
use crate::kafka::plan::Asked;

/// From this version on one request asks for many groups.
pub(crate) const FIRST_OF_MANY: i16 = 8;
/// From this version on all offsets of a group can be asked for.
pub(crate) const FIRST_OF_ALL: i16 = 2;

/// Partitions in one request. With the longest metadata that a broker keeps beside an offset (4 KiB)
/// their answer is well below the largest frame that is read.
const MAX_PARTITIONS: usize = 10_000;
/// What a group counts whose partitions are not known.
const PARTITIONS_OF_ALL: usize = 200;

/// What a broker says about one group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GroupOffsets<'a> {
    /// Its name; `None`: the one that was asked for.
    pub(crate) group: Option<&'a str>,
    /// Why nothing is known about it.
    pub(crate) code: Code,
    /// Committed offsets.
    pub(crate) offsets: Vec<Committed<'a>>,
}

/// The committed offset of one partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Committed<'a> {
    /// Its topic.
    pub(crate) topic: &'a str,
    /// Its number.
    pub(crate) partition: i32,
    /// Negative: none was committed.
    pub(crate) offset: i64,
    /// Why it is not known.
    pub(crate) code: Code,
}

/// The groups of each request: as many as one may ask for.
pub(crate) fn chunks(version: i16, groups: &[(String, Asked)]) -> Vec<&[(String, Asked)]> {
    if version < FIRST_OF_MANY {
        return groups.chunks(1).collect();
    }
    let mut chunks = Vec::new();
    let (mut start, mut weight) = (0, 0);
    for (index, (_, asked)) in groups.iter().enumerate() {
        let more = match asked {
            Asked::All => PARTITIONS_OF_ALL,
            Asked::Partitions(partitions) => partitions.len(),
        };
        if index > start && weight + more > MAX_PARTITIONS {
            chunks.push(&groups[start..index]);
            (start, weight) = (index, 0);
        }
        weight += more;
    }
    if start < groups.len() {
        chunks.push(&groups[start..]);
    }
    chunks
}

/// Asks for the groups of one chunk.
pub(crate) fn request(version: i16, groups: &[(String, Asked)]) -> Request {
    Request::new(Api::OffsetFetch, version, |writer| {
        if version >= FIRST_OF_MANY {
            writer.count(groups.len());
        }
        for (group, asked) in groups {
            writer.text(group);
            if version >= 9 {
                writer.null_text(); // no member
                writer.i32(-1); // of no epoch
            }
            write_topics(writer, asked);
            if version >= FIRST_OF_MANY {
                writer.tags();
            }
        }
        if version >= 7 {
            // Offsets of open transactions are not waited for.
            writer.flag(false);
        }
        writer.tags();
    })
}

fn write_topics(writer: &mut Writer, asked: &Asked) {
    let Asked::Partitions(partitions) = asked else {
        return writer.null_list();
    };
    let partitions: Vec<&Partition> = partitions.iter().collect();
    let topics: Vec<_> = partitions.chunk_by(|a, b| a.topic == b.topic).collect();
    writer.count(topics.len());
    for partitions in topics {
        writer.text(&partitions[0].topic);
        writer.count(partitions.len());
        for partition in partitions {
            writer.i32(partition.id);
        }
        writer.tags();
    }
}

/// Reads the answer.
pub(crate) fn read<'a>(
    version: i16,
    reader: &mut Reader<'a>,
) -> Result<Vec<GroupOffsets<'a>>, Garbled> {
    if version >= 3 {
        reader.i32()?; // throttled for so long
    }
    let groups = if version >= FIRST_OF_MANY {
        reader.list(|reader| {
            let group = Some(reader.text()?);
            let group = read_group(version, group, reader)?;
            reader.tags()?;
            Ok(group)
        })?
    } else {
        vec![read_group(version, None, reader)?]
    };
    reader.tags()?;
    Ok(groups)
}

fn read_group<'a>(
    version: i16,
    group: Option<&'a str>,
    reader: &mut Reader<'a>,
) -> Result<GroupOffsets<'a>, Garbled> {
    let topics = reader.list(|reader| {
        let topic = reader.text()?;
        let offsets = reader.list(|reader| read_offset(version, topic, reader))?;
        reader.tags()?;
        Ok(offsets)
    })?;
    let code = if version >= 2 {
        Code(reader.i16()?)
    } else {
        Code::NONE
    };
    Ok(GroupOffsets {
        group,
        code,
        offsets: topics.into_iter().flatten().collect(),
    })
}

fn read_offset<'a>(
    version: i16,
    topic: &'a str,
    reader: &mut Reader<'_>,
) -> Result<Committed<'a>, Garbled> {
    let (partition, offset) = (reader.i32()?, reader.i64()?);
    if version >= 5 {
        reader.i32()?; // leader's epoch
    }
    reader.text_or_null()?; // what the consumer noted
    let code = Code(reader.i16()?);
    reader.tags()?;
    Ok(Committed {
        topic,
        partition,
        offset,
        code,
    })
}
