//! The protobuf messages, field by field. Numbers are for ever: new fields get new numbers, and a
//! reader of an older version passes over what it does not know.

use prost::{Message, Oneof};
use zeron_core::{EndpointId, FunctionId, Timestamp};

use super::DecodeError;
use crate::message::{self, DrainId};
use crate::version::Versions;

/// From an activator.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Up {
    #[prost(oneof = "up::Body", tags = "1, 2, 3, 4, 5")]
    pub(crate) body: Option<up::Body>,
}

pub(crate) mod up {
    use super::{Drained, Empty, Hello, Oneof, Report, Wake};

    #[derive(Clone, PartialEq, Oneof)]
    pub(crate) enum Body {
        #[prost(message, tag = "1")]
        Hello(Hello),
        #[prost(message, tag = "2")]
        Report(Report),
        #[prost(message, tag = "3")]
        Wake(Wake),
        #[prost(message, tag = "4")]
        Drained(Drained),
        #[prost(message, tag = "5")]
        Goodbye(Empty),
    }
}

/// From an autoscaler.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Down {
    #[prost(oneof = "down::Body", tags = "1, 2, 3, 4, 5")]
    pub(crate) body: Option<down::Body>,
}

pub(crate) mod down {
    use super::{Drain, Id, Oneof, Welcome};

    #[derive(Clone, PartialEq, Oneof)]
    pub(crate) enum Body {
        #[prost(message, tag = "1")]
        Welcome(Welcome),
        #[prost(message, tag = "2")]
        Drain(Drain),
        #[prost(fixed64, tag = "3")]
        Cancel(u64),
        #[prost(message, tag = "4")]
        Woken(Id),
        #[prost(fixed64, tag = "5")]
        Settled(u64),
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hello {
    #[prost(uint32, tag = "1")]
    pub(crate) oldest_version: u32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// 0 is the oldest.
    #[prost(uint32, tag = "3")]
    pub(crate) newest_version: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Welcome {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Id {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    kind: String,
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Report {
    #[prost(message, repeated, tag = "1")]
    pub(crate) stats: Vec<Stat>,
    #[prost(bool, tag = "2")]
    pub(crate) is_last: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stat {
    #[prost(message, optional, tag = "1")]
    function: Option<Id>,
    #[prost(uint64, tag = "2")]
    at_micros: u64,
    #[prost(double, tag = "3")]
    average_concurrency: f64,
    #[prost(double, tag = "4")]
    request_count: f64,
    #[prost(uint32, tag = "5")]
    in_flight: u32,
    #[prost(uint32, tag = "6")]
    queued: u32,
    #[prost(fixed64, repeated, tag = "7")]
    busy: Vec<u64>,
    #[prost(uint32, repeated, tag = "8")]
    busy_in_flight: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Wake {
    #[prost(message, optional, tag = "1")]
    function: Option<Id>,
    #[prost(uint32, tag = "2")]
    in_flight: u32,
    #[prost(uint32, tag = "3")]
    queued: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Drained {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    function: Option<Id>,
    #[prost(fixed64, repeated, tag = "3")]
    endpoints: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Drain {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "2")]
    function: Option<Id>,
    #[prost(uint32, tag = "3")]
    count: u32,
    #[prost(fixed64, repeated, tag = "4")]
    victims: Vec<u64>,
    /// No victims named is not the same as the activator's choice.
    #[prost(bool, tag = "5")]
    has_victims: bool,
}

// === there ===

impl From<&FunctionId> for Id {
    fn from(id: &FunctionId) -> Self {
        Self {
            namespace: id.namespace().to_owned(),
            kind: id.kind().to_owned(),
            name: id.name().to_owned(),
        }
    }
}

impl Stat {
    pub(crate) fn of(stat: &zeron_core::Stat, max_busy: usize) -> Self {
        let busy = &stat.busy[..stat.busy.len().min(max_busy)];
        Self {
            function: Some((&stat.function).into()),
            at_micros: stat.at.as_micros(),
            average_concurrency: stat.average_concurrency,
            request_count: stat.request_count,
            in_flight: stat.in_flight,
            queued: stat.queued,
            busy: busy.iter().map(|(id, _)| id.0).collect(),
            busy_in_flight: busy.iter().map(|(_, count)| *count).collect(),
        }
    }
}

impl From<&message::Wake> for Wake {
    fn from(wake: &message::Wake) -> Self {
        Self {
            function: Some((&wake.function).into()),
            in_flight: wake.in_flight,
            queued: wake.queued,
        }
    }
}

impl From<&message::Drained> for Drained {
    fn from(drained: &message::Drained) -> Self {
        Self {
            id: drained.id.0,
            function: Some((&drained.function).into()),
            endpoints: drained.endpoints.iter().map(|id| id.0).collect(),
        }
    }
}

impl From<&message::Drain> for Drain {
    fn from(drain: &message::Drain) -> Self {
        let victims = drain.victims.iter().flatten();
        Self {
            id: drain.id.0,
            function: Some((&drain.function).into()),
            count: drain.count,
            victims: victims.map(|id| id.0).collect(),
            has_victims: drain.victims.is_some(),
        }
    }
}

// === and back ===

impl TryFrom<Hello> for super::FromActivator {
    type Error = DecodeError;

    fn try_from(hello: Hello) -> Result<Self, DecodeError> {
        let oldest = hello.oldest_version;
        let newest = match hello.newest_version {
            0 => oldest,
            newest => newest,
        };
        let versions = Versions::new(oldest, newest).ok_or(DecodeError::Field("version"))?;
        Ok(Self::Hello {
            versions,
            name: hello.name,
        })
    }
}

impl TryFrom<Id> for FunctionId {
    type Error = DecodeError;

    fn try_from(id: Id) -> Result<Self, DecodeError> {
        if id.kind.is_empty() || id.name.is_empty() {
            return Err(DecodeError::Field("function"));
        }
        Ok(Self::new(&id.namespace, &id.kind, &id.name))
    }
}

fn function(id: Option<Id>) -> Result<FunctionId, DecodeError> {
    id.ok_or(DecodeError::Field("function"))?.try_into()
}

/// A measure of load that sums can be made of.
fn measure(value: f64, name: &'static str) -> Result<f64, DecodeError> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(DecodeError::Field(name))
    }
}

impl TryFrom<Stat> for zeron_core::Stat {
    type Error = DecodeError;

    fn try_from(stat: Stat) -> Result<Self, DecodeError> {
        if stat.busy.len() != stat.busy_in_flight.len() {
            return Err(DecodeError::Field("busy"));
        }
        let busy = stat.busy.into_iter().map(EndpointId);
        Ok(Self {
            function: function(stat.function)?,
            at: Timestamp::from_micros(stat.at_micros),
            average_concurrency: measure(stat.average_concurrency, "average_concurrency")?,
            request_count: measure(stat.request_count, "request_count")?,
            in_flight: stat.in_flight,
            queued: stat.queued,
            busy: busy.zip(stat.busy_in_flight).collect(),
        })
    }
}

impl TryFrom<Wake> for message::Wake {
    type Error = DecodeError;

    fn try_from(wake: Wake) -> Result<Self, DecodeError> {
        Ok(Self {
            function: function(wake.function)?,
            in_flight: wake.in_flight,
            queued: wake.queued,
        })
    }
}

impl TryFrom<Drained> for message::Drained {
    type Error = DecodeError;

    fn try_from(drained: Drained) -> Result<Self, DecodeError> {
        Ok(Self {
            id: DrainId(drained.id),
            function: function(drained.function)?,
            endpoints: drained.endpoints.into_iter().map(EndpointId).collect(),
        })
    }
}

impl TryFrom<Drain> for message::Drain {
    type Error = DecodeError;

    fn try_from(drain: Drain) -> Result<Self, DecodeError> {
        let victims = drain.victims.into_iter().map(EndpointId).collect();
        Ok(Self {
            id: DrainId(drain.id),
            function: function(drain.function)?,
            count: drain.count,
            victims: drain.has_victims.then_some(victims),
        })
    }
}
