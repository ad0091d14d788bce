//! The two parts that can be Knative's or ours.

use serde_json::{Value, json};

use super::{Knative, NAMESPACE};
use crate::cluster::Program;

const LEASE: &str = "coordination.k8s.io/v1/Lease";
/// The one bucket that the autoscalers share.
const BUCKET: &str = "autoscaler-bucket-00-of-01";
const DEPLOYMENT: &str = "apps/v1/Deployment";

/// How images of Knative's own parts begin.
const OWN: &str = "kind.local/knative-";

/// A part that can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Takes requests of revisions without pods, or with too few.
    Activator,
    /// Decides how many pods a revision has.
    Autoscaler,
}

/// Whose a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This build's.
    Ours,
    /// Knative's own.
    Knatives,
}

impl Part {
    /// Both, in the order in which they are replaced where nothing else is said.
    pub const ALL: [Self; 2] = [Self::Autoscaler, Self::Activator];

    /// Its Deployment's name, and its pods' label `app`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activator => "activator",
            Self::Autoscaler => "autoscaler",
        }
    }
}

impl Knative {
    /// The pods of a part that are not on their way out.
    pub fn pods(&self, part: Part) -> Vec<Value> {
        let labels = format!("app={}", part.name());
        let mut pods = self.cluster.list_in(Some(NAMESPACE), "v1/Pod", &labels);
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// The name of the autoscaler's pod that leads; `None` while nobody does.
    pub fn leader(&self) -> Option<String> {
        let lease = self.cluster.get_in(Some(NAMESPACE), LEASE, BUCKET)?;
        let (name, _) = lease["spec"]["holderIdentity"].as_str()?.split_once('_')?;
        Some(name.to_owned())
    }

    /// Whose a part is now; `None`: somebody else's, such as an earlier build's.
    pub fn side(&self, part: Part) -> Option<Side> {
        let found = self
            .cluster
            .get_in(Some(NAMESPACE), DEPLOYMENT, part.name())?;
        let image = &found["spec"]["template"]["spec"]["containers"][0]["image"];
        let own = format!("{OWN}{}:", part.name());
        match image.as_str()? {
            image if image.starts_with(&own) => Some(Side::Knatives),
            image if image == self.cluster.image(Program::Zeron) => Some(Side::Ours),
            _ => None,
        }
    }

    /// `zeron swap knative PART`: replaces a part, or puts Knative's own back, and waits until that is done. Only for a test
    /// that has Knative for itself.
    ///
    /// # Panics
    /// When it fails.
    pub fn swap(&self, part: Part, side: Side) {
        let kubeconfig = self.cluster.kubeconfig().to_str().expect("a plain name");
        let mut arguments = vec!["swap", "knative", part.name(), "--kubeconfig", kubeconfig];
        match side {
            Side::Ours => arguments.extend(["--image", self.cluster.image(Program::Zeron)]),
            Side::Knatives => arguments.push("--back"),
        }
        let output = crate::command(&arguments, |_| ());
        let said = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(0), "{}: {said}", arguments.join(" "));
        self.wait_rolled_out(part);
        assert_eq!(self.side(part), Some(side), "{said}");
    }

    /// Replaces every pod of a part by a new one of the same, in turn, and waits until that is done.
    ///
    /// # Panics
    /// After a minute.
    pub fn roll(&self, part: Part) {
        let before: Vec<Value> = self.pods(part).iter().map(name).collect();
        let annotations = json!({ "zeron.dev/rolled-after": before });
        let annotations = json!({ "zeron.dev/rolled-after": annotations.to_string() });
        let template = json!({ "metadata": { "annotations": annotations } });
        let patch = json!({ "spec": { "template": template } });
        self.cluster
            .patch_in(Some(NAMESPACE), DEPLOYMENT, part.name(), None, &patch);
        self.wait_rolled_out(part);
    }

    /// Gives a part so many replicas; what is left of it, or comes, is not waited for. Only for a test that has Knative for
    /// itself, and puts it back.
    ///
    /// # Panics
    /// When it is refused.
    pub fn scale(&self, part: Part, replicas: u32) {
        let patch = json!({ "spec": { "replicas": replicas } });
        self.cluster
            .patch_in(Some(NAMESPACE), DEPLOYMENT, part.name(), None, &patch);
    }

    /// Waits until all pods that a part shall have are ready and none of an earlier version is left, but those on their way
    /// out.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_rolled_out(&self, part: Part) {
        let what = "to be rolled out";
        self.cluster
            .wait_in(Some(NAMESPACE), DEPLOYMENT, part.name(), what, |object| {
                let (spec, status) = (&object["spec"], &object["status"]);
                let is_all = |field: &str| status[field] == spec["replicas"];
                let is_seen = status["observedGeneration"] == object["metadata"]["generation"];
                (is_seen
                    && is_all("replicas")
                    && is_all("updatedReplicas")
                    && is_all("availableReplicas"))
                .then_some(())
            });
    }
}

/// Knative without one of its parts. It gets the part back when this is dropped.
#[derive(Debug)]
pub struct Without<'k> {
    knative: &'k Knative,
    part: Part,
}

impl Knative {
    /// Takes every replica of a part away, and waits until they are on their way out. Only for a test that has Knative for
    /// itself.
    ///
    /// # Panics
    /// After half a minute.
    pub fn without(&self, part: Part) -> Without<'_> {
        let without = Without {
            knative: self,
            part,
        };
        self.scale(part, 0);
        crate::until("none of it to be left", || {
            self.pods(part).is_empty().then_some(())
        });
        without
    }
}

impl Drop for Without<'_> {
    fn drop(&mut self) {
        self.knative.scale(self.part, 1);
        // A test that failed says why.
        if !std::thread::panicking() {
            self.knative.wait_rolled_out(self.part);
        }
    }
}

fn name(pod: &Value) -> Value {
    pod["metadata"]["name"].clone()
}
