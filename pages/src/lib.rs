//! Gives the pages of the running program back that only its start needed.
//!
//! A process that starts touches most of its program once: relocations, clients, schemas, tables.
//! The kernel maps sixteen pages round each touch, and they stay in the process's resident set for
//! good, though a running activator uses a tenth of them. Once the start is over they are let go;
//! what is still needed comes back from the page cache, or from the file, as after any reclaim.
//!
//! This is the one crate of the workspace with `unsafe` code: `madvise(2)` has no safe form.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::path::Path;

use rustix::mm::{Advice, madvise};

/// Lets go of the running program's own pages: its code, and the constants before it. Answers how
/// many bytes of the address space that were; 0 where the layout is not one that is known.
///
/// Those that are used come back at once, each for a fault of a microsecond.
///
/// # Errors
/// When `/proc/self/smaps` cannot be read, or the kernel refuses.
pub fn let_go() -> io::Result<usize> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let ranges = never_written(&maps, &program);
    for range in &ranges {
        advise(range, Advice::LinuxDontNeed)?;
    }
    Ok(ranges.iter().map(ExactSizeIterator::len).sum())
}

#[allow(unsafe_code)]
fn advise(range: &Range<usize>, advice: Advice) -> io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut::<c_void>(range.start);
    // SAFETY: the range is a whole mapping of the program's file, private and not writable, none of
    // whose pages was written to (`never_written`). Such pages the kernel drops by itself when
    // memory is short, and reads from the file when they are touched: this asks for just that.
    unsafe { madvise(start, range.len(), advice)? };
    Ok(())
}

/// The mappings of `program` that hold what is in its file and nothing else, of the lines of
/// `/proc/self/smaps`: its code and read-only mappings before that. One after the code may hold
/// relocated addresses, which are in no file. Any page that was written to, by relocations or by a
/// debugger, leaves all alone.
fn never_written(smaps: &str, program: &Path) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut is_complete = false;
    for line in smaps.lines() {
        match Mapping::read(line) {
            Some(_) if is_complete => return found,
            Some(mapping) if Path::new(mapping.path) == program => {
                is_complete = mapping.permissions == "r-xp";
                match mapping.permissions {
                    "r--p" | "r-xp" => found.push(mapping.range),
                    _ => return Vec::new(),
                }
            }
            Some(_) if found.is_empty() => {}
            None if found.is_empty() || !is_written(line) => {}
            Some(_) | None => return Vec::new(),
        }
    }
    match is_complete {
        true => found,
        false => Vec::new(),
    }
}

/// Whether a line below a mapping counts pages of it that are in no file.
fn is_written(line: &str) -> bool {
    let count = line
        .strip_prefix("Anonymous:")
        .or(line.strip_prefix("Swap:"));
    count.is_some_and(|it| it.trim() != "0 kB")
}

/// The first line of a mapping in `/proc/self/smaps` (proc(5)).
struct Mapping<'a> {
    range: Range<usize>,
    permissions: &'a str,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Self> {
        // Of the path only the beginning is padded: it may have spaces of its own.
        let mut parts = line.splitn(6, ' ');
        let (start, end) = parts.next()?.split_once('-')?;
        let address = |text: &str| usize::from_str_radix(text, 16).ok();
        let range = address(start)?..address(end)?;
        let permissions = parts.next()?;
        let path = parts.nth(3).unwrap_or_default().trim_start();
        Some(Self {
            range,
            permissions,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MAPS: &str = "\
5591a0000000-5591a0c69000 r--p 00000000 fe:00 9978779                    /opt/z eron
Rss:                4076 kB
Anonymous:             0 kB
Swap:                  0 kB
5591a0c69000-5591a29bb000 r-xp 00c68000 fe:00 9978779                    /opt/z eron
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
5591a29bb000-5591a2b37000 r--p 029b9000 fe:00 9978779                    /opt/z eron
Anonymous:          1520 kB
5591a2b37000-5591a2b3d000 rw-p 02b34000 fe:00 9978779                    /opt/z eron
5591a3000000-5591a3021000 rw-p 00000000 00:00 0
5591a4000000-5591a4021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000100000 r-xp 00000000 fe:00 12                         /lib/libc.so.6
";

    #[test]
    fn code_and_what_lies_before_it_is_found() {
        let found = never_written(MAPS, Path::new("/opt/z eron"));
        let expected = [
            0x5591_a000_0000..0x5591_a0c6_9000,
            0x5591_a0c6_9000..0x5591_a29b_b000,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn another_layout_is_left_alone() {
        let of = |maps: &str| never_written(maps, Path::new("/opt/z eron"));
        assert_eq!(of(&MAPS.replace("r-xp 00c", "rwxp 00c")), []);
        assert_eq!(of(&MAPS.replace("r--p 00000000", "rw-p 00000000")), []);
        assert_eq!(of(&MAPS.replace("z eron", "other")), []);
        for written in ["Anonymous:             4 kB", "Swap:                  8 kB"] {
            let first = MAPS.replacen("Anonymous:             0 kB", written, 1);
            assert_eq!(of(&first), [], "{written}");
        }
        assert_eq!(of(""), []);
        assert_eq!(of("nonsense\n"), []);
    }

    /// Of this program itself, which goes on.
    #[test]
    fn what_was_let_go_comes_back() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|it| it.starts_with("RssFile:"));
            let number = line.unwrap().split_whitespace().nth(1).unwrap();
            number.parse::<u64>().unwrap()
        };
        let before = resident();
        assert!(let_go().unwrap() > 0);
        let after = resident();
        assert!(after < before, "{before} KiB, {after} KiB");
        assert!(std::env::current_exe().unwrap().exists());
    }
}
