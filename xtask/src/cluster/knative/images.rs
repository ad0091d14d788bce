//! Images of Knative's programs, given to the node.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cluster::state::State;
use crate::cluster::{go, node};
use crate::image::Image;

/// The image of a program. Knative asks no registry about names that begin like this.
pub(super) fn name(program: &str, tag: &str) -> String {
    format!("kind.local/knative-{program}:{tag}")
}

/// Makes and loads all of them, unless the node has them.
pub(super) fn load(state: &State, programs: &Path, tag: &str) -> anyhow::Result<()> {
    let mark = format!("images/knative-{tag}");
    if state.path(&mark).exists() {
        return Ok(());
    }
    let work = state.folder("images/knative")?;
    for program in go::KNATIVE.programs() {
        let archive = work.join("image.tar");
        let path = format!("/{program}");
        let mut image = Image::new(&name(program, tag), &path);
        image.set_quick();
        image.add(&programs.join(program), &path);
        image.write(&work, &archive)?;
        node::load(state, &archive)?;
    }
    fs::remove_dir_all(&work).context("cannot clean up")?;
    state.write(&mark, "").map(drop)
}
