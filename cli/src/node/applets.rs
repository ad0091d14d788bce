//! The example functions that ship inside the program, put where functions find them.
//!
//! `zeron` under the name of an example function is that function. Links of those names stand in a
//! folder of the state directory, behind the folder of the program itself, where the small
//! binaries of a checkout stand.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::applet::NAMES;

/// Folders for the front of the functions' `PATH`.
pub(super) fn path(program: &Path, state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = state_dir.join("bin");
    std::fs::create_dir_all(&folder)?;
    sweep(&folder)?;
    for name in NAMES {
        link(program, &folder.join(name))?;
    }
    let beside = program.parent().map(Path::to_owned);
    Ok(beside.into_iter().chain([folder]).collect())
}

/// Removes links under names that were ours once: they would run us as something that we are not.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_ours = NAMES.iter().any(|name| entry.file_name() == *name);
        if !is_ours && entry.file_type()?.is_symlink() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes `link` lead to `program`, replacing what an older program left.
fn link(program: &Path, link: &Path) -> io::Result<()> {
    if std::fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    match std::fs::remove_file(link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(program, link)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn links_of_an_older_program_go() {
        let state = tempfile::tempdir().unwrap();
        let bin = state.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        symlink("/opt/old", bin.join(NAMES[0])).unwrap();
        symlink("/opt/old", bin.join("zeron-example-consumer")).unwrap();
        let folders = path(Path::new("/opt/new/zeron"), state.path()).unwrap();
        assert_eq!(folders, [PathBuf::from("/opt/new"), bin.clone()]);
        let link = std::fs::read_link(bin.join(NAMES[0])).unwrap();
        assert_eq!(link, Path::new("/opt/new/zeron"));
        assert!(!bin.join("zeron-example-consumer").is_symlink());
    }
}
