//! The limit of open files: ours as high as the machine allows, that of replicas as it was.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// The limit that this process was started with.
#[derive(Clone, Copy, Debug)]
pub struct OpenFiles {
    original: Rlimit,
}

impl OpenFiles {
    /// Raises the soft limit of this process to the hard one. Where that is refused it stays as it is.
    pub fn raise() -> Self {
        let original = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: original.maximum,
            maximum: original.maximum,
        };
        if original.current != original.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            tracing::warn!(%error, ?original, "the limit of open files cannot be raised");
        }
        Self { original }
    }

    /// Gives a child the limit that this process was started with: programs take a high one for an
    /// invitation, to close every possible file at their start or to size tables by it. The child
    /// has run for some microseconds by then.
    pub(crate) fn restore(&self, child: u32) {
        let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
        let set = |pid| prlimit(Some(pid), Resource::Nofile, self.original);
        if let Some(Err(error)) = pid.map(set) {
            // It may have ended already.
            tracing::debug!(%error, child, "the limit of open files of a replica cannot be set");
        }
    }
}
