//! Decisions in words: `why` explains the newest, `timeline` lists them all.

mod rules;
#[cfg(test)]
mod tests;
mod timeline;
mod why;

pub(crate) use rules::short_cause;
pub(crate) use timeline::{Scope, reason, timeline};
pub(crate) use why::{absence, why};

/// A measured number as short as it can be without being wrong to the eye.
pub(crate) fn number(value: f64) -> String {
    let rounded = format!("{value:.2}");
    rounded
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// `1 request`, `2 requests`.
fn requests(count: u32) -> String {
    match count {
        1 => "1 request".to_owned(),
        _ => format!("{count} requests"),
    }
}

/// `1 replica`, `2 replicas`.
fn replicas(count: u32) -> String {
    match count {
        1 => "1 replica".to_owned(),
        _ => format!("{count} replicas"),
    }
}
