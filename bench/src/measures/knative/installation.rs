//! The installed Knative Serving: its two parts, whose they are, and its settings.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;
use serde_json::{Value, json};

use super::shapes::Pace;
use crate::bench::{Bench, note};
use crate::measures::cluster::Cluster;
use crate::process::process_of_pod;

/// Where Knative's parts run.
pub(super) const NAMESPACE: &str = "knative-serving";
/// Until pods are there, or gone.
const PATIENCE: Duration = Duration::from_secs(180);
/// What `zeron swap` leaves at a Deployment that it changed: the fields of the container as they were.
const REPLACED: &str = "/metadata/annotations/zeron.dev~1replaced";
/// In the order of a swap.
const PARTS: [&str; 2] = ["autoscaler", "activator"];

/// Whose parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Knative,
    Zeron,
}

impl Side {
    /// Both, in the order of the columns.
    pub(super) const BOTH: [Self; 2] = [Self::Knative, Self::Zeron];

    /// Both, with another first in every round.
    pub(super) fn in_turn(round: usize) -> [Self; 2] {
        let [one, other] = Self::BOTH;
        if round.is_multiple_of(2) {
            [one, other]
        } else {
            [other, one]
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Knative => "knative",
            Self::Zeron => "zeron",
        }
    }
}

/// An installation. Its parts are what they were found as again when this is dropped.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) cluster: Cluster,
    /// Of scenarios that are a load.
    pub(super) pace: Pace,
    zeron: PathBuf,
    image: String,
    /// Images of zeron that ran as [`PARTS`].
    found: [Option<String>; 2],
}

impl Installation {
    /// Looks whose the parts are.
    pub(super) fn find(
        cluster: Cluster,
        pace: Pace,
        zeron: PathBuf,
        image: String,
    ) -> Result<Self> {
        let mut found = Self {
            cluster,
            pace,
            zeron,
            image,
            found: [None, None],
        };
        found.found = found.now()?;
        Ok(found)
    }

    /// Images of zeron that run as [`PARTS`]; `None`: it is Knative's own.
    fn now(&self) -> Result<[Option<String>; 2]> {
        let [autoscaler, activator] = PARTS.map(|part| {
            let deployment = self.get(&deployment_path(part))?;
            let image = container(&deployment)["image"].as_str();
            anyhow::Ok(
                image
                    .filter(|_| kept(&deployment).is_some())
                    .map(str::to_owned),
            )
        });
        Ok([autoscaler?, activator?])
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.cluster.api.block_on(self.cluster.api.get(path))
    }

    /// Makes both parts those of a side, and waits until they are.
    pub(super) fn swap(&self, side: Side) -> Result<()> {
        PARTS
            .into_iter()
            .try_for_each(|part| self.swap_part(part, side))
    }

    /// The same for one part.
    pub(super) fn swap_part(&self, part: &str, side: Side) -> Result<()> {
        let image = (side == Side::Zeron).then_some(self.image.as_str());
        self.replace(part, image)
    }

    /// Makes a part zeron of this image, or Knative's own.
    fn replace(&self, part: &str, image: Option<&str>) -> Result<()> {
        let mut command = Command::new(&self.zeron);
        command.args(["swap", "knative", part, "--kubeconfig"]);
        command.arg(&self.cluster.kubeconfig);
        match image {
            Some(image) => command.args(["--image", image]),
            None => command.arg("--back"),
        };
        succeed(command)
    }

    fn put_back(&self) -> Result<()> {
        let now = self.now()?;
        for (part, (now, found)) in PARTS.iter().zip(now.iter().zip(&self.found)) {
            if now != found {
                self.replace(part, found.as_deref())?;
            }
        }
        Ok(())
    }

    /// An activator of this side beside the installed one: the same pod, but no Service leads to it, and it ends at once.
    pub(super) fn activator(&self, side: Side) -> Result<Beside<'_>> {
        let mut deployment = self.get(&deployment_path("activator"))?;
        let own = kept(&deployment);
        let template = &mut deployment["spec"]["template"];
        let name = format!("bench-activator-{}", side.name());
        template["metadata"] = json!({"labels": {"app": name}});
        template["spec"]["terminationGracePeriodSeconds"] = json!(1);
        let container = &mut template["spec"]["containers"][0];
        if side == Side::Zeron {
            container["image"] = json!(self.image);
            container["args"] = json!(["activator", "--dialect=knative"]);
            container["command"] = Value::Null;
        } else if let Some(own) = own {
            for field in ["image", "args", "command"] {
                container[field] = own[field].clone();
            }
        }
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
        });
        let api = &self.cluster.api;
        // One of a run that was interrupted.
        api.block_on(api.delete(&deployment_path(&name)))?;
        let pods = format!("{}?labelSelector=app%3D{name}", pods_path());
        let none = |list: &Value| list["items"].as_array()?.is_empty().then_some(());
        api.block_on(api.wait(&pods, "earlier pods are gone", PATIENCE, none))?;
        let beside = Beside {
            installation: self,
            name,
        };
        let collection = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments");
        api.block_on(api.create(&collection, &object))?;
        Ok(beside)
    }

    /// The list of its activators.
    pub(super) fn activators_path(&self) -> String {
        format!("{}?labelSelector=app%3Dactivator", pods_path())
    }

    /// The one ready pod of a Deployment whose label `app` is this.
    pub(super) fn pod(&self, app: &str) -> Result<PartPod> {
        let api = &self.cluster.api;
        let path = format!("{}?labelSelector=app%3D{app}", pods_path());
        let what = format!("{app} has one pod, and it is ready");
        let (uid, ip) = api.block_on(api.wait(&path, &what, PATIENCE, |list| {
            let living = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
            let pods = list["items"].as_array()?;
            let living: Vec<&Value> = pods.iter().filter(living).collect();
            let [pod] = living[..] else { return None };
            let is_ready = crate::measures::cluster::namespace::is_ready(pod);
            let ip: IpAddr = pod["status"]["podIP"].as_str()?.parse().ok()?;
            is_ready.then_some((pod["metadata"]["uid"].as_str()?.to_owned(), ip))
        }))?;
        Ok(PartPod {
            address: SocketAddr::new(ip, 8012),
            pid: process_of_pod(&uid).with_context(|| app.to_owned())?,
        })
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            note(format_args!(
                "Knative's parts are not what they were: {error:#}"
            ));
        }
    }
}

/// The fields of Knative's own container, where `zeron swap` replaced them.
fn kept(deployment: &Value) -> Option<Value> {
    let text = deployment.pointer(REPLACED)?.as_str()?;
    let kept: Value = serde_json::from_str(text).ok()?;
    Some(kept["was"].clone())
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

/// A pod of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartPod {
    /// Where an activator takes HTTP/1.1.
    pub(super) address: SocketAddr,
    pub(super) pid: Pid,
}

/// An activator beside the installed one; it is deleted with this value.
#[derive(Debug)]
pub(super) struct Beside<'i> {
    installation: &'i Installation,
    name: String,
}

impl Beside<'_> {
    /// Its pod, once it is ready.
    pub(super) fn pod(&self) -> Result<PartPod> {
        self.installation.pod(&self.name)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let api = &self.installation.cluster.api;
        if let Err(error) = api.block_on(api.delete(&deployment_path(&self.name))) {
            note(format_args!("{} is left behind: {error:#}", self.name));
        }
    }
}

fn deployment_path(name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
}

fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

/// Makes an image of the binary that is measured, and gives it to the node.
pub(super) fn load_image(bench: &Bench) -> Result<String> {
    let program = bench.zeron_program()?;
    let file = program.metadata()?;
    let mut hasher = DefaultHasher::new();
    (file.len(), file.modified()?).hash(&mut hasher);
    // Another build is another image: no node may run an earlier one.
    let tag = format!("bench-{:x}", hasher.finish());
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("zeron.tar");
    let mut image = xtask()?;
    image.args(["image", "zeron", "--tag", &tag, "--binary"]);
    image.arg(&program).arg("--output").arg(&archive);
    succeed(image)?;
    let mut load = xtask()?;
    load.args(["cluster", "load"]).arg(&archive);
    succeed(load)?;
    Ok(format!("dev.local/zeron:{tag}"))
}

fn xtask() -> Result<Command> {
    let cargo =
        std::env::var_os("CARGO").context("not run by cargo: name an image by --zeron-image")?;
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "xtask", "--"]);
    if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(folder);
    }
    Ok(command)
}

/// Runs a command; what it says is told when it fails.
fn succeed(mut command: Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| name.clone())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{name} failed: {}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(())
}
