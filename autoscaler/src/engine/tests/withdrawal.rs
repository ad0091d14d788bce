//! Claims about counts of others that come before our own is written.

use zeron_core::policy::{MetricScaling, Scaling};

use super::fakes::{Rig, function, id};
use super::second;
use crate::testkit::{group, metric};

impl Rig {
    /// Asked for one replica, after three: the back end has not written it.
    async fn lowered() -> Self {
        let mut rig = Self::start();
        rig.registry.answer("t0", Ok(30.0));
        let scaling = MetricScaling {
            polling_interval: second(),
            ..metric(1)
        };
        rig.apply(function(
            "hello",
            vec![group(Scaling::Metric(scaling), None)],
        ));
        rig.seconds(1).await;
        rig.backend.declare("hello", 3);
        rig.registry.answer("t0", Ok(10.0));
        rig.seconds(400).await;
        assert_eq!(rig.backend.asked("hello"), [3, 1]);
        rig
    }

    async fn seconds(&mut self, seconds: u32) {
        for _ in 0..seconds {
            tokio::time::sleep(second()).await;
            self.silence().await;
        }
    }

    fn desired(&self) -> u32 {
        self.handle.status(&id("hello")).unwrap().desired
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_is_withdrawn_when_somebody_elses_count_is_followed() {
    let mut rig = Rig::lowered().await;
    assert_eq!(rig.backend.withdrawn("hello"), 0);
    rig.backend.declare("hello", 5);
    rig.seconds(1).await;
    assert_eq!((rig.desired(), rig.backend.withdrawn("hello")), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn a_count_is_not_followed_while_our_own_is_being_written() {
    let mut rig = Rig::lowered().await;
    rig.backend.write(true);
    rig.backend.declare("hello", 5);
    rig.seconds(1).await;
    assert_eq!(rig.desired(), 1, "it may come about");
    rig.backend.write(false);
    rig.seconds(16).await;
    assert_eq!(rig.desired(), 5, "it did not");
}
