//! Failed readings, counted as KEDA counts them.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use zeron_core::metric::UnknownKind;
use zeron_core::policy::{MetricScaling, Scaling};

use super::fakes::{Rig, function, settle};
use super::second;
use crate::testkit::{group, metric};

fn shown(rig: &Rig) -> String {
    let mut registry = Registry::default();
    rig.handle.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

/// The value of the series whose line begins so and has all of these labels.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<String> {
    let line = text.lines().find(|line| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|it| line.contains(it))
    })?;
    Some(line.rsplit_once(' ')?.1.to_owned())
}

#[tokio::test(start_paused = true)]
async fn each_failed_reading_counts_once_for_its_trigger_and_its_object() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(1.0));
    rig.registry
        .answer("t1", Err((UnknownKind::Transport, "broker is gone")));
    let scaling = MetricScaling {
        polling_interval: second(),
        ..metric(2)
    };
    let mut consumer = function("consumer", vec![group(Scaling::Metric(scaling), None)]);
    consumer.scale.groups[0].source.kind = "ScaledObject".to_owned();
    let mut work = consumer.clone();
    work.id = super::fakes::id("work");
    work.scale.groups[0].source.kind = "ScaledJob".to_owned();
    work.scale.groups[0].source.name = "work".to_owned();
    rig.apply(consumer);
    rig.apply(work);
    settle().await;
    let text = shown(&rig);
    let detail =
        |text: &str, labels: &[&str]| value(text, "keda_scaler_detail_errors_total", labels);
    let object = ["type=\"scaledobject\""];
    assert_eq!(
        detail(&text, &[object[0], "kafka-t0"]).as_deref(),
        Some("0"),
        "{text}"
    );
    let failed = detail(&text, &["type=\"scaledjob\"", "triggerIndex=\"1\""]);
    assert_eq!(failed.as_deref(), Some("1"), "{text}");
    let of_object = value(&text, "keda_scaled_object_errors_total", &["scaledObject="]);
    assert_eq!(of_object.as_deref(), Some("1"), "{text}");
    let of_job = value(
        &text,
        "keda_scaled_job_errors_total",
        &["scaledJob=\"work\""],
    );
    assert_eq!(of_job.as_deref(), Some("1"), "{text}");

    // It heals, and what was counted stays.
    tokio::time::sleep(second() * 3).await;
    rig.registry.answer("t1", Ok(1.0));
    tokio::time::sleep(second() * 3).await;
    let before = value(&shown(&rig), "keda_scaled_object_errors_total", &[]);
    tokio::time::sleep(second() * 3).await;
    let after = value(&shown(&rig), "keda_scaled_object_errors_total", &[]);
    let count: u64 = after.as_deref().unwrap().parse().unwrap();
    assert!(count >= 3, "{count}");
    assert_eq!(before, after);
}
