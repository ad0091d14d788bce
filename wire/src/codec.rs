//! Messages as bounded frames: protobuf inside binary WebSocket messages.

mod frame;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use prost::Message;
use zeron_core::Stat;

use crate::message::{Drained, ToActivator, Wake};
use crate::version::Versions;
use frame::{Down, Up, down, up};

/// The largest frame; longer reports are split.
pub(crate) const MAX_FRAME: usize = 1 << 20;
/// Frames of one report.
pub(crate) const MAX_PARTS: usize = 16;
/// What one stat of a split report may add beside itself: its own tag and length.
const ENVELOPE: usize = 64;
/// Busy replicas told of one function; they are a hint for choosing victims, not a promise.
const MAX_BUSY: usize = 50_000;

/// A frame that is not one of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("not a frame of this protocol")]
    Malformed(#[source] prost::DecodeError),
    #[error("{0} is missing or out of range")]
    Field(&'static str),
}

/// From an activator, as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FromActivator {
    Hello {
        versions: Versions,
        name: String,
    },
    Report {
        stats: Vec<Stat>,
        is_last: bool,
    },
    Wake(Wake),
    Drained(Drained),
    Goodbye,
    /// A kind of message that this build does not know.
    Unknown,
}

/// From an autoscaler, as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FromAutoscaler {
    Welcome {
        version: u32,
    },
    Order(ToActivator),
    /// A kind of message that this build does not know.
    Unknown,
}

pub(crate) fn hello(versions: Versions, name: &str) -> Bytes {
    encode(up::Body::Hello(frame::Hello {
        oldest_version: versions.oldest,
        name: name.to_owned(),
        newest_version: versions.newest,
    }))
}

pub(crate) fn welcome(version: u32) -> Bytes {
    let body = down::Body::Welcome(frame::Welcome { version });
    Down { body: Some(body) }.encode_to_vec().into()
}

pub(crate) fn wake(wake: &Wake) -> Bytes {
    encode(up::Body::Wake(wake.into()))
}

pub(crate) fn drained(drained: &Drained) -> Bytes {
    encode(up::Body::Drained(drained.into()))
}

pub(crate) fn goodbye() -> Bytes {
    encode(up::Body::Goodbye(frame::Empty {}))
}

/// A report in as many frames as it takes; `None` when it takes more than [`MAX_PARTS`]: rather no
/// report than one that leaves functions out, which would count as a known zero.
pub(crate) fn report(stats: &[Stat]) -> Option<Vec<Bytes>> {
    let mut parts = vec![frame::Report::default()];
    let mut size = 0;
    for stat in stats {
        let stat = frame::Stat::of(stat, MAX_BUSY);
        let added = stat.encoded_len() + 8;
        if size + added > MAX_FRAME - ENVELOPE {
            parts.push(frame::Report::default());
            size = 0;
        }
        size += added;
        if let Some(part) = parts.last_mut() {
            part.stats.push(stat);
        }
    }
    if let Some(last) = parts.last_mut() {
        last.is_last = true;
    }
    let frames = parts.into_iter().map(|part| encode(up::Body::Report(part)));
    let frames: Vec<Bytes> = frames.collect();
    (frames.len() <= MAX_PARTS).then_some(frames)
}

pub(crate) fn order(order: &ToActivator) -> Bytes {
    let body = match order {
        ToActivator::Drain(drain) => down::Body::Drain(drain.into()),
        ToActivator::Cancel(id) => down::Body::Cancel(id.0),
        ToActivator::Settled(id) => down::Body::Settled(id.0),
        ToActivator::Woken(function) => down::Body::Woken(function.into()),
    };
    Down { body: Some(body) }.encode_to_vec().into()
}

fn encode(body: up::Body) -> Bytes {
    Up { body: Some(body) }.encode_to_vec().into()
}

pub(crate) fn from_activator(bytes: &[u8]) -> Result<FromActivator, DecodeError> {
    let frame = Up::decode(bytes).map_err(DecodeError::Malformed)?;
    let Some(body) = frame.body else {
        return Ok(FromActivator::Unknown);
    };
    Ok(match body {
        up::Body::Hello(hello) => hello.try_into()?,
        up::Body::Report(report) => {
            let stats = report.stats.into_iter().map(Stat::try_from);
            FromActivator::Report {
                stats: stats.collect::<Result<_, _>>()?,
                is_last: report.is_last,
            }
        }
        up::Body::Wake(wake) => FromActivator::Wake(wake.try_into()?),
        up::Body::Drained(drained) => FromActivator::Drained(drained.try_into()?),
        up::Body::Goodbye(frame::Empty {}) => FromActivator::Goodbye,
    })
}

pub(crate) fn from_autoscaler(bytes: &[u8]) -> Result<FromAutoscaler, DecodeError> {
    use crate::message::DrainId;
    let frame = Down::decode(bytes).map_err(DecodeError::Malformed)?;
    let Some(body) = frame.body else {
        return Ok(FromAutoscaler::Unknown);
    };
    let order = match body {
        down::Body::Welcome(frame::Welcome { version }) => {
            return Ok(FromAutoscaler::Welcome { version });
        }
        down::Body::Drain(drain) => ToActivator::Drain(drain.try_into()?),
        down::Body::Cancel(id) => ToActivator::Cancel(DrainId(id)),
        down::Body::Settled(id) => ToActivator::Settled(DrainId(id)),
        down::Body::Woken(function) => ToActivator::Woken(function.try_into()?),
    };
    Ok(FromAutoscaler::Order(order))
}
