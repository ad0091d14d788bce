//! The folder in which a cluster keeps everything: settings, logs, process ids, and what it changed on the machine.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// Which cluster a machine runs, for others who would start a second one.
const CLAIM: &str = "/run/zeron-test-cluster";

/// Says that a folder is a cluster's, and that what is in it may be removed with the cluster.
const MARK: &str = "zeron-test-cluster";

/// Sockets lie below the folder, and the kernel takes at most 108 bytes for the name of one.
pub(super) const LONGEST: usize = 70;

/// A cluster's folder, by its absolute path.
#[derive(Clone, Debug)]
pub(crate) struct State {
    root: PathBuf,
}

/// Held while a cluster is brought up or taken down.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "held, never read")] File);

impl State {
    /// The folder, which is made when it is missing.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let context = || format!("cannot use {}", folder.display());
        fs::create_dir_all(folder).with_context(context)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).with_context(context)?;
        let root = fs::canonicalize(folder).with_context(context)?;
        let text = root.to_str().unwrap_or(" ");
        ensure!(
            text.len() <= LONGEST && !text.contains(char::is_whitespace),
            "{}: a cluster's folder may have at most {LONGEST} characters and no spaces; give another with --state",
            root.display()
        );
        mark(&root)?;
        for part in ["logs", "pids"] {
            fs::create_dir_all(root.join(part)).with_context(context)?;
        }
        Ok(Self { root })
    }

    /// A path in it.
    pub(crate) fn path(&self, part: &str) -> PathBuf {
        self.root.join(part)
    }

    /// The same as text, for settings of others.
    pub(crate) fn text(&self, part: &str) -> String {
        self.path(part).display().to_string()
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file that only its owner reads, and makes the folders above it.
    pub(crate) fn write(&self, part: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(part);
        let context = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&self.root)).with_context(context)?;
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(context)?;
        file.write_all(text.as_bytes()).with_context(context)?;
        Ok(path)
    }

    /// Makes a folder in it.
    pub(crate) fn folder(&self, part: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(part);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Waits until nobody else brings this cluster up or down.
    pub(crate) fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.path("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Lock(file))
    }

    /// Takes the machine for this cluster: two would fight over addresses and packet filter.
    pub(crate) fn claim(&self) -> anyhow::Result<()> {
        if let Some(other) = claimed() {
            ensure!(
                other.root == self.root || !other.is_running(),
                "a test cluster is up in {}: use it (ZERON_TEST_KUBECONFIG={}) or take it down first (cargo xtask cluster down --state {})",
                other.root.display(),
                other.path("kubeconfig").display(),
                other.root.display()
            );
            if other.root != self.root {
                super::down(&other)?;
            }
        }
        fs::write(CLAIM, self.root.as_os_str().as_encoded_bytes())
            .with_context(|| format!("cannot write {CLAIM}"))
    }

    /// Gives the machine back.
    pub(crate) fn release(&self) {
        if fs::read_to_string(CLAIM).is_ok_and(|text| Path::new(&text) == self.root) {
            // When it stays it names a cluster that does not run, which bothers nobody.
            drop(fs::remove_file(CLAIM));
        }
    }

    /// Whether any of its processes runs.
    pub(crate) fn is_running(&self) -> bool {
        super::daemon::all(self)
            .iter()
            .any(super::daemon::Daemon::is_alive)
    }
}

/// Makes an empty folder a cluster's. One that holds anything else is not ours to clear.
fn mark(root: &Path) -> anyhow::Result<()> {
    let mark = root.join(MARK);
    if mark.exists() {
        return Ok(());
    }
    let is_empty = fs::read_dir(root)?.next().is_none();
    ensure!(
        is_empty,
        "{} is not empty and not the folder of a test cluster",
        root.display()
    );
    fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))
}

/// The cluster of this machine, if one claimed it: running or crashed.
pub(crate) fn claimed() -> Option<State> {
    let root = PathBuf::from(fs::read_to_string(CLAIM).ok()?);
    root.join(MARK).exists().then_some(State { root })
}
