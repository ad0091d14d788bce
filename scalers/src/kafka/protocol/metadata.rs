//! Metadata: the brokers of a cluster, and who leads the partitions of topics.

use super::{Api, Code, Garbled, Reader, Request, Writer};
use crate::kafka::endpoint::Endpoint;

/// From this version on a request for a topic does not make the topic.
const FIRST_WITHOUT_CREATION: i16 = 4;

/// What a broker says about its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Metadata<'a> {
    /// The brokers by their numbers. One that gives an impossible address is left out.
    pub(crate) brokers: Vec<(i32, Endpoint)>,
    /// The topics that were asked for, or more.
    pub(crate) topics: Vec<TopicMetadata<'a>>,
}

/// What a broker says about a topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TopicMetadata<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Why nothing else is known.
    pub(crate) code: Code,
    /// Partitions with their leaders; negative: none.
    pub(crate) partitions: Vec<(i32, i32)>,
}

/// Asks about `topics`. Old brokers would create those that do not exist: they are asked about all that do.
pub(crate) fn request<'a>(version: i16, topics: impl ExactSizeIterator<Item = &'a str>) -> Request {
    Request::new(Api::Metadata, version, |writer| {
        if version < FIRST_WITHOUT_CREATION {
            return writer.null_list();
        }
        writer.count(topics.len());
        for topic in topics {
            writer.text(topic);
            writer.tags();
        }
        writer.flag(false); // creates none
        if version >= 8 {
            write_no_operations(writer);
        }
        writer.tags();
    })
}

/// What the client may do in the cluster and with topics is not asked for.
fn write_no_operations(writer: &mut Writer) {
    writer.flag(false);
    writer.flag(false);
}

/// Reads the answer.
pub(crate) fn read<'a>(version: i16, reader: &mut Reader<'a>) -> Result<Metadata<'a>, Garbled> {
    if version >= 3 {
        reader.i32()?; // throttled for so long
    }
    let brokers = reader.list(read_broker)?;
    if version >= 2 {
        reader.text_or_null()?; // cluster id
    }
    reader.i32()?; // controller
    let topics = reader.list(|reader| read_topic(version, reader))?;
    if version >= 8 {
        reader.i32()?; // operations that are allowed
    }
    reader.tags()?;
    Ok(Metadata {
        brokers: brokers.into_iter().flatten().collect(),
        topics,
    })
}

fn read_broker(reader: &mut Reader<'_>) -> Result<Option<(i32, Endpoint)>, Garbled> {
    let id = reader.i32()?;
    let (host, port) = (reader.text()?, reader.i32()?);
    reader.text_or_null()?; // rack
    reader.tags()?;
    Ok(Endpoint::new(host, port).map(|endpoint| (id, endpoint)))
}

fn read_topic<'a>(version: i16, reader: &mut Reader<'a>) -> Result<TopicMetadata<'a>, Garbled> {
    let code = Code(reader.i16()?);
    let name = reader.text()?;
    reader.flag()?; // internal
    let partitions = reader.list(|reader| read_partition(version, reader))?;
    if version >= 8 {
        reader.i32()?; // operations that are allowed
    }
    reader.tags()?;
    Ok(TopicMetadata {
        name,
        code,
        partitions,
    })
}

fn read_partition(version: i16, reader: &mut Reader<'_>) -> Result<(i32, i32), Garbled> {
    reader.i16()?; // an error that leaves no leader shows by that
    let (id, leader) = (reader.i32()?, reader.i32()?);
    if version >= 7 {
        reader.i32()?; // epoch
    }
    reader.list(Reader::i32)?; // replicas
    reader.list(Reader::i32)?; // of them in sync
    if version >= 5 {
        reader.list(Reader::i32)?; // of them offline
    }
    reader.tags()?;
    Ok((id, leader))
}
