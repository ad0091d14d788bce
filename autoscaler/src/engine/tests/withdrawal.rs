//! Claims about counts of others that come before our own is written.

use zeron_core::function::Protocol;
use zeron_core::policy::{MetricScaling, Scaling};

use super::fakes::{Rig, function};
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
        let mut hello = function("hello", vec![group(Scaling::Metric(scaling), None)]);
        hello.protocol = Protocol::None;
        rig.apply(hello);
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
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_is_withdrawn_when_somebody_elses_count_is_followed() {
    let mut rig = Rig::lowered().await;
    assert_eq!(rig.backend.withdrawn("hello"), 0);
    rig.backend.declare("hello", 5);
    rig.seconds(1).await;
    assert_eq!(rig.backend.withdrawn("hello"), 1);
    // Decided anew, from what is there.
    assert_eq!(rig.backend.asked("hello"), [3, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_count_is_not_followed_while_our_own_is_being_written() {
    let mut rig = Rig::lowered().await;
    rig.backend.write(true);
    rig.backend.declare("hello", 5);
    rig.seconds(10).await;
    assert_eq!(rig.backend.asked("hello"), [3, 1], "it may come about");
    rig.backend.write(false);
    rig.seconds(10).await;
    assert_eq!(rig.backend.asked("hello"), [3, 1, 1], "it did not");
}
