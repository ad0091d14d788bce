//! A ScaledJob is a function of its own, whose work is done by Jobs.

use serde_json::{Value, json};
use zeron_core::FunctionId;
use zeron_core::job::JobStrategy;
use zeron_core::policy::{Scaling, TriggerSource, Writer};

use super::world::{World, job};
use crate::projection::{Declared, KedaLife, ObjectKind, Outcome};

fn declared(world: &World) -> Option<Declared> {
    let id = FunctionId::of("keda.sh/v1alpha1", "ScaledJob", "default", "j");
    world.projection.declared(&id)
}

fn with_spec(field: &str, value: Value, generation: i64) -> Value {
    let mut job = job("j");
    job["spec"][field] = value;
    job["metadata"]["generation"] = json!(generation);
    job
}

#[test]
fn a_scaled_job_becomes_a_function_with_what_its_jobs_are_made_of() {
    let mut world = World::new();
    let mut object = with_spec("failedJobsHistoryLimit", json!(3), 2);
    object["metadata"]["labels"] = json!({ "team": "a", "hidden": "b" });
    object["metadata"]["annotations"] = json!({
        "scaledjob.keda.sh/job-excluded-labels": "hidden, other",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    });
    world.put([object]);
    assert_eq!(*world.outcome(ObjectKind::ScaledJob, "j"), Outcome::Ok);
    let declared = declared(&world).unwrap();
    let scale = &declared.function.scale;
    assert_eq!(scale.jobs.as_ref().unwrap().strategy, JobStrategy::Accurate);
    assert_eq!((scale.groups[0].min, scale.groups[0].max), (0, Some(20)));
    let Scaling::Metric(metric) = &scale.groups[0].scaling else {
        panic!("no metric group")
    };
    let TriggerSource::Scaler(spec) = &metric.triggers[0].source else {
        panic!("no scaler")
    };
    // From the environment of the Job's own pods.
    assert_eq!(spec.metadata["consumerGroup"], "g");
    let made = declared.job.unwrap();
    assert_eq!(
        (made.generation, made.kept_failed, made.kept_succeeded),
        (2, 3, 100)
    );
    assert_eq!(made.labels.keys().collect::<Vec<_>>(), ["team"]);
    assert_eq!(
        made.annotations.keys().collect::<Vec<_>>(),
        ["scaledjob.keda.sh/job-excluded-labels"]
    );
    assert!(made.is_rolled_out_at_once && !made.is_deleted_in_foreground);
    assert_eq!(
        made.spec["template"]["spec"]["containers"][0]["image"],
        "worker"
    );
}

#[test]
fn one_that_breaks_rules_says_all_of_them_and_its_last_good_version_stays() {
    let mut world = World::new();
    world.put([with_spec("minReplicaCount", json!(1), 1)]);
    let mut bad = with_spec("scalingStrategy", json!({ "strategy": "clever" }), 2);
    bad["spec"]["triggers"][0]["metricType"] = json!("Value");
    bad["spec"]["triggers"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "cpu", "metadata": { "value": "50" } }));
    world.put([bad]);
    let Outcome::Invalid {
        problems,
        is_previous_in_force,
    } = world.outcome(ObjectKind::ScaledJob, "j")
    else {
        panic!("it is valid")
    };
    let text = problems.join("\n");
    for field in [
        "spec.scalingStrategy.strategy",
        "spec.triggers[0].metricType",
        "spec.triggers[1].type",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
    assert!(is_previous_in_force);
    let declared = declared(&world).unwrap();
    assert_eq!(declared.function.scale.groups[0].min, 1);
    assert_eq!(declared.job.unwrap().generation, 1, "nothing is rolled out");
}

#[test]
fn a_type_that_is_not_built_in_leaves_it_to_others() {
    let mut world = World::new();
    let triggers = json!([{ "type": "arangodb", "metadata": {} }]);
    world.put([with_spec("triggers", triggers, 1)]);
    let types = vec!["arangodb".to_owned()];
    assert_eq!(
        *world.outcome(ObjectKind::ScaledJob, "j"),
        Outcome::NotBuiltIn { types }
    );
    assert!(declared(&world).is_none());
}

#[test]
fn beside_a_living_keda_only_labelled_ones_are_ours() {
    let mut world = World::new();
    world.projection.set_keda(KedaLife::Alive);
    world.put([job("j")]);
    assert_eq!(
        *world.outcome(ObjectKind::ScaledJob, "j"),
        Outcome::NotManaged
    );
    let mut labelled = job("j");
    labelled["metadata"]["labels"] = json!({ "zeron.dev/manage": "true" });
    world.put([labelled]);
    let declared = declared(&world).unwrap();
    assert_eq!(declared.function.scale.writer, Writer::Zeron);
    assert!(declared.job.unwrap().labels.is_empty());
}

#[test]
fn one_that_is_taken_over_creates_nothing_while_keda_still_does() {
    let mut world = World::new();
    world.projection.set_keda(KedaLife::Alive);
    let mut adopted = job("j");
    adopted["metadata"]["annotations"] = json!({ "zeron.dev/adopted-from": "keda" });
    world.put([adopted]);
    let lent = declared(&world).unwrap();
    assert_eq!(lent.function.scale.writer, Writer::External);
    assert!(lent.job.unwrap().annotations.is_empty());
    world.projection.set_keda(KedaLife::Gone);
    world.take();
    let ours = declared(&world).unwrap();
    assert_eq!(ours.function.scale.writer, Writer::Zeron);
}

#[test]
fn one_that_is_deleted_is_no_function_any_more() {
    let mut world = World::new();
    world.put([job("j")]);
    world.delete([job("j")]);
    assert_eq!(world.removed(), ["default/ScaledJob.keda.sh/j"]);
    assert!(declared(&world).is_none());
}

#[test]
fn a_pause_stops_it_and_keeps_what_it_is() {
    let mut world = World::new();
    let mut paused = job("j");
    paused["metadata"]["annotations"] = json!({ "autoscaling.keda.sh/paused": "true" });
    world.put([paused]);
    assert!(declared(&world).unwrap().function.scale.pause.is_frozen);
}
