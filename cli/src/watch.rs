//! Tells when manifests change on disk.
//!
//! Files are watched through their folder, because editors replace a file rather than write it.
//! Where the kernel has no watches left, the files are looked at every two seconds instead.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{
    Config, ErrorKind, EventKind, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// A change is told once nothing more has happened for so long,
const QUIET: Duration = Duration::from_millis(100);
/// but not later than this after it began.
const LONGEST: Duration = Duration::from_secs(1);
/// How often files are looked at where the kernel cannot tell.
const POLL: Duration = Duration::from_secs(2);

/// Follows manifests for as long as it lives.
pub(crate) struct Watch {
    changes: mpsc::Receiver<()>,
    watcher: Box<dyn Watcher + Send>,
    is_polling: bool,
}

/// Why manifests cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be watched for changes", .path.display())]
pub(crate) struct WatchError {
    path: PathBuf,
    #[source]
    source: notify::Error,
}

impl Watch {
    /// Begins to follow `paths`, files and folders. `-` is left out.
    ///
    /// # Errors
    /// When a folder cannot be watched, not even by looking at it again and again.
    pub(crate) fn start(paths: &[PathBuf]) -> Result<Self, WatchError> {
        let scope = Scope::new(paths);
        match Self::with::<RecommendedWatcher>(&scope, Config::default()) {
            Err(error) if is_exhausted(&error.source.kind) => {
                tracing::warn!(
                    interval = ?POLL,
                    "no file watches left (fs.inotify.max_user_watches, max_user_instances): polling"
                );
                Self::poll(&scope)
            }
            outcome => outcome,
        }
    }

    fn poll(scope: &Scope) -> Result<Self, WatchError> {
        let config = Config::default().with_poll_interval(POLL);
        let watch = Self::with::<PollWatcher>(scope, config)?;
        Ok(Self {
            is_polling: true,
            ..watch
        })
    }

    fn with<W: Watcher + Send + 'static>(
        scope: &Scope,
        config: Config,
    ) -> Result<Self, WatchError> {
        // One place is enough: a change that nobody has looked at yet stands for all later ones.
        let (sender, changes) = mpsc::channel(1);
        let seen = scope.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|e| seen.is_change(&e)) {
                sender.try_send(()).ok();
            }
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| WatchError { path, source }
        };
        let mut watcher = W::new(on_event, config).map_err(failed(Path::new("manifests")))?;
        for folder in &scope.folders {
            watcher
                .watch(folder, RecursiveMode::Recursive)
                .map_err(failed(folder))?;
        }
        for folder in scope.parents() {
            watcher
                .watch(&folder, RecursiveMode::NonRecursive)
                .map_err(failed(&folder))?;
        }
        Ok(Self {
            changes,
            watcher: Box::new(watcher),
            is_polling: false,
        })
    }

    /// Resolves when something changed and has been quiet since. `None`: no change can come any
    /// more. Dropping it loses nothing but the wait for quiet.
    pub(crate) async fn changed(&mut self) -> Option<()> {
        self.changes.recv().await?;
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet, self.changes.recv()).await {
                Ok(Some(())) if Instant::now() < latest => {}
                _ => return Some(()),
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = &self.watcher;
        f.debug_struct("Watch")
            .field("is_polling", &self.is_polling)
            .finish_non_exhaustive()
    }
}

/// What is watched.
#[derive(Clone, Debug, Default)]
struct Scope {
    folders: BTreeSet<PathBuf>,
    files: BTreeSet<(PathBuf, OsString)>,
}

impl Scope {
    fn new(paths: &[PathBuf]) -> Self {
        let mut scope = Self::default();
        for path in paths.iter().filter(|p| p.as_os_str() != "-") {
            if path.is_dir() {
                scope
                    .folders
                    .insert(path.canonicalize().unwrap_or_else(|_| path.clone()));
            } else if let Some(name) = path.file_name() {
                let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new("."));
                let folder = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
                scope.files.insert((folder, name.to_owned()));
            }
        }
        scope
    }

    /// Folders of single files that no watched folder covers.
    fn parents(&self) -> BTreeSet<PathBuf> {
        let parents = self.files.iter().map(|(folder, _)| folder.clone());
        parents
            .filter(|p| !self.folders.iter().any(|f| p.starts_with(f)))
            .collect()
    }

    /// Reading a file is an event too, but not a change.
    fn is_change(&self, event: &notify::Event) -> bool {
        !matches!(event.kind, EventKind::Access(_))
            && (event.need_rescan() || event.paths.iter().any(|path| self.covers(path)))
    }

    fn covers(&self, path: &Path) -> bool {
        let is_file = |(folder, name): &(PathBuf, OsString)| {
            path.parent() == Some(folder) && path.file_name() == Some(name)
        };
        let may_hold_manifests = match path.extension() {
            Some(extension) => extension == "yaml" || extension == "yml" || extension == "json",
            None => true,
        };
        self.files.iter().any(is_file)
            || (may_hold_manifests && self.folders.iter().any(|f| path.starts_with(f)))
    }
}

/// The kernel has no watches or no inotify instances left.
fn is_exhausted(kind: &ErrorKind) -> bool {
    const EMFILE: i32 = 24;
    const ENOSPC: i32 = 28;
    match kind {
        ErrorKind::MaxFilesWatch => true,
        ErrorKind::Io(error) => matches!(error.raw_os_error(), Some(EMFILE | ENOSPC)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    async fn change(watch: &mut Watch) -> Option<()> {
        tokio::time::timeout(Duration::from_secs(20), watch.changed())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_edit_by_replacement_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a: 1").unwrap();
        let mut watch = Watch::start(std::slice::from_ref(&file)).unwrap();
        let new = folder.path().join("a.yaml.new");
        fs::write(&new, "a: 2").unwrap();
        fs::rename(&new, &file).unwrap();
        assert_eq!(change(&mut watch).await, Some(()));
    }

    #[tokio::test]
    async fn a_new_manifest_in_a_new_subfolder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::start(&[folder.path().to_owned()]).unwrap();
        let sub = folder.path().join("sub");
        fs::create_dir(&sub).unwrap();
        assert_eq!(change(&mut watch).await, Some(()));
        fs::write(sub.join("b.yaml"), "b: 1").unwrap();
        assert_eq!(change(&mut watch).await, Some(()));
    }

    #[tokio::test]
    async fn polling_tells_of_changes_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a: 1").unwrap();
        let mut watch = Watch::poll(&Scope::new(std::slice::from_ref(&file))).unwrap();
        assert!(watch.is_polling);
        fs::remove_file(&file).unwrap();
        assert_eq!(change(&mut watch).await, Some(()));
    }

    #[test]
    fn reading_and_foreign_files_are_no_changes() {
        let scope = Scope {
            folders: [PathBuf::from("/m")].into(),
            files: [(PathBuf::from("/n"), OsString::from("a.txt"))].into(),
        };
        let event = |kind, path: &str| notify::Event::new(kind).add_path(PathBuf::from(path));
        let any = EventKind::Any;
        let access = EventKind::Access(notify::event::AccessKind::Any);
        assert!(scope.is_change(&event(any, "/m/sub/x.yaml")));
        assert!(scope.is_change(&event(any, "/n/a.txt")));
        assert!(!scope.is_change(&event(access, "/m/x.yaml")));
        assert!(!scope.is_change(&event(any, "/m/x.log")));
        assert!(!scope.is_change(&event(any, "/n/b.txt")));
    }

    #[test]
    fn only_exhausted_watches_lead_to_polling() {
        let io = |code| ErrorKind::Io(std::io::Error::from_raw_os_error(code));
        assert!(is_exhausted(&ErrorKind::MaxFilesWatch));
        assert!(is_exhausted(&io(24)));
        assert!(!is_exhausted(&io(13)));
    }
}
