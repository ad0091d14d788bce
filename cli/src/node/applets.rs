//! The example functions that ship inside the program, put where functions find them.
//!
//! `zeron` under the name of an example function is that function. Links of those names stand in a
//! folder of the state directory, behind the folder of the program itself, where the small
//! binaries of a checkout stand.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Folders for the front of the functions' `PATH`.
pub(super) fn path(program: &Path, state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = state_dir.join("bin");
    std::fs::create_dir_all(&folder)?;
    for name in crate::applet::NAMES {
        link(program, &folder.join(name))?;
    }
    let beside = program.parent().map(Path::to_owned);
    Ok(beside.into_iter().chain([folder]).collect())
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
