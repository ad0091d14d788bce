//! Limits of memory and processor time: cgroups where we may make them, else rlimits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde::Serialize;
use zeron_core::EndpointId;
use zeron_core::workload::ResourceAmounts;

/// How a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Enforcement {
    /// By a control group of the unified hierarchy.
    CgroupV2,
    /// By a control group of the controller's own hierarchy.
    CgroupV1,
    /// By `RLIMIT_DATA`: each process of the replica by itself, private memory only.
    Rlimit,
    /// Not: nothing on this machine that we may use enforces it.
    Unenforced,
}

/// How the limits of one replica are enforced; `None`: there is no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Enforced {
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Enforcement>,
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Enforcement>,
}

/// Period over which processor time is counted, in microseconds (the kernel's default).
const CPU_PERIOD: u64 = 100_000;

/// Where control groups can be made. Looked for when the first limit is to be kept.
#[derive(Debug)]
pub(crate) struct Cgroups {
    token: String,
    found: OnceLock<Controllers>,
}

#[derive(Debug, Default)]
struct Controllers {
    memory: Option<Controller>,
    cpu: Option<Controller>,
}

#[derive(Debug)]
struct Controller {
    version: Enforcement,
    /// Our folder, which holds one folder per limited replica.
    dir: PathBuf,
}

impl Cgroups {
    pub(crate) fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            found: OnceLock::new(),
        }
    }

    /// Puts a running process and what it starts from now on under `limits`. Folders that this
    /// makes and that are to be taken away at the end are told to `made`, before they are used.
    pub(crate) fn limit(
        &self,
        replica: EndpointId,
        pid: Pid,
        limits: ResourceAmounts,
        made: impl Fn(&Path),
    ) -> Enforced {
        let found = self.found.get_or_init(|| {
            let found = Controllers::detect(&self.token);
            found.dirs().for_each(made);
            found
        });
        found.limit(replica, pid, limits)
    }

    /// Takes away the groups of a replica whose processes are gone.
    pub(crate) fn remove(&self, replica: EndpointId) {
        for dir in self.found.get().into_iter().flat_map(Controllers::dirs) {
            // A process that is still being torn down keeps it; the last sweep gets it.
            fs::remove_dir(dir.join(replica.to_string())).ok();
        }
    }
}

impl Controllers {
    /// Makes a folder of ours below our own group, in each hierarchy that lets us.
    fn detect(token: &str) -> Self {
        let Ok(own) = fs::read_to_string("/proc/self/cgroup") else {
            return Self::default();
        };
        let name = format!("zeron-{token}");
        Self {
            memory: Controller::make(&own, "memory", &name),
            cpu: Controller::make(&own, "cpu", &name),
        }
    }

    fn dirs(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.memory, &self.cpu];
        all.into_iter().flatten().map(|c| c.dir.as_path())
    }

    fn limit(&self, replica: EndpointId, pid: Pid, limits: ResourceAmounts) -> Enforced {
        let memory = limits.memory_bytes.map(|bytes| {
            let group = |c: &Controller| c.limit_memory(replica, pid, bytes).ok();
            let rlimit = || limit_data(pid, bytes).ok().map(|()| Enforcement::Rlimit);
            let by_group = self.memory.as_ref().and_then(group);
            by_group.or_else(rlimit).unwrap_or(Enforcement::Unenforced)
        });
        let cpu = limits.cpu_millis.map(|millis| {
            let group = |c: &Controller| c.limit_cpu(replica, pid, millis).ok();
            let by_group = self.cpu.as_ref().and_then(group);
            by_group.unwrap_or(Enforcement::Unenforced)
        });
        Enforced { memory, cpu }
    }
}

impl Controller {
    fn make(own: &str, controller: &str, name: &str) -> Option<Self> {
        Self::make_v1(own, controller, name).or_else(|| Self::make_v2(own, controller, name))
    }

    fn make_v1(own: &str, controller: &str, name: &str) -> Option<Self> {
        let path = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_it = controllers.split(',').any(|known| known == controller);
            is_it.then_some(path)
        })?;
        let dir = below(&Path::new("/sys/fs/cgroup").join(controller), path).join(name);
        fs::create_dir(&dir).ok()?;
        Some(Self {
            version: Enforcement::CgroupV1,
            dir,
        })
    }

    fn make_v2(own: &str, controller: &str, name: &str) -> Option<Self> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let root = mounts
            .iter()
            .map(Path::new)
            .find(|root| root.join("cgroup.controllers").exists())?;
        let dir = below(root, path).join(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        let enable = format!("+{controller}");
        if fs::write(dir.join("cgroup.subtree_control"), enable).is_err() {
            // Not delegated to us; the folder goes unless another controller uses it.
            fs::remove_dir(&dir).ok();
            return None;
        }
        Some(Self {
            version: Enforcement::CgroupV2,
            dir,
        })
    }

    fn limit_memory(&self, replica: EndpointId, pid: Pid, bytes: u64) -> io::Result<Enforcement> {
        let file = match self.version {
            Enforcement::CgroupV2 => "memory.max",
            _ => "memory.limit_in_bytes",
        };
        self.limit(replica, pid, &[(file, bytes.to_string())])
    }

    fn limit_cpu(&self, replica: EndpointId, pid: Pid, millis: u64) -> io::Result<Enforcement> {
        // The kernel refuses less than a millisecond per period.
        let quota = (millis.saturating_mul(CPU_PERIOD) / 1000).max(1000);
        match self.version {
            Enforcement::CgroupV2 => self.limit(
                replica,
                pid,
                &[("cpu.max", format!("{quota} {CPU_PERIOD}"))],
            ),
            _ => self.limit(
                replica,
                pid,
                &[
                    ("cpu.cfs_period_us", CPU_PERIOD.to_string()),
                    ("cpu.cfs_quota_us", quota.to_string()),
                ],
            ),
        }
    }

    fn limit(
        &self,
        replica: EndpointId,
        pid: Pid,
        settings: &[(&str, String)],
    ) -> io::Result<Enforcement> {
        let group = self.dir.join(replica.to_string());
        match fs::create_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for (file, value) in settings {
            fs::write(group.join(file), value)?;
        }
        fs::write(
            group.join("cgroup.procs"),
            pid.as_raw_nonzero().get().to_string(),
        )?;
        Ok(self.version)
    }
}

/// RLIMIT_DATA rather than RLIMIT_AS: runtimes reserve far more address space than they use.
fn limit_data(pid: Pid, bytes: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    prlimit(Some(pid), Resource::Data, limit)?;
    Ok(())
}

/// `path` of /proc/self/cgroup below `root`; in a container it may name the host's path, which is
/// not there.
fn below(root: &Path, path: &str) -> PathBuf {
    let dir = root.join(path.trim_start_matches('/'));
    if dir.is_dir() { dir } else { root.to_owned() }
}
