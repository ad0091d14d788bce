//! A real Knative Serving for tests: its controller, webhook and queue-proxy, and an activator and an autoscaler that may be
//! its own or ours.
//!
//! `cargo xtask cluster knative install` puts it into the cluster, once. A test says whose parts it is about, and takes them
//! for use beside other tests ([`Knative::get`]) or for itself ([`Knative::alone`]), which it must to replace a part or to
//! change a setting. It then applies a [`Template`] and works with the [`Revision`] that comes of it. No implementation of Knative's Ingresses runs here:
//! requests go to revisions' public Services, with the headers that an ingress sets; for Services and Routes see [`Ingresses`].

mod claims;
mod figures;
mod history;
mod ingress;
mod original;
mod part;
mod revision;
mod settings;
mod template;

use std::fs::File;
use std::sync::Once;
use std::thread;

use crate::broker;
use crate::cluster::{Cluster, xtask};

pub use claims::{Claim, side_by_side};
pub use figures::Figures;
pub use history::History;
pub use ingress::Ingresses;
pub use original::Original;
pub use part::{Part, Side, Without};
pub use revision::{Request, Revision};
pub use settings::Setting;
pub use template::Template;

/// Names the folder of Knative's programs; set, it says that Knative can be installed here.
const PROGRAMS: &str = "ZERON_TEST_KNATIVE";

/// Where its own parts run.
pub const NAMESPACE: &str = "knative-serving";

/// A Knative that serves, for one test.
#[derive(Debug)]
pub struct Knative {
    cluster: &'static Cluster,
    // Held: others change nothing that this test relies on.
    _lock: File,
}

impl Knative {
    /// Knative with an activator and an autoscaler of this side, which this test leaves as they are; `None`, which is reported
    /// as a skip of `test`, where it cannot be had.
    ///
    /// # Panics
    /// When it should be there and cannot be installed.
    pub fn get(test: &str, side: Side) -> Option<Self> {
        let mut knative = Self::locked(test, File::lock_shared)?;
        // Others of this side may be at work: parts are replaced when they are done.
        while !knative.is_all(side) {
            drop(knative);
            drop(Self::alone(test, side)?);
            knative = Self::locked(test, File::lock_shared)?;
        }
        Some(knative)
    }

    /// The same for this test alone: no other test uses Knative, in this process or another, and this one may replace parts
    /// ([`Knative::swap`]) and change settings ([`Knative::configure`]).
    ///
    /// # Panics
    /// As [`Knative::get`].
    pub fn alone(test: &str, side: Side) -> Option<Self> {
        Self::alone_with(test, [side; 2])
    }

    /// The same with an autoscaler of one side and an activator of another, in the order of [`Part::ALL`].
    ///
    /// # Panics
    /// As [`Knative::get`].
    pub fn alone_with(test: &str, sides: [Side; 2]) -> Option<Self> {
        let knative = Self::locked(test, File::lock)?;
        knative.bring(sides);
        Some(knative)
    }

    fn locked(test: &str, lock: impl FnOnce(&File) -> std::io::Result<()>) -> Option<Self> {
        let cluster = Cluster::get(test)?;
        if std::env::var_os(PROGRAMS).is_none() {
            broker::skip(test, &format!("{PROGRAMS} names no build of Knative"));
            return None;
        }
        let Some(state) = cluster.state() else {
            broker::skip(
                test,
                "Knative is installed in clusters of this machine only",
            );
            return None;
        };
        let file = File::create(state.join("knative.lock")).expect("the folder is ours");
        lock(&file).expect("a file can be locked");
        let knative = Self {
            cluster,
            _lock: file,
        };
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            xtask(&["cluster", "knative", "install"]);
            knative.hurry();
        });
        Some(knative)
    }

    fn is_all(&self, side: Side) -> bool {
        Part::ALL
            .into_iter()
            .all(|part| self.side(part) == Some(side))
    }

    /// Makes parts those of these sides, from whatever was left behind; both at once, since nothing runs.
    fn bring(&self, sides: [Side; 2]) {
        let wanted = Part::ALL.into_iter().zip(sides);
        let is_missing = |(part, side): &(Part, Side)| self.side(*part) != Some(*side);
        let missing: Vec<_> = wanted.clone().filter(is_missing).collect();
        if missing.iter().any(|(_, side)| *side == Side::Knatives) {
            self.put_back();
        }
        thread::scope(|scope| {
            for (part, side) in wanted.filter(|it| it.1 == Side::Ours && is_missing(it)) {
                scope.spawn(move || self.swap(part, side));
            }
        });
    }

    /// Makes both parts Knative's own again, whatever was done to them. Only for a test that has Knative for itself.
    ///
    /// # Panics
    /// When they do not get ready.
    pub fn put_back(&self) {
        xtask(&["cluster", "knative", "install", "--put-back"]);
    }

    /// The cluster that it runs in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }
}
