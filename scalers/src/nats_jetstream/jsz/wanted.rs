//! Reads of an answer what triggers ask about, and passes over the rest while it is read: a few bytes of it would be
//! many of memory, and the answers of all servers are held together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Account, Consumer, Jsz, Stream};
use crate::nats_jetstream::trigger::{AccountKey, JetStreamTrigger};

/// Accounts that are kept: one by its id, one by its name.
const ACCOUNTS: usize = 2;

/// Consumers by their streams, of one account.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    account: &'a AccountKey,
    streams: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Wanted<'a> {
    /// What `triggers` ask about.
    pub(super) fn new(account: &'a AccountKey, triggers: &'a [Arc<JetStreamTrigger>]) -> Self {
        let mut streams: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for trigger in triggers {
            let consumers = streams.entry(&*trigger.stream).or_default();
            consumers.insert(&*trigger.consumer);
        }
        Self { account, streams }
    }

    /// Whether a consumer is asked about; of any stream, where its own is not known yet.
    fn asks(&self, stream: Option<&str>, consumer: &str) -> bool {
        match stream {
            Some(stream) => {
                let consumers = self.streams.get(stream);
                consumers.is_some_and(|it| it.contains(consumer))
            }
            None => self.streams.values().any(|it| it.contains(consumer)),
        }
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    ServerId,
    MetaCluster,
    AccountDetails,
    StreamDetail,
    ConsumerDetail,
    Id,
    Name,
    #[serde(other)]
    Other,
}

/// Every part of a list, or of null: none.
struct Each<S, F> {
    part: S,
    take: F,
}

impl<'de, S, F> DeserializeSeed<'de> for Each<S, F>
where
    S: DeserializeSeed<'de> + Copy,
    F: FnMut(S::Value),
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_option(self)
    }
}

impl<'de, S, F> Visitor<'de> for Each<S, F>
where
    S: DeserializeSeed<'de> + Copy,
    F: FnMut(S::Value),
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut parts: A) -> Result<(), A::Error> {
        while let Some(part) = parts.next_element_seed(self.part)? {
            (self.take)(part);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &Wanted<'_> {
    type Value = Jsz;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Jsz, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Wanted<'_> {
    type Value = Jsz;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer of a server")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Jsz, A::Error> {
        let mut jsz = Jsz::default();
        while let Some(field) = fields.next_key()? {
            match field {
                Field::ServerId => jsz.server_id = fields.next_value()?,
                Field::MetaCluster => jsz.meta_cluster = fields.next_value()?,
                Field::AccountDetails => fields.next_value_seed(Each {
                    part: OfAccount(self),
                    take: |account: Account| {
                        if account.is(self.account) && jsz.accounts.len() < ACCOUNTS {
                            jsz.accounts.push(account);
                        }
                    },
                })?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(jsz)
    }
}

#[derive(Clone, Copy)]
struct OfAccount<'a>(&'a Wanted<'a>);

impl<'de> DeserializeSeed<'de> for OfAccount<'_> {
    type Value = Account;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Account, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfAccount<'_> {
    type Value = Account;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an account")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Account, A::Error> {
        let (mut id, mut name, mut streams) = (None, None, BTreeMap::new());
        while let Some(field) = fields.next_key()? {
            match field {
                Field::Id => id = Some(fields.next_value()?),
                Field::Name => name = Some(fields.next_value()?),
                Field::StreamDetail => fields.next_value_seed(Each {
                    part: OfStream(self.0),
                    take: |(name, stream): (String, Stream)| {
                        if self.0.streams.contains_key(&*name) {
                            streams.entry(name).or_insert(stream);
                        }
                    },
                })?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Account {
            id: id.ok_or_else(|| A::Error::missing_field("id"))?,
            name: name.ok_or_else(|| A::Error::missing_field("name"))?,
            streams,
        })
    }
}

#[derive(Clone, Copy)]
struct OfStream<'a>(&'a Wanted<'a>);

impl<'de> DeserializeSeed<'de> for OfStream<'_> {
    type Value = (String, Stream);

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfStream<'_> {
    type Value = (String, Stream);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut name, mut consumers) = (None::<String>, BTreeMap::new());
        while let Some(field) = fields.next_key()? {
            match field {
                Field::Name => name = Some(fields.next_value()?),
                Field::ConsumerDetail => fields.next_value_seed(Each {
                    part: PhantomData::<Consumer>,
                    take: |it: Consumer| {
                        if self.0.asks(name.as_deref(), &it.name) {
                            consumers.entry(it.name.clone()).or_insert(it);
                        }
                    },
                })?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        consumers.retain(|consumer, _| self.0.asks(Some(&name), consumer));
        Ok((name, Stream { consumers }))
    }
}
