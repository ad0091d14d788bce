//! What is written on Services: the opt-in, and what it takes to go on and back.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

/// `"true"`: all callers of this Service go through the activators.
pub const ACTIVATOR: &str = "zeron.dev/activator";

/// The activators' port of each Service port: `80=20000,81=20001`.
pub const PORTS: &str = "zeron.dev/activator-ports";

/// The selector that was taken away, as JSON.
pub const SELECTOR: &str = "zeron.dev/selector";

/// How it stands, in words: `Active`, or `Refused: ` and why.
pub const STATUS: &str = "zeron.dev/activator-status";

/// `"true"`: the Service was given back; the opt-in has no effect any more.
pub const HANDED_BACK: &str = "zeron.dev/handed-back";

/// On Services of the HTTP add-on that were taken over: [`crate::alias`] leads those.
pub const ADOPTED_FROM: &str = "zeron.dev/adopted-from";

/// Allotted ports by Service port.
pub type Ports = BTreeMap<u16, NonZeroU16>;

/// Reads [`PORTS`]. Pairs that cannot be read are left out: they are allotted again.
pub fn parse_ports(text: &str) -> Ports {
    let pair = |pair: &str| {
        let (port, allotted) = pair.split_once('=')?;
        Some((port.trim().parse().ok()?, allotted.trim().parse().ok()?))
    };
    text.split(',').filter_map(pair).collect()
}

/// Writes [`PORTS`].
pub fn format_ports(ports: &Ports) -> String {
    let pairs: Vec<String> = ports.iter().map(|(p, a)| format!("{p}={a}")).collect();
    pairs.join(",")
}

/// Reads [`SELECTOR`]; `None` where it is no selector.
pub fn parse_selector(text: &str) -> Option<BTreeMap<String, String>> {
    let selector: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    (!selector.is_empty()).then_some(selector)
}

/// Writes [`SELECTOR`].
pub fn format_selector(selector: &BTreeMap<String, String>) -> String {
    serde_json::to_string(selector).expect("a map of texts is JSON")
}
