//! Which node of a cluster serves a key. Pure.
//!
//! Source: the Redis cluster specification (key distribution model, hash tags, redirections).

use std::collections::HashMap;
use std::sync::Arc;

use redis::Value;

use super::key::Host;

const SLOTS: u16 = 16_384;

/// The slot of a key: of the part in its first braces, where there is one.
pub(super) fn slot(key: &str) -> u16 {
    let key = key.as_bytes();
    let open = key.iter().position(|it| *it == b'{');
    let tag = open.and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|it| *it == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

/// Who serves which slots, as a node said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// First slot, last slot, node; sorted.
    ranges: Vec<(u16, u16, Host)>,
    /// What redirections said since.
    moved: HashMap<u16, Host>,
}

impl SlotMap {
    /// Reads the answer of `CLUSTER SLOTS`, which `asked` gave; `None` where it is something else.
    pub(super) fn parse(answer: &Value, asked: &Host) -> Option<Self> {
        let Value::Array(entries) = answer else {
            return None;
        };
        let ranges: Option<Vec<_>> = entries.iter().map(|it| range(it, asked)).collect();
        let mut ranges = ranges?;
        ranges.sort_unstable();
        Some(Self {
            ranges,
            moved: HashMap::new(),
        })
    }

    /// The node that serves a slot.
    pub(super) fn node(&self, slot: u16) -> Option<&Host> {
        if let Some(host) = self.moved.get(&slot) {
            return Some(host);
        }
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, host) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(host)
    }

    /// A node said that another serves this slot now.
    pub(super) fn redirect(&mut self, slot: u16, host: Host) {
        self.moved.insert(slot, host);
    }

    /// All nodes, each once.
    pub(super) fn nodes(&self) -> Vec<Host> {
        let ranges = self.ranges.iter().map(|(_, _, host)| host);
        let mut nodes: Vec<_> = ranges.chain(self.moved.values()).cloned().collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// First slot, last slot, master, replicas. A master is host, port, id and more.
fn range(entry: &Value, asked: &Host) -> Option<(u16, u16, Host)> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = parts.as_slice()
    else {
        return None;
    };
    let [name, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    // No name, or an empty one: the node that was asked, at another port.
    let name = match name {
        Value::BulkString(name) if !name.is_empty() && name != b"?" => {
            Arc::from(std::str::from_utf8(name).ok()?)
        }
        Value::BulkString(_) | Value::Nil => Arc::clone(&asked.name),
        _ => return None,
    };
    let port = u16::try_from(*port).ok()?;
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    (first <= last && last < SLOTS).then_some((first, last, Host { name, port }))
}

/// Where a refusal sends the question: `MOVED 3999 127.0.0.1:6381`, `ASK 3999 :6381`.
pub(super) fn redirection(detail: &str, asked: &Host) -> Option<(u16, Host)> {
    let (slot, address) = detail.split_once(' ')?;
    let slot: u16 = slot.parse().ok().filter(|slot| *slot < SLOTS)?;
    let address = address.split_whitespace().next()?;
    let (name, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let name = name.trim_matches(['[', ']']);
    let name = if name.is_empty() {
        Arc::clone(&asked.name)
    } else {
        name.into()
    };
    Some((slot, Host { name, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    fn node(name: &str, port: i64) -> Value {
        Value::Array(vec![
            Value::BulkString(name.as_bytes().to_vec()),
            Value::Int(port),
            Value::BulkString(b"id".to_vec()),
            Value::Array(Vec::new()),
        ])
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
    }

    #[test]
    fn a_map_knows_the_node_of_every_slot_and_learns_from_redirections() {
        let answer = Value::Array(vec![
            Value::Array(vec![
                Value::Int(8192),
                Value::Int(16383),
                node("10.0.0.2", 6379),
                node("10.0.0.3", 6379),
            ]),
            Value::Array(vec![Value::Int(0), Value::Int(8000), node("", 7000)]),
        ]);
        let mut map = SlotMap::parse(&answer, &host("seed:6379")).unwrap();
        assert_eq!(map.node(0), Some(&host("seed:7000")));
        assert_eq!(map.node(8000), Some(&host("seed:7000")));
        assert_eq!(map.node(8001), None);
        assert_eq!(map.node(16383), Some(&host("10.0.0.2:6379")));
        map.redirect(8001, host("10.0.0.9:1"));
        assert_eq!(map.node(8001), Some(&host("10.0.0.9:1")));
        assert_eq!(map.nodes().len(), 3);
    }

    #[test]
    fn nonsense_is_no_map() {
        let asked = host("seed:6379");
        for answer in [
            Value::Okay,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![
                Value::Int(5),
                Value::Int(2),
                node("a", 1),
            ])]),
            Value::Array(vec![Value::Array(vec![
                Value::Int(0),
                Value::Int(99_999),
                node("a", 1),
            ])]),
        ] {
            assert_eq!(SlotMap::parse(&answer, &asked), None, "{answer:?}");
        }
    }

    #[test]
    fn redirections_name_slot_and_node() {
        let asked = host("seed:6379");
        assert_eq!(
            redirection("3999 127.0.0.1:6381", &asked),
            Some((3999, host("127.0.0.1:6381")))
        );
        assert_eq!(
            redirection("3999 :6381", &asked),
            Some((3999, host("seed:6381")))
        );
        assert_eq!(
            redirection("3999 [::1]:6381", &asked),
            Some((3999, host("[::1]:6381")))
        );
        assert_eq!(redirection("99999 a:1", &asked), None);
        assert_eq!(redirection("elsewhere", &asked), None);
    }
}
