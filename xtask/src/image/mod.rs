//! `cargo xtask image`: images of our programs without a Docker daemon.

mod archive;
mod libraries;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::cargo;
pub(crate) use archive::Image;

/// Certificates of authorities that clients trust, for event sources behind TLS.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The promise: an image is smaller than this, compressed.
const LARGEST: u64 = 40_000_000;

/// What to make an image of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Program {
    /// The one binary.
    Zeron,
    /// The HTTP function of examples and tests.
    Function,
    /// The Kafka consumer of examples and tests.
    Consumer,
}

impl Program {
    /// The program, and the package that has it.
    fn binary(self) -> &'static str {
        match self {
            Self::Zeron => "zeron",
            Self::Function => "zeron-example-function",
            Self::Consumer => "zeron-example-consumer",
        }
    }

    fn image(self, tag: Option<&str>, binary: &Path) -> anyhow::Result<Image> {
        let name = self.binary();
        let tag = tag.unwrap_or(env!("CARGO_PKG_VERSION"));
        let path = format!("/{name}");
        let mut image = Image::new(&format!("dev.local/{name}:{tag}"), &path);
        image.add(binary, &path);
        image.add_libraries(binary)?;
        match self {
            Self::Zeron if Path::new(AUTHORITIES).exists() => {
                image.add(Path::new(AUTHORITIES), AUTHORITIES);
            }
            Self::Zeron => println!("== {AUTHORITIES} is missing here, and in the image"),
            // Others than the pod itself shall reach them.
            Self::Function | Self::Consumer => image.set("LISTEN_ADDRESS=0.0.0.0"),
        }
        Ok(image)
    }
}

/// What to put where.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    /// What to make an image of.
    #[arg(value_enum, default_value = "zeron")]
    pub(crate) program: Program,
    /// A ready binary; else the release binary is built.
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// The tar to write [default: target/images/NAME.tar].
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// The tag instead of the version.
    #[arg(long)]
    pub(crate) tag: Option<String>,
}

/// Writes an image, says its size, and returns where it is.
pub(crate) fn run(order: &Order) -> anyhow::Result<PathBuf> {
    let Order {
        program,
        binary,
        output,
        tag,
    } = order;
    let folder = cargo::target().join("images");
    let work = folder.join(format!("{}.{}", program.binary(), std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let binary = match binary {
        Some(binary) => binary.clone(),
        None => built(*program)?,
    };
    let stripped = strip(&binary, &work)?;
    let archive = match output {
        Some(output) => output.clone(),
        None => folder.join(format!("{}.tar", program.binary())),
    };
    let image = program.image(tag.as_deref(), &stripped)?;
    let size = image.write(&work, &archive)?;
    println!("== {}: {}", archive.display(), image.describe_size(size));
    fs::remove_dir_all(&work).context("cannot clean up")?;
    ensure!(
        size < LARGEST || *program != Program::Zeron,
        "the image has {size} bytes compressed, and {LARGEST} were promised"
    );
    Ok(archive)
}

fn built(program: Program) -> anyhow::Result<PathBuf> {
    let binary = program.binary();
    cargo::run(&["build", "--release", "--package", binary, "--bin", binary])?;
    Ok(cargo::target().join("release").join(binary))
}

/// A copy without symbols, which nobody needs to run it.
fn strip(binary: &Path, work: &Path) -> anyhow::Result<PathBuf> {
    let stripped = work.join("binary");
    let status = std::process::Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(binary)
        .status()
        .context("cannot run strip (binutils)")?;
    ensure!(status.success(), "cannot strip {}", binary.display());
    Ok(stripped)
}
