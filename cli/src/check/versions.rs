//! The API server's version and clock.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::finding::{Finding, Level};
use super::reader::{ReadError, Reader, text};

const AREA: &str = "versions";
/// The oldest minor version whose API has all that is used.
const OLDEST: u32 = 33;
/// The header has whole seconds, and the way takes time.
const SKEW_SECONDS: i64 = 3;

pub(super) async fn check(reader: &Reader) -> Result<Vec<Finding>, ReadError> {
    let version = reader.get("/version").await?.unwrap_or_default();
    let mut findings = vec![judge_version(text(&version, "/gitVersion"))];
    let date = reader.date().await?;
    findings.extend(date.and_then(|date| judge_clock(&date, Timestamp::now())));
    Ok(findings)
}

pub(super) fn judge_version(version: &str) -> Finding {
    let mut parts = version.trim_start_matches('v').split('.');
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    let found = |level, message: &str| Finding::new(level, AREA, "API server", message);
    match (number(), number()) {
        (Some(major), Some(minor)) if (major, minor) >= (1, OLDEST) => {
            found(Level::Ok, &format!("Kubernetes {version}"))
        }
        (Some(_), Some(_)) => found(
            Level::Wrong,
            &format!("Kubernetes {version} is older than 1.{OLDEST}"),
        )
        .hint(format!("upgrade the cluster to 1.{OLDEST} or newer")),
        _ => found(
            Level::Warning,
            &format!("its version is unknown: {version:?}"),
        ),
    }
}

pub(super) fn judge_clock(date: &str, now: Timestamp) -> Option<Finding> {
    let theirs = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    let skew = now.as_second() - theirs.as_second();
    if skew.abs() <= SKEW_SECONDS {
        let message = "this machine's clock agrees with the API server's";
        return Some(Finding::new(Level::Ok, AREA, "clock", message));
    }
    let direction = if skew > 0 { "ahead of" } else { "behind" };
    let message = format!(
        "this machine's clock is {} s {direction} the API server's: ages that are shown are off",
        skew.abs()
    );
    let finding = Finding::new(Level::Warning, AREA, "clock", message);
    Some(finding.hint("synchronise the clocks (NTP); leases do not depend on them"))
}
