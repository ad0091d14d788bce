//! Builds the Go programs of the cluster, once: kept under a key of everything that goes into them.

use std::fs::{self, File};
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::cargo;

/// Names the folder of what is built.
const CACHE: &str = "ZERON_CLUSTER_CACHE";

/// Tells an apiserver built by itself which version it is; without it, it says v0.0.0.
const KUBERNETES_FLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.34.4 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=34";

/// Some programs of one Go module below `tests/cluster`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Module {
    /// Its folder.
    pub(crate) name: &'static str,
    /// Packages with a `main`; the last part of each is its program's name.
    pub(crate) packages: &'static [&'static str],
    /// Flags of the linker.
    flags: &'static str,
    /// How long a first build takes on two cores, to be said.
    cold: &'static str,
}

/// The programs without which there is no cluster at all.
pub(crate) const API: Module = Module {
    name: "components",
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kubectl",
    ],
    flags: KUBERNETES_FLAGS,
    cold: "4 minutes",
};

/// The rest of Kubernetes.
pub(crate) const NODE: Module = Module {
    name: "components",
    packages: &[
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubelet",
        "k8s.io/kubernetes/cmd/kube-proxy",
    ],
    flags: KUBERNETES_FLAGS,
    cold: "5 minutes",
};

/// CoreDNS.
pub(crate) const DNS: Module = Module {
    name: "dns",
    packages: &["zeron.dev/test-cluster/dns"],
    flags: "-s -w",
    cold: "1 minute",
};

/// KEDA's operator, for tests of taking over from it.
pub(crate) const KEDA: Module = Module {
    name: "keda",
    packages: &["github.com/kedacore/keda/v2/cmd/operator"],
    flags: "-s -w",
    cold: "8 minutes",
};

/// KEDA's metrics adapter, for measurements beside it.
pub(crate) const KEDA_ADAPTER: Module = Module {
    name: "keda",
    packages: &["github.com/kedacore/keda/v2/cmd/adapter"],
    flags: "-s -w",
    cold: "2 minutes after the operator",
};

/// KEDA's HTTP add-on, for tests of taking over from it.
pub(crate) const HTTP_ADD_ON: Module = Module {
    name: "http-add-on",
    packages: &[
        "github.com/kedacore/http-add-on/interceptor",
        "github.com/kedacore/http-add-on/operator",
        "github.com/kedacore/http-add-on/scaler",
    ],
    flags: "-s -w",
    cold: "2 minutes",
};

/// Knative Serving, for tests and measurements inside it.
pub(crate) const KNATIVE: Module = Module {
    name: "knative",
    packages: &[
        "knative.dev/serving/cmd/activator",
        "knative.dev/serving/cmd/autoscaler",
        "knative.dev/serving/cmd/controller",
        "knative.dev/serving/cmd/queue",
        "knative.dev/serving/cmd/webhook",
    ],
    flags: "-s -w",
    cold: "3 minutes",
};

/// An external scaler as others write one, for tests of ours that call it.
pub(crate) const SCALER: Module = Module {
    name: "scaler",
    packages: &["zeron.dev/test-cluster/scaler"],
    flags: "-s -w",
    cold: "1 minute",
};

/// Helm, for tests of the chart.
pub(crate) const HELM: Module = Module {
    name: "helm",
    packages: &["helm.sh/helm/v3/cmd/helm"],
    flags: "-s -w",
    cold: "2 minutes",
};

/// Small programs of our own.
pub(crate) const TOOLS: Module = Module {
    name: "tools",
    packages: &["zeron.dev/test-cluster/tools/cmd/certificates"],
    flags: "-s -w",
    cold: "some seconds",
};

/// The folder of all that is built and kept.
pub(crate) fn cache() -> PathBuf {
    if let Some(given) = std::env::var_os(CACHE) {
        return given.into();
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/var".into());
    Path::new(&home).join(".cache/zeron-cluster")
}

/// Whether there is a Go toolchain.
pub(crate) fn is_here() -> bool {
    crate::apt::works("go", "version")
}

impl Module {
    /// Builds what is missing and returns the folder of the programs.
    ///
    /// Two calls at once, of any processes, build one after the other.
    pub(crate) fn build(&self) -> anyhow::Result<PathBuf> {
        let source = self.source();
        let key = self.key()?;
        let folder = cache().join(format!("{}-{key:016x}", self.name));
        let is_missing = |name| !folder.join(name).exists();
        if !self.programs().any(is_missing) {
            // Whatever else is being built need not be waited for.
            return Ok(folder);
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let lock = File::create(cache().join("lock")).context("cannot write a lock")?;
        lock.lock().context("cannot lock the cache")?;
        for package in self.packages {
            let program = folder.join(program(package));
            if !program.exists() {
                self.compile(&source, package, &program)?;
            }
        }
        Ok(folder)
    }

    /// The names of the programs.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.packages.iter().copied().map(program)
    }

    /// Where Go keeps the files of a module that this one requires, and its version.
    pub(crate) fn required(&self, module: &str) -> anyhow::Result<(PathBuf, String)> {
        self.go(&["mod", "download", module])?;
        let line = self.go(&["list", "-m", "-f", "{{.Dir}} {{.Version}}", module])?;
        let (folder, version) = line
            .trim()
            .rsplit_once(' ')
            .with_context(|| format!("go list says {line:?} of {module}"))?;
        Ok((folder.into(), version.to_owned()))
    }

    fn go(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("go")
            .args(arguments)
            .current_dir(self.source())
            .stdin(Stdio::null())
            .output()
            .context("cannot run go")?;
        ensure!(
            output.status.success(),
            "go {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn source(&self) -> PathBuf {
        cargo::root().join("tests/cluster").join(self.name)
    }

    fn compile(&self, source: &Path, package: &str, program: &Path) -> anyhow::Result<()> {
        ensure!(
            is_here(),
            "{package} has to be built, and there is no Go on the PATH"
        );
        println!(
            "== go build {package} (kept in {}; all {} of {} take about {} the first time)",
            program.display(),
            self.packages.len(),
            self.name,
            self.cold
        );
        let begin = Instant::now();
        // Renamed when it is whole, so that an interrupted build is not taken for one.
        let partial = program.with_extension("partial");
        let status = Command::new("nice")
            .args(["go", "build", "-trimpath", "-ldflags", self.flags, "-o"])
            .arg(&partial)
            .arg(package)
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null())
            .status()
            .context("cannot run go")?;
        ensure!(status.success(), "go build {package} failed ({status})");
        fs::rename(&partial, program).context("cannot keep what was built")?;
        println!("== built {} in {:.0?}", program.display(), begin.elapsed());
        Ok(())
    }

    /// Everything that goes into a build: sources, versions and sums of modules, flags.
    pub(crate) fn key(&self) -> anyhow::Result<u64> {
        let source = self.source();
        let mut files = Vec::new();
        collect(&source, &mut files)?;
        files.sort();
        let mut hash = Fnv::default();
        hash.write(self.flags.as_bytes());
        for file in files {
            hash.write(
                file.as_os_str()
                    .as_encoded_bytes()
                    .get(source.as_os_str().len()..)
                    .unwrap_or_default(),
            );
            hash.write(&fs::read(&file)?);
        }
        Ok(hash.finish())
    }
}

/// The name of a package's program.
fn program(package: &str) -> &str {
    package.rsplit('/').next().unwrap_or(package)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// FNV-1a: the same in every version of Rust, unlike the standard library's hash.
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
