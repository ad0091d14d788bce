//! What all measures share: options, cores, runtime, binaries, raw samples and the figures so far.

use std::fmt::Display;
use std::fs::File;
use std::future::Future;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::affinity::{Cores, Place};
use crate::calibration;
use crate::figure::Figure;
use crate::options::{Options, Output};
use crate::subject::zeron::{self, Zeron};

/// One run of the program.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The command line.
    pub(crate) options: Options,
    /// Who runs where.
    pub(crate) cores: Cores,
    runtime: tokio::runtime::Runtime,
    figures: Vec<Figure>,
}

impl Bench {
    /// Pins this thread to the generator's core and raises the limit of open files as far as allowed.
    pub(crate) fn new(options: Options) -> Result<Self> {
        let cores = Cores::detect()?;
        cores.enter(Place::Generator)?;
        if !cores.are_separate() {
            note("one core only: the proxy shares it with the generator, latencies mean little");
        }
        raise_open_files();
        Ok(Self {
            options,
            cores,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            figures: Vec::new(),
        })
    }

    /// Runs a future on this thread.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// `full`, or `quick` in a quick run.
    pub(crate) fn size<T>(&self, full: T, quick: T) -> T {
        if self.options.quick { quick } else { full }
    }

    /// Rounds as asked for, else as [`Bench::size`] says.
    pub(crate) fn rounds(&self, full: usize, quick: usize) -> usize {
        self.options.rounds.unwrap_or(self.size(full, quick)).max(1)
    }

    /// Adds a figure, and prints it at once where lines are wanted.
    pub(crate) fn figure(&mut self, mut figure: Figure) {
        figure.judge_noise();
        if self.options.output == Output::Text {
            println!("{figure}");
        }
        self.figures.push(figure);
    }

    /// Prints the figures of the run as JSON where that is wanted.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.options.output == Output::Json {
            println!("{}", serde_json::to_string_pretty(&self.figures)?);
        }
        Ok(())
    }

    /// Measures the machine, and says when it is too noisy.
    pub(crate) fn calibrate(&self) -> Result<()> {
        note(calibration::measure(&self.cores)?);
        Ok(())
    }

    /// Starts zeron with `documents`, anywhere.
    pub(crate) fn zeron(&self, measure: &str, documents: &[Value]) -> Result<Zeron> {
        self.zeron_at(measure, documents, Place::Anywhere, None)
    }

    /// Starts zeron with `documents` at `place` with `workers` data-plane threads.
    pub(crate) fn zeron_at(
        &self,
        measure: &str,
        documents: &[Value],
        place: Place,
        workers: Option<u32>,
    ) -> Result<Zeron> {
        let program = self.zeron_program()?;
        let options = zeron::Options {
            program: &program,
            place,
            workers,
            flags: &self.options.up_flags,
            log: folder(measure)?.join("zeron.log"),
        };
        Zeron::start(&options, documents, &self.cores)
    }

    /// The zeron binary.
    pub(crate) fn zeron_program(&self) -> Result<PathBuf> {
        existing(self.options.zeron.as_deref(), "zeron")
    }

    /// The tiny function.
    pub(crate) fn function_program(&self) -> Result<PathBuf> {
        existing(self.options.function.as_deref(), "zeron-example-function")
    }

    /// Builds what is measured, so that no stale binary is; unless paths were given.
    pub(crate) fn build_subjects(&self) -> Result<()> {
        if self.options.zeron.is_some() {
            return Ok(());
        }
        self.cargo_build(&["-p", "zeron", "-p", "zeron-example-function"])
    }

    /// `cargo build` with `arguments` in this program's own profile; nothing unless `cargo run` started us.
    pub(crate) fn cargo_build(&self, arguments: &[&str]) -> Result<()> {
        let Some(cargo) = std::env::var_os("CARGO") else {
            return Ok(());
        };
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet"]).args(arguments);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") {
            command.current_dir(folder);
        }
        let before = self.cores.enter(Place::Anywhere)?;
        let status = command.status();
        before.restore()?;
        anyhow::ensure!(
            status?.success(),
            "cargo build {} failed",
            arguments.join(" ")
        );
        Ok(())
    }
}

/// This program, as the first word of a command.
pub(crate) fn this_program() -> Result<String> {
    Ok(std::env::current_exe()?.display().to_string())
}

/// `given`, or `name` beside this program.
fn existing(given: Option<&Path>, name: &str) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(name),
    };
    let path = std::path::absolute(path)?;
    anyhow::ensure!(
        path.is_file(),
        "{} is missing: run `cargo build --release -p zeron -p zeron-example-function`",
        path.display()
    );
    Ok(path)
}

/// Says something to the person who waits; figures alone go to stdout.
pub(crate) fn note(text: impl Display) {
    eprintln!("{text}");
}

/// The folder of a measure's raw samples: `target/bench/<measure>`, beside the profile's own folder.
pub(crate) fn folder(measure: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("no target folder")?;
    let folder = target.join("bench").join(measure);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Raw samples, one row each.
#[derive(Debug)]
pub(crate) struct Csv {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Csv {
    /// Begins `target/bench/<measure>/<name>.csv`.
    pub(crate) fn create(measure: &str, name: &str, header: &str) -> Result<Self> {
        let path = folder(measure)?.join(format!("{name}.csv"));
        let mut writer = BufWriter::new(File::create(&path)?);
        writeln!(writer, "{header}")?;
        Ok(Self { path, writer })
    }

    /// Adds a row; no cell needs quoting.
    pub(crate) fn row(&mut self, cells: &[&dyn Display]) -> Result<()> {
        for (index, cell) in cells.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(self.writer, "{comma}{cell}")?;
        }
        writeln!(self.writer)?;
        Ok(())
    }

    /// Ends the file and tells where it is.
    pub(crate) fn close(mut self) -> Result<()> {
        self.writer.flush()?;
        note(format_args!("raw samples: {}", self.path.display()));
        Ok(())
    }
}

fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Without it only the measures with thousands of connections fail, and say so.
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .ok();
}
