//! Log files of replicas: written, rotated, and taken away when there are too many.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use zeron_core::FunctionId;

use crate::config::LogLimits;
use crate::launch::file_name;

/// Where the logs of a function's replicas are: `ROOT/NAMESPACE/KIND/NAME`.
pub(crate) fn function_dir(root: &Path, function: &FunctionId) -> PathBuf {
    root.join(file_name(function.namespace()))
        .join(file_name(function.kind()))
        .join(file_name(function.name()))
}

/// The file that a replica's output goes to.
pub(crate) fn replica_file(root: &Path, function: &FunctionId, replica: &str) -> PathBuf {
    let mut name = file_name(replica);
    name.push(".log");
    function_dir(root, function).join(name)
}

/// The log of one replica. Costs nothing until something is written.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    open: Option<(File, u64)>,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Appends whole entries, to a new file when this one would grow beyond its limit.
    pub(crate) fn append(&mut self, entries: &[u8], limits: &LogLimits) -> io::Result<()> {
        let len = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        if let Some((_, written)) = &self.open
            && written + len > limits.max_bytes
        {
            self.open = None;
            rotate(&self.path, limits.kept_files)?;
        }
        if self.open.is_none() {
            self.open = Some(open(&self.path)?);
        }
        if let Some((file, written)) = &mut self.open {
            file.write_all(entries)?;
            *written += len;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let written = file.metadata()?.len();
    Ok((file, written))
}

/// `x.log` becomes `x.log.1`, that becomes `x.log.2`, up to `kept`.
fn rotate(path: &Path, kept: u32) -> io::Result<()> {
    let numbered = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    if kept == 0 {
        return fs::remove_file(path);
    }
    for n in (1..kept).rev() {
        match fs::rename(numbered(n), numbered(n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

/// All log files of a function, oldest writing first.
pub(crate) fn list(dir: &Path) -> Vec<PathBuf> {
    let mut files = entries(dir);
    files.sort();
    files.into_iter().map(|(_, path)| path).collect()
}

/// Takes away the logs of all but the newest `kept` replicas that ended.
pub(crate) fn prune_replicas(dir: &Path, live: &HashSet<&Path>, kept: usize) {
    let files = entries(dir);
    let mut replicas: Vec<(SystemTime, OsString)> = Vec::new();
    for (time, path) in &files {
        let Some(stem) = stem(path) else { continue };
        if live.contains(dir.join(&stem).as_path()) {
            continue;
        }
        match replicas.iter_mut().find(|(_, known)| *known == stem) {
            Some((newest, _)) => *newest = (*newest).max(*time),
            None => replicas.push((*time, stem)),
        }
    }
    replicas.sort();
    let surplus = replicas.len().saturating_sub(kept);
    for (_, gone) in replicas.iter().take(surplus) {
        for (_, path) in files
            .iter()
            .filter(|(_, path)| stem(path).as_ref() == Some(gone))
        {
            fs::remove_file(path).ok();
        }
    }
}

/// Takes away the logs of all but the newest `kept` functions that are not in `known`.
pub(crate) fn prune_functions(root: &Path, known: &HashSet<PathBuf>, kept: usize) {
    let mut gone: Vec<(SystemTime, PathBuf)> = Vec::new();
    for (_, namespace) in entries(root) {
        for (_, kind) in entries(&namespace) {
            let strange = |(_, dir): &(SystemTime, PathBuf)| !known.contains(dir);
            gone.extend(entries(&kind).into_iter().filter(strange));
        }
    }
    gone.sort();
    let surplus = gone.len().saturating_sub(kept);
    for (_, dir) in gone.iter().take(surplus) {
        fs::remove_dir_all(dir).ok();
    }
}

fn entries(dir: &Path) -> Vec<(SystemTime, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let dated = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let time = entry.metadata().ok()?.modified().ok()?;
        Some((time, entry.path()))
    };
    entries.filter_map(dated).collect()
}

/// `x.log` of `x.log` and `x.log.2`.
fn stem(path: &Path) -> Option<OsString> {
    let name = path.file_name()?.to_str()?;
    let end = name.rfind(".log")? + ".log".len();
    Some(OsString::from(&name[..end]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<_> = list(dir).iter().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_rotated_before_they_outgrow_their_limit_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let limits = LogLimits {
            max_bytes: 100,
            kept_files: 2,
            ..LogLimits::default()
        };
        let mut file = LogFile::new(path);
        for n in 0..50 {
            file.append(format!("entry {n:03}\n").as_bytes(), &limits)
                .unwrap();
        }
        assert_eq!(names(dir.path()), ["a.log", "a.log.1", "a.log.2"]);
        for path in list(dir.path()) {
            assert!(fs::metadata(path).unwrap().len() <= 100);
        }
        let newest = fs::read_to_string(dir.path().join("a.log")).unwrap();
        assert!(newest.ends_with("entry 049\n"));
    }

    #[test]
    fn only_the_newest_ended_replicas_are_kept_and_live_ones_always() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits::default();
        for n in 0..5 {
            let path = dir.path().join(format!("r{n}.log"));
            LogFile::new(path.clone()).append(b"x\n", &limits).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n);
            File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        let live = dir.path().join("r0.log");
        prune_replicas(dir.path(), &HashSet::from([live.as_path()]), 2);
        assert_eq!(names(dir.path()), ["r0.log", "r3.log", "r4.log"]);
    }

    #[test]
    fn folders_of_functions_cannot_leave_the_root() {
        let function = FunctionId::new("..", "De/ploy", "../../etc");
        let dir = function_dir(Path::new("/logs"), &function);
        assert_eq!(dir, Path::new("/logs/_./De_ploy/_._.._etc"));
    }
}
