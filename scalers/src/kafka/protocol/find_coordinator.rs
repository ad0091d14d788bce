//! FindCoordinator: which broker keeps the offsets of which group.

use super::{Api, Code, Garbled, Reader, Request};
use crate::kafka::endpoint::Endpoint;

/// From this version on one request asks for many groups.
pub(crate) const FIRST_OF_MANY: i16 = 4;
/// The coordinator of a group, not of a transaction.
const GROUP: i8 = 0;
/// Groups in one request.
const MAX_GROUPS: usize = 5_000;

/// Who keeps a group's offsets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Coordinator<'a> {
    /// The group; `None`: the one that was asked for.
    pub(crate) group: Option<&'a str>,
    /// Why nobody is known.
    pub(crate) code: Code,
    /// Where; `None`: at an impossible address, which a failure gives.
    pub(crate) endpoint: Option<Endpoint>,
}

/// The groups of each request.
pub(crate) fn chunks<'a, 'b>(version: i16, groups: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let size = if version < FIRST_OF_MANY {
        1
    } else {
        MAX_GROUPS
    };
    groups.chunks(size).collect()
}

/// Asks for the groups of one chunk.
pub(crate) fn request(version: i16, groups: &[&str]) -> Request {
    Request::new(Api::FindCoordinator, version, |writer| {
        if version >= FIRST_OF_MANY {
            writer.i8(GROUP);
            writer.count(groups.len());
        }
        for group in groups {
            writer.text(group);
        }
        if (1..FIRST_OF_MANY).contains(&version) {
            writer.i8(GROUP);
        }
        writer.tags();
    })
}

/// Reads the answer.
pub(crate) fn read<'a>(
    version: i16,
    reader: &mut Reader<'a>,
) -> Result<Vec<Coordinator<'a>>, Garbled> {
    if version >= 1 {
        reader.i32()?; // throttled for so long
    }
    let found = if version >= FIRST_OF_MANY {
        reader.list(read_one_of_many)?
    } else {
        vec![read_alone(version, reader)?]
    };
    reader.tags()?;
    Ok(found)
}

fn read_one_of_many<'a>(reader: &mut Reader<'a>) -> Result<Coordinator<'a>, Garbled> {
    let group = Some(reader.text()?);
    let endpoint = read_endpoint(reader)?;
    let code = Code(reader.i16()?);
    reader.text_or_null()?; // the same in words
    reader.tags()?;
    Ok(Coordinator {
        group,
        code,
        endpoint,
    })
}

fn read_alone<'a>(version: i16, reader: &mut Reader<'a>) -> Result<Coordinator<'a>, Garbled> {
    let code = Code(reader.i16()?);
    if version >= 1 {
        reader.text_or_null()?; // the same in words
    }
    Ok(Coordinator {
        group: None,
        code,
        endpoint: read_endpoint(reader)?,
    })
}

fn read_endpoint(reader: &mut Reader<'_>) -> Result<Option<Endpoint>, Garbled> {
    reader.i32()?; // the broker's number
    let (host, port) = (reader.text()?, reader.i32()?);
    Ok(Endpoint::new(host, port))
}
