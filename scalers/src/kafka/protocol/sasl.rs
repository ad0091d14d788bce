//! SaslHandshake and SaslAuthenticate: the messages of a SASL mechanism as requests.

use super::{Api, Code, Garbled, Reader, Request};

/// The broker's word on a mechanism.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake<'a> {
    /// Whether it takes the mechanism.
    pub(crate) code: Code,
    /// Those that it takes.
    pub(crate) mechanisms: Vec<&'a str>,
}

/// The broker's answer to a message of the mechanism.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authenticated<'a> {
    /// Whether it goes on.
    pub(crate) code: Code,
    /// The mechanism's own answer.
    pub(crate) message: &'a [u8],
    /// How long the broker takes requests for, in milliseconds; zero: for ever.
    pub(crate) lifetime: i64,
}

/// Says which mechanism comes.
pub(crate) fn handshake(version: i16, mechanism: &str) -> Request {
    Request::new(Api::SaslHandshake, version, |writer| writer.text(mechanism))
}

/// Reads the answer to [`handshake`].
pub(crate) fn read_handshake<'a>(reader: &mut Reader<'a>) -> Result<Handshake<'a>, Garbled> {
    Ok(Handshake {
        code: Code(reader.i16()?),
        mechanisms: reader.list(Reader::text)?,
    })
}

/// Sends a message of the mechanism.
pub(crate) fn authenticate(version: i16, message: &[u8]) -> Request {
    Request::new(Api::SaslAuthenticate, version, |writer| {
        writer.bytes(message);
        writer.tags();
    })
}

/// Reads the answer to [`authenticate`]. The broker's words are passed over: nobody knows what it repeats.
pub(crate) fn read_authenticated<'a>(
    version: i16,
    reader: &mut Reader<'a>,
) -> Result<Authenticated<'a>, Garbled> {
    let code = Code(reader.i16()?);
    reader.text_or_null()?; // the same in words
    let message = reader.bytes()?;
    let lifetime = if version >= 1 { reader.i64()? } else { 0 };
    reader.tags()?;
    Ok(Authenticated {
        code,
        message,
        lifetime,
    })
}
