//! One process at one moment, from /proc/PID/stat (proc_pid_stat(5)).

use std::fs;
use std::io;

/// As much of a process as is measured. Zombies count until they are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    /// In ticks since boot: with it a number names one process only.
    pub(super) start: u64,
    /// Ticks that its threads ran, those that ended included.
    pub(super) own: u64,
    /// Ticks of children that ended and were waited for, and of theirs.
    pub(super) reaped: u64,
    /// Pages in memory.
    pub(super) resident: u64,
}

impl Stat {
    /// `None`: it is no such line.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(" (")?;
        // The name may contain anything, brackets too; nothing behind it does.
        let (_, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(22).collect();
        let number = |at: usize| -> Option<u64> { fields.get(at)?.parse().ok() };
        // Some are written as signed numbers.
        let count = |at: usize| -> Option<u64> {
            let number: i64 = fields.get(at)?.parse().ok()?;
            Some(u64::try_from(number).unwrap_or(0))
        };
        Some(Self {
            pid: pid.parse().ok()?,
            parent: u32::try_from(number(1)?).ok()?,
            group: u32::try_from(number(2)?).ok()?,
            own: number(11)?.saturating_add(number(12)?),
            reaped: count(13)?.saturating_add(count(14)?),
            start: number(19)?,
            resident: count(21)?,
        })
    }
}

/// All processes that can be seen. One that ends meanwhile is left out.
pub(super) fn all() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let is_process = name.to_str().is_some_and(|it| it.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        // A name is bytes, not text.
        let path = std::path::Path::new("/proc").join(&name).join("stat");
        let text = fs::read(path).ok();
        found.extend(text.and_then(|it| Stat::parse(&String::from_utf8_lossy(&it))));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_line_is_read_whatever_the_name_contains() {
        let text = "24712 (a) (b c) R 24649 24640 32359 0 -1 4194304 7779 6600 2 0 30 3 4 5 20 0 1 0 \
            1497334 37146624 8310 18446744073709551615 94740790788096 94740790788437 \
            140730847109456 0 0 0 0 16781312 2 0 0 0 17 0 0 0 0 0 0 94740790799792 0 0 0 0 0 0 0\n";
        let expected = Stat {
            pid: 24712,
            parent: 24649,
            group: 24640,
            start: 1_497_334,
            own: 33,
            reaped: 9,
            resident: 8310,
        };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn what_is_no_whole_line_is_no_process() {
        for text in [
            "",
            "1 (a",
            "1 (a) R 1 1 1",
            "x (a) R 0 0 0",
            "1 (sh) R 1 1 1 0 -1 4 1 1 0 0 -3",
        ] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_among_all() {
        let own = std::process::id();
        let all = all().expect("/proc can be read");
        let found = all.iter().find(|it| it.pid == own).expect("it runs");
        assert!(found.resident > 0 && found.start > 0);
    }
}
