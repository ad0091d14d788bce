//! Images of the programs of this build, made and given to the node once per test process.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::Cluster;
use crate::binary;

/// A program that pods can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one binary.
    Zeron,
    /// The example function: HTTP on `$PORT`.
    Function,
    /// The example consumer: Kafka, and HTTP on `$PORT`.
    Consumer,
    /// A function that speaks HTTP/2 without TLS on `$PORT`, as gRPC does.
    Origin,
}

impl Program {
    fn binary(self) -> &'static Path {
        match self {
            Self::Zeron => binary::zeron(),
            Self::Function => binary::function(),
            Self::Consumer => binary::consumer(),
            Self::Origin => binary::origin(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Zeron => "zeron",
            Self::Function | Self::Origin => "function",
            Self::Consumer => "consumer",
        }
    }

    /// What `cargo xtask image` calls the image.
    fn repository(self) -> &'static str {
        match self {
            Self::Zeron => "zeron",
            Self::Function | Self::Origin => "zeron-example-function",
            Self::Consumer => "zeron-example-consumer",
        }
    }
}

impl Cluster {
    /// The name of the image of a program of this build, which the node has: to be used with `imagePullPolicy: Never`.
    ///
    /// # Panics
    /// When it cannot be made, or the cluster is not one of `cargo xtask cluster up` on this machine.
    pub fn image(&self, program: Program) -> &'static str {
        static NAMES: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
        NAMES[program as usize].get_or_init(|| self.load(program, program.binary()))
    }

    /// The name of an image of somebody else's program that needs no other file.
    ///
    /// # Panics
    /// As [`Self::image`].
    pub fn image_of(&self, binary: &Path) -> String {
        // Nothing is in the function's image but the function.
        self.load(Program::Function, binary)
    }

    fn load(&self, program: Program, binary: &Path) -> String {
        let state = self
            .state()
            .expect("images are loaded into clusters of this machine only");
        // Another build is another image: the tag says which, so that nothing is made or loaded twice.
        let tag = format!("test-{:x}", stamp(binary));
        let name = format!("dev.local/{}:{tag}", program.repository());
        let loaded = state.join("images").join(&tag);
        std::fs::create_dir_all(state.join("images")).expect("the cluster's folder is ours");
        let lock = std::fs::File::create(state.join("images/lock")).expect("the folder is ours");
        lock.lock().expect("a file can be locked");
        if loaded.exists() {
            return name;
        }
        let archive = std::env::temp_dir().join(format!("zeron-{tag}.tar"));
        let archive = archive.to_str().expect("a plain name");
        let binary = binary.to_str().expect("a plain name");
        let make = [
            "image",
            program.word(),
            "--binary",
            binary,
            "--tag",
            &tag,
            "--output",
            archive,
        ];
        xtask(&make);
        let folder = state.to_str().expect("a plain name");
        xtask(&["cluster", "load", archive, "--state", folder]);
        std::fs::write(&loaded, &name).expect("the folder is ours");
        std::fs::remove_file(archive).expect("it was just written");
        name
    }
}

/// A number that differs between builds.
fn stamp(binary: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let file = binary.metadata().expect("it was built");
    let mut hasher = DefaultHasher::new();
    (binary, file.len(), file.modified().ok()).hash(&mut hasher);
    hasher.finish()
}

/// Runs a task of the repository.
pub(crate) fn xtask(arguments: &[&str]) {
    let output = Command::new(binary::xtask())
        .args(arguments)
        .output()
        .expect("it was built");
    assert!(
        output.status.success(),
        "cargo xtask {}: {}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
