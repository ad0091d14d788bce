//! The part of Kafka's protocol that reads offsets: seven requests in the versions that brokers from 1.0 on speak.
//!
//! Written by hand, because the broker is whatever address a tenant named: generated decoders believe the
//! lengths that they read and allocate for them, `Reader` believes none. Layouts and version numbers are those
//! of <https://kafka.apache.org/protocol>.

mod code;
pub(crate) mod find_coordinator;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_fetch;
mod reader;
pub(crate) mod sasl;
mod versions;
mod writer;

use std::ops::RangeInclusive;

pub(crate) use code::Code;
pub(crate) use reader::{Garbled, Reader};
pub(crate) use versions::Versions;
use writer::Writer;

/// How we call ourselves to brokers, which log it.
const CLIENT_ID: &str = "zeron";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// Log-end offsets.
    ListOffsets,
    /// Brokers, topics, leaders.
    Metadata,
    /// Committed offsets of groups.
    OffsetFetch,
    /// Which broker keeps a group's offsets.
    FindCoordinator,
    /// Which SASL mechanism is meant.
    SaslHandshake,
    /// Which requests the broker knows.
    Versions,
    /// A message of the SASL mechanism.
    SaslAuthenticate,
}

impl Api {
    /// The kind as the protocol numbers and calls it, the versions spoken here, and the first with compact
    /// lengths and tagged fields.
    const fn spec(self) -> (i16, &'static str, RangeInclusive<i16>, i16) {
        match self {
            Self::ListOffsets => (2, "ListOffsets", 1..=7, 6),
            Self::Metadata => (3, "Metadata", 1..=9, 9),
            Self::OffsetFetch => (9, "OffsetFetch", 1..=9, 6),
            Self::FindCoordinator => (10, "FindCoordinator", 0..=5, 3),
            Self::SaslHandshake => (17, "SaslHandshake", 1..=1, i16::MAX),
            Self::Versions => (18, "ApiVersions", 0..=0, i16::MAX),
            Self::SaslAuthenticate => (36, "SaslAuthenticate", 0..=2, 2),
        }
    }

    /// Its number.
    pub(crate) const fn key(self) -> i16 {
        self.spec().0
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        self.spec().1
    }

    const fn is_flexible(self, version: i16) -> bool {
        version >= self.spec().3
    }
}

/// A request, ready but for its number.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Request {
    api: Api,
    version: i16,
    body: Vec<u8>,
}

/// Shows no body: it may hold credentials.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("api", &self.api)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Request {
    fn new(api: Api, version: i16, fill: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::new(api.is_flexible(version));
        fill(&mut writer);
        Self {
            api,
            version,
            body: writer.into_bytes(),
        }
    }

    /// What the broker knows. Version 0 is understood by every broker.
    pub(crate) fn api_versions() -> Self {
        Self::new(Api::Versions, 0, |_| {})
    }

    /// Its bytes on the wire, length first. The answer repeats `number`.
    pub(crate) fn frame(&self, number: i32) -> Vec<u8> {
        let mut header = Writer::new(false);
        header.i16(self.api.key());
        header.i16(self.version);
        header.i32(number);
        header.text(CLIENT_ID);
        let mut header = header.into_bytes();
        if self.api.is_flexible(self.version) {
            header.push(0); // no tagged fields
        }
        let length = u32::try_from(header.len() + self.body.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes(), header.as_slice(), &self.body].concat()
    }

    /// The answer to it in a frame without its length.
    ///
    /// # Errors
    /// [`Garbled`] when the frame is too short, or the answer to something else.
    pub(crate) fn answer(&self, number: i32, frame: Vec<u8>) -> Result<Response, Garbled> {
        let is_flexible = self.api.is_flexible(self.version);
        let mut reader = Reader::new(&frame, is_flexible);
        if reader.i32()? != number {
            return Err(Garbled);
        }
        if is_flexible {
            reader.tags()?;
        }
        let start = frame.len() - reader.left();
        Ok(Response {
            version: self.version,
            is_flexible,
            frame,
            start,
        })
    }
}

/// An answer that was not read yet.
#[derive(Debug)]
pub(crate) struct Response {
    /// Of the request, and so of the answer.
    pub(crate) version: i16,
    is_flexible: bool,
    frame: Vec<u8>,
    start: usize,
}

impl Response {
    /// Reads its fields.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.frame[self.start..], self.is_flexible)
    }
}

#[cfg(test)]
mod tests;
