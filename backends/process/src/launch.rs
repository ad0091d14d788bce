//! The program, arguments, environment and folder of one replica.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};
use zeron_core::Function;

use crate::config::ProcessConfig;
use crate::expand::expand;
use crate::ports::PortError;

/// Marks every process that this back end started, for the keeper's last sweep.
pub(crate) const INSTANCE_VARIABLE: &str = "ZERON_INSTANCE";

/// What replicas get of our own environment; everything else comes from the manifest.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "USER"];

/// `PATH` when we have none ourselves.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a replica's process was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("no command is given: name the program to run in `command`")]
    NoCommand,
    #[error("program {program:?} is not an executable file in {path}")]
    NotFound { program: String, path: String },
    #[error("working directory {} does not exist", .0.display())]
    NoDirectory(PathBuf),
    #[error("cannot start {program:?}: {source}")]
    Exec {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot make pipes for its output: {0}")]
    Pipes(#[source] io::Error),
    #[error("cannot follow its process: {0}")]
    Follow(#[source] io::Error),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl LaunchError {
    /// The word for `StartFailure::reason`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Port(PortError::Exhausted) => "NoPort",
            Self::Port(_) => "PortTaken",
            _ => "StartError",
        }
    }

    /// Whether another attempt would most likely end the same way. A port that another replica of
    /// ours still has becomes free by itself.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Port(PortError::Held { .. }))
    }
}

/// What is the same for all replicas.
#[derive(Debug)]
pub(crate) struct Surroundings {
    base_dir: PathBuf,
    inherited: Vec<(&'static str, String)>,
    path_prefix: String,
    token: String,
}

/// What differs between replicas of one function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replica<'a> {
    pub(crate) function: &'a Function,
    /// The replica's own name, unique on this machine.
    pub(crate) name: &'a str,
    pub(crate) port: Option<u16>,
}

impl Surroundings {
    pub(crate) fn new(config: &ProcessConfig, token: String) -> Self {
        let inherited = INHERITED
            .iter()
            .filter_map(|name| Some((*name, std::env::var(name).ok()?)))
            .collect();
        let prefix: Vec<_> = config.path_prefix.iter().map(|p| p.display()).collect();
        Self {
            base_dir: std::path::absolute(&config.base_dir).unwrap_or(config.base_dir.clone()),
            inherited,
            path_prefix: prefix.iter().map(|dir| format!("{dir}:")).collect(),
            token,
        }
    }

    /// The command that starts `replica`; its output is still to be set.
    pub(crate) fn command(&self, replica: Replica<'_>) -> Result<Command, LaunchError> {
        let workload = &replica.function.workload;
        let environment = self.environment(replica);
        let words = || workload.command.iter().chain(&workload.args);
        let argv: Vec<String> = words().map(|word| environment.expand(word)).collect();
        let (name, args) = argv.split_first().ok_or(LaunchError::NoCommand)?;
        let dir = match &workload.working_dir {
            Some(dir) => self.base_dir.join(dir),
            None => self.base_dir.clone(),
        };
        if !dir.is_dir() {
            return Err(LaunchError::NoDirectory(dir));
        }
        // An absolute program keeps std on posix_spawn, which it leaves for fork when PATH is set
        // and has to be searched.
        let program = resolve(name, environment.get("PATH").unwrap_or_default(), &dir)?;
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(args)
            .env_clear()
            .envs(environment.variables)
            .current_dir(dir)
            .stdin(Stdio::null())
            .process_group(0);
        Ok(command)
    }

    fn environment(&self, replica: Replica<'_>) -> Environment {
        let function = replica.function;
        let mut given = Environment::default();
        given.set("PATH", DEFAULT_PATH.to_owned());
        for (name, value) in &self.inherited {
            given.set(name, value.clone());
        }
        if let Some(port) = replica.port {
            given.declare("PORT", port.to_string());
        }
        if function.id.kind() == "Revision" {
            given.declare("K_SERVICE", function.owner.name.clone());
            given.declare("K_CONFIGURATION", function.owner.name.clone());
            given.declare("K_REVISION", function.id.name().to_owned());
        }
        given.declare("ZERON_REPLICA", replica.name.to_owned());
        for variable in &function.workload.env {
            // Only what is declared above it, as in Kubernetes.
            let value = given.expand(&variable.value);
            given.declare(&variable.name, value);
        }
        // Ours whatever the manifest says: the port was chosen, the token ends orphans.
        if let Some(port) = replica.port {
            given.declare("PORT", port.to_string());
        }
        given.set(INSTANCE_VARIABLE, self.token.clone());
        let path = format!(
            "{}{}",
            self.path_prefix,
            given.get("PATH").unwrap_or_default()
        );
        given.set("PATH", path);
        given
    }
}

#[derive(Debug, Default)]
struct Environment {
    variables: Vec<(String, String)>,
    /// What references see: what the manifest and we declare, not what is inherited.
    declared: Vec<(String, String)>,
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        set(&mut self.variables, name, value);
    }

    fn declare(&mut self, name: &str, value: String) {
        set(&mut self.declared, name, value.clone());
        self.set(name, value);
    }

    fn get(&self, name: &str) -> Option<&str> {
        find(&self.variables, name)
    }

    fn expand(&self, text: &str) -> String {
        expand(text, |name| find(&self.declared, name))
    }
}

fn set(variables: &mut Vec<(String, String)>, name: &str, value: String) {
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some(variable) => variable.1 = value,
        None => variables.push((name.to_owned(), value)),
    }
}

fn find<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = variables.iter().find(|(known, _)| known == name)?;
    Some(value)
}

/// Finds `name` as execvp would: with a slash relative to `dir`, else in `path`.
fn resolve(name: &str, path: &str, dir: &Path) -> Result<PathBuf, LaunchError> {
    let not_found = |path: String| LaunchError::NotFound {
        program: name.to_owned(),
        path,
    };
    if name.contains('/') {
        let program = dir.join(name);
        return match is_program(&program) {
            true => Ok(program),
            false => Err(not_found(dir.display().to_string())),
        };
    }
    path.split(':')
        .filter(|entry| !entry.is_empty() && !name.is_empty())
        .map(|entry| dir.join(entry).join(name))
        .find(|program| is_program(program))
        .ok_or_else(|| not_found(path.to_owned()))
}

fn is_program(path: &Path) -> bool {
    access(path, Access::EXEC_OK).is_ok() && !path.is_dir()
}

/// `text` as one folder or file name: what could leave the folder is replaced.
pub(crate) fn file_name(text: &str) -> OsString {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let mut name: Vec<u8> = text
        .bytes()
        .map(|byte| if safe(byte) { byte } else { b'_' })
        .collect();
    match name.first_mut() {
        Some(first) if *first == b'.' => *first = b'_',
        Some(_) => {}
        None => name.push(b'_'),
    }
    std::ffi::OsStr::from_bytes(&name).to_owned()
}

#[cfg(test)]
mod tests;
