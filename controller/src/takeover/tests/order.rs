//! What is done when, and that it can be cut short anywhere.

use super::world::{held, import, kafka, object, perform, renewed, request, survey};
use crate::takeover::{
    Kind, Life, ObjectName, Origin, Part, Plan, Refusal, Request, Step, Survey, handback,
};
use serde_json::json;

fn position(plan: &Plan, is_it: impl Fn(&Step) -> bool) -> usize {
    let found = plan.steps.iter().position(is_it);
    found.unwrap_or_else(|| panic!("no such step in {:#?}", plan.steps))
}

fn last(plan: &Plan, is_it: impl Fn(&Step) -> bool) -> usize {
    plan.steps.iter().rposition(is_it).unwrap()
}

fn run(survey: &mut Survey, plan: &Plan) {
    for step in &plan.steps {
        perform(survey, step);
    }
}

#[test]
fn autoscalers_are_deleted_only_after_keda_is_gone() {
    let plan = import(&survey(), &request());
    let gone = last(&plan, |s| matches!(s, Step::AwaitGone { .. }));
    assert!(gone < position(&plan, |s| matches!(s, Step::Release { .. })));
    assert!(plan.refusals.is_empty());
}

#[test]
fn objects_are_marked_before_anything_stops() {
    let plan = import(&survey(), &request());
    let marked = last(&plan, |s| matches!(s, Step::Adopt { .. }));
    assert!(marked < position(&plan, |s| matches!(s, Step::Stop { .. })));
}

#[test]
fn the_proxy_is_led_to_us_after_all_objects_are_ours() {
    let plan = import(&survey(), &request());
    let released = last(&plan, |s| matches!(s, Step::Release { .. }));
    let switched = position(&plan, |s| matches!(s, Step::Switch { .. }));
    let drained = position(&plan, |s| matches!(s, Step::AwaitDrained { .. }));
    let is_interceptor = |s: &Step| {
        matches!(
            s,
            Step::Stop {
                part: Part::Interceptor,
                ..
            }
        )
    };
    assert!(released < switched);
    assert!(switched < drained);
    assert!(drained < position(&plan, is_interceptor));
}

#[test]
fn what_interceptors_hold_is_woken_before_the_proxy_is_led_away() {
    let plan = import(&survey(), &request());
    let woken = position(&plan, |s| matches!(s, Step::WakeHeld { .. }));
    assert!(woken < position(&plan, |s| matches!(s, Step::Switch { .. })));
}

#[test]
fn without_leave_no_deployment_of_theirs_is_scaled() {
    let request = Request {
        scales_parts: false,
        ..request()
    };
    let plan = import(&survey(), &request);
    assert!(!plan.steps.iter().any(|s| matches!(s, Step::Stop { .. })));
    let waits = plan.steps.iter().filter_map(|s| match s {
        Step::AwaitGone { deployment, .. } => deployment.as_ref(),
        _ => None,
    });
    let names: Vec<&str> = waits.map(|d| d.name.as_str()).collect();
    assert_eq!(
        names,
        ["keda-operator", "keda-add-ons-http-controller-manager"]
    );
}

#[test]
fn an_import_cut_short_anywhere_goes_on_to_the_same_end() {
    let plan = import(&survey(), &request());
    let mut whole = survey();
    run(&mut whole, &plan);
    for cut in 0..=plan.steps.len() {
        let mut cluster = survey();
        for step in &plan.steps[..cut] {
            perform(&mut cluster, step);
        }
        let rest = import(&cluster, &request());
        assert!(rest.refusals.is_empty());
        run(&mut cluster, &rest);
        assert_eq!(cluster.objects, whole.objects, "cut after {cut}");
        assert_eq!(cluster.autoscalers, whole.autoscalers, "cut after {cut}");
        assert_eq!(cluster.proxies, whole.proxies, "cut after {cut}");
        assert_eq!(cluster.parts, whole.parts, "cut after {cut}");
    }
}

#[test]
fn a_finished_import_leaves_nothing_to_write() {
    let mut cluster = survey();
    let plan = import(&cluster, &request());
    run(&mut cluster, &plan);
    let again = import(&cluster, &request());
    let writes: Vec<&Step> = again.steps.iter().filter(|s| s.is_write()).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn there_and_back_leaves_parts_services_and_autoscalers_as_they_were() {
    let before = survey();
    let mut cluster = survey();
    let there = import(&cluster, &request());
    run(&mut cluster, &there);
    let back = handback(&cluster, &request());
    run(&mut cluster, &back);
    for (now, then) in cluster.parts.iter().zip(&before.parts) {
        assert_eq!(now.number("/spec/replicas"), then.number("/spec/replicas"));
    }
    for (now, then) in cluster.proxies.iter().zip(&before.proxies) {
        assert_eq!(now.value["spec"], then.value["spec"]);
    }
    assert_eq!(cluster.autoscalers, before.autoscalers);
    assert_eq!(cluster.leases[0].1, renewed());
}

#[test]
fn handing_back_stops_our_writers_first_and_starts_keda_last() {
    let mut cluster = survey();
    let there = import(&cluster, &request());
    run(&mut cluster, &there);
    let plan = handback(&cluster, &request());
    let held = last(&plan, |s| matches!(s, Step::Hold { .. }));
    let proxy = position(&plan, |s| matches!(s, Step::SwitchBack { .. }));
    let given = position(&plan, |s| matches!(s, Step::GiveBack { .. }));
    let is_operator = |s: &Step| {
        matches!(
            s,
            Step::Start {
                part: Part::Operator,
                ..
            }
        )
    };
    let keda = position(&plan, is_operator);
    let answered = position(&plan, |s| matches!(s, Step::AwaitAnswered { .. }));
    assert!(
        held < proxy,
        "a request counted by nobody must not cost its replica"
    );
    assert!(
        proxy < given,
        "no route may go away under a Service that leads to us"
    );
    assert!(
        proxy < answered && answered < given,
        "what waits at us is answered before our routes go"
    );
    assert!(given < keda, "never two writers");
}

#[test]
fn a_handback_cut_short_anywhere_goes_on_to_the_same_end() {
    let mut ours = survey();
    let there = import(&ours, &request());
    run(&mut ours, &there);
    let plan = handback(&ours, &request());
    let mut whole = ours.clone();
    run(&mut whole, &plan);
    for cut in 0..=plan.steps.len() {
        let mut cluster = ours.clone();
        for step in &plan.steps[..cut] {
            perform(&mut cluster, step);
        }
        let rest = handback(&cluster, &request());
        run(&mut cluster, &rest);
        assert_eq!(cluster.objects, whole.objects, "cut after {cut}");
        assert_eq!(cluster.proxies, whole.proxies, "cut after {cut}");
        assert_eq!(cluster.parts, whole.parts, "cut after {cut}");
    }
}

#[test]
fn an_import_after_a_handback_takes_everything_again() {
    let mut cluster = survey();
    let there = import(&cluster, &request());
    run(&mut cluster, &there);
    let back = handback(&cluster, &request());
    run(&mut cluster, &back);
    let again = import(&cluster, &request());
    let adopted = again
        .steps
        .iter()
        .filter(|s| matches!(s, Step::Adopt { .. }));
    assert_eq!(adopted.count(), 3);
}

#[test]
fn without_an_autoscaler_of_ours_nothing_is_planned_to_happen() {
    let mut cluster = survey();
    cluster.shards[1].1 = Life::Stale {
        holder: "gone".to_owned(),
    };
    assert_eq!(
        import(&cluster, &request()).refusals,
        [Refusal::NoAutoscaler]
    );
    cluster.shards.clear();
    assert_eq!(
        import(&cluster, &request()).refusals,
        [Refusal::NoAutoscaler]
    );
}

#[test]
fn activators_are_asked_what_waits_only_where_requests_come_to_them() {
    let of_shop = Request {
        namespace: Some("shop".to_owned()),
        ..request()
    };
    let asks = |cluster: &Survey| {
        let steps = handback(cluster, &of_shop).steps;
        steps
            .iter()
            .any(|s| matches!(s, Step::AwaitAnswered { .. }))
    };
    let mut cluster = survey();
    assert!(asks(&cluster), "of an HTTPScaledObject");
    cluster.objects = vec![kafka("orders")];
    assert!(!asks(&cluster), "there is nothing but events");
    cluster.opted = vec![ObjectName::new(Kind::Service, "bank", "orders")];
    assert!(!asks(&cluster), "another namespace");
    cluster.opted[0].namespace = "shop".to_owned();
    assert!(asks(&cluster), "its Service has opted in");
}

#[test]
fn a_lease_that_only_seems_held_is_no_proof() {
    let mut cluster = survey();
    cluster.shards[0].1 = held();
    assert_eq!(
        import(&cluster, &request()).refusals,
        [Refusal::NoAutoscaler]
    );
    let looking = Request {
        is_proof_needed: false,
        ..request()
    };
    assert!(import(&cluster, &looking).refusals.is_empty());
}

#[test]
fn objects_that_nobody_would_scale_are_a_refusal_unless_accepted() {
    let mut cluster = survey();
    cluster.objects.push(super::world::scaled_object(
        "mail",
        &json!([{ "type": "rabbitmq", "metadata": {} }]),
    ));
    let plan = import(&cluster, &request());
    let [Refusal::Unscaled(objects)] = plan.refusals.as_slice() else {
        panic!("{:?}", plan.refusals)
    };
    assert!(objects[0].1.contains("rabbitmq"));
    let accepting = Request {
        accepts_unscaled: true,
        ..request()
    };
    let plan = import(&cluster, &accepting);
    assert!(plan.refusals.is_empty());
    let is_mail = |s: &Step| s.object().is_some_and(|o| o.name == "mail");
    assert!(!plan.steps.iter().any(is_mail));
}

#[test]
fn beside_a_live_keda_objects_are_labelled_and_keda_must_exclude_them() {
    let beside = Request {
        is_beside: true,
        ..request()
    };
    let mut cluster = survey();
    let operator = ObjectName::new(Kind::Deployment, "keda", "keda-operator");
    assert_eq!(
        import(&cluster, &beside).refusals,
        [Refusal::NotExcluded(operator)]
    );
    let env = json!([{ "name": "WATCH_LABEL_SELECTOR", "value": "zeron.dev/manage notin (true)" }]);
    cluster.parts[0].value["spec"]["template"] =
        json!({ "spec": { "containers": [{ "env": env }] } });
    let plan = import(&cluster, &beside);
    assert!(plan.refusals.is_empty());
    assert!(
        !plan
            .steps
            .iter()
            .any(|s| matches!(s, Step::Stop { .. } | Step::AwaitGone { .. }))
    );
    let labelled = |s: &Step| {
        matches!(
            s,
            Step::Adopt {
                is_labelled: true,
                ..
            }
        )
    };
    assert_eq!(plan.steps.iter().filter(|s| labelled(s)).count(), 3);
    run(&mut cluster, &plan);
    assert!(!import(&cluster, &beside).steps.iter().any(|s| matches!(
        s,
        Step::Adopt { .. } | Step::Release { .. } | Step::Switch { .. }
    )));
}

#[test]
fn beside_keda_the_proxy_is_led_to_us_only_with_all_that_is_behind_it() {
    let mut cluster = survey();
    let mut other = object(Kind::HttpScaledObject, "bank", "other", json!({}));
    other.value["metadata"]["namespace"] = json!("bank");
    cluster.objects.push(other);
    let request = Request {
        is_beside: true,
        namespace: Some("shop".to_owned()),
        ..request()
    };
    let plan = import(&cluster, &request);
    let names = |plan: &Plan| -> Vec<String> {
        let adopted = plan
            .steps
            .iter()
            .filter(|s| matches!(s, Step::Adopt { .. }));
        adopted
            .filter_map(|s| s.object().map(|o| o.name.clone()))
            .collect()
    };
    assert_eq!(names(&plan), ["orders"]);
    assert!(!plan.steps.iter().any(|s| matches!(s, Step::Switch { .. })));
    let all = Request {
        namespace: None,
        ..request
    };
    let plan = import(&cluster, &all);
    assert_eq!(names(&plan), ["orders", "web", "web", "other"]);
    position(&plan, |s| matches!(s, Step::Switch { .. }));
}

#[test]
fn the_proxy_stays_ours_while_another_namespace_needs_it() {
    let mut cluster = survey();
    cluster
        .objects
        .push(object(Kind::HttpScaledObject, "bank", "other", json!({})));
    let there = import(&cluster, &request());
    run(&mut cluster, &there);
    let one = Request {
        namespace: Some("shop".to_owned()),
        ..request()
    };
    let plan = handback(&cluster, &one);
    assert!(
        !plan
            .steps
            .iter()
            .any(|s| matches!(s, Step::SwitchBack { .. }))
    );
    assert!(plan.findings.iter().any(|f| f.topic == "services"));
}

#[test]
fn one_namespace_alone_is_possible_and_says_what_it_means_for_others() {
    let mut cluster = survey();
    let mut other = kafka("elsewhere");
    other.value["metadata"]["namespace"] = json!("bank");
    cluster.objects.push(other);
    let plan = import(
        &cluster,
        &Request {
            namespace: Some("shop".to_owned()),
            ..request()
        },
    );
    assert!(
        !plan
            .steps
            .iter()
            .any(|s| s.object().is_some_and(|o| o.namespace == "bank"))
    );
    let warned = plan
        .findings
        .iter()
        .find(|f| f.topic == "other-namespaces")
        .unwrap();
    assert!(warned.text.contains("bank"));
}

#[test]
fn the_add_on_alone_takes_its_routes_and_what_they_scale() {
    let plan = import(
        &survey(),
        &Request {
            origin: Origin::HttpAddOn,
            ..request()
        },
    );
    let adopted: Vec<&str> = plan
        .steps
        .iter()
        .filter(|s| matches!(s, Step::Adopt { .. }))
        .filter_map(|s| s.object().map(|o| o.name.as_str()))
        .collect();
    assert_eq!(adopted, ["web", "web"]);
}

#[test]
fn the_add_ons_own_scaled_object_is_left_alone() {
    let mut cluster = survey();
    cluster.objects.push(object(
        Kind::ScaledObject,
        "keda",
        "keda-add-ons-http-interceptor",
        json!({ "spec": {
            "scaleTargetRef": { "name": "keda-add-ons-http-interceptor" },
            "triggers": [{ "type": "external", "metadata": { "interceptorTargetPendingRequests": "200" } }],
        } }),
    ));
    let plan = import(&cluster, &request());
    assert!(plan.refusals.is_empty());
    let is_it = |s: &Step| {
        s.object()
            .is_some_and(|o| o.kind == Kind::ScaledObject && o.namespace == "keda")
    };
    assert!(!plan.steps.iter().any(is_it));
}

#[test]
fn a_service_that_still_leads_to_its_old_pods_is_led_away_again() {
    let mut cluster = survey();
    let plan = import(&cluster, &request());
    run(&mut cluster, &plan);
    cluster.leftovers.push(cluster.proxies[0].id());
    let again = import(&cluster, &request());
    position(&again, |s| matches!(s, Step::Switch { .. }));
}

#[test]
fn a_service_whose_selector_came_back_but_whose_mark_did_not_go_is_still_given_back() {
    let mut cluster = survey();
    let plan = import(&cluster, &request());
    run(&mut cluster, &plan);
    cluster.proxies[0].value["spec"]["selector"] = json!({ "app": "interceptor" });
    position(&handback(&cluster, &request()), |s| {
        matches!(s, Step::SwitchBack { .. })
    });
}

#[test]
fn a_service_whose_selector_nobody_knows_is_a_refusal() {
    let mut cluster = survey();
    cluster.proxies[0].value["spec"] = json!({});
    let plan = handback(&cluster, &request());
    assert!(matches!(
        plan.refusals.as_slice(),
        [Refusal::SelectorLost(_)]
    ));
}
