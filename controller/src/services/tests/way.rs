//! The way in and out on a model of the cluster: killed anywhere, callers always reach somebody.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use crate::services::annotations::{ACTIVATOR, ADOPTED_FROM, HANDED_BACK, PORTS, SELECTOR, STATUS};
use crate::services::observed::{Observed, Refusal};
use crate::services::plan::{Next, Step, World, next};
use crate::services::watched::WatchedService;
use crate::services::{ActivatorPod, Ledger};

/// A Service with its slices, the platform's controllers, and readers that follow both.
struct Model {
    service: Value,
    ours: Vec<EndpointSlice>,
    platform: Vec<EndpointSlice>,
    ledger: Ledger,
    since_led_back: Duration,
    has_function: bool,
    activators: Vec<ActivatorPod>,
}

fn platform_slice() -> EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web-abcde",
            "labels": {
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.9.9.9"] }],
        "ports": [{ "name": "", "port": 8080 }],
    }))
    .unwrap()
}

pub(super) fn activator(number: u8) -> ActivatorPod {
    ActivatorPod {
        name: format!("activator-{number}"),
        uid: format!("uid-{number}"),
        node: Some("node".to_owned()),
        addresses: vec![format!("10.0.0.{number}").parse().unwrap()],
        is_ready: true,
        is_ending: false,
    }
}

impl Model {
    fn new() -> Self {
        Self::of(&json!({
            "clusterIP": "10.96.0.1", "ipFamilies": ["IPv4"], "selector": { "app": "web" },
            "ports": [{ "port": 80, "targetPort": 8080, "protocol": "TCP" }],
        }))
    }

    fn of(spec: &Value) -> Self {
        Self {
            service: json!({
                "metadata": {
                    "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1",
                    "annotations": { ACTIVATOR: "true" },
                },
                "spec": spec,
            }),
            ours: Vec::new(),
            platform: vec![platform_slice()],
            ledger: Ledger::default(),
            since_led_back: Duration::ZERO,
            has_function: true,
            activators: vec![activator(1), activator(2)],
        }
    }

    fn annotate(&mut self, key: &str, value: Option<&str>) {
        self.service["metadata"]["annotations"][key] = json!(value);
        let annotations = self.service["metadata"]["annotations"].as_object_mut();
        annotations.unwrap().retain(|_, value| !value.is_null());
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.service["metadata"]["annotations"][key].as_str()
    }

    fn selector(&self) -> &Value {
        &self.service["spec"]["selector"]
    }

    fn observe(&self) -> Observed {
        let service: Service = serde_json::from_value(self.service.clone()).unwrap();
        let slices = self.ours.iter().chain(&self.platform).cloned();
        Observed::new(&WatchedService::from(service), slices.collect())
    }

    fn next(&mut self) -> Next {
        let seen = self.observe();
        let ports = self.ledger.settle("u", &seen.wanted_ports(), &seen.ports);
        let world = World {
            accepting: self.activators.iter().collect(),
            is_pending: false,
            ports: ports.map_err(Refusal::NoPortLeft),
            has_function: self.has_function,
            linger: Duration::from_secs(10).saturating_sub(self.since_led_back),
        };
        next(&seen, &world)
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Allot(ports) => {
                let text = crate::services::annotations::format_ports(&ports);
                self.annotate(PORTS, Some(&text));
            }
            Step::WriteSlices(slices) => self.ours = slices,
            Step::TakeSelector => {
                let kept = self.selector().to_string();
                self.annotate(SELECTOR, Some(&kept));
                self.service["spec"]["selector"] = Value::Null;
            }
            Step::DropPlatformSlices(_) => self.platform.clear(),
            Step::GiveSelector => {
                let kept = self.annotation(SELECTOR).unwrap().to_owned();
                self.service["spec"]["selector"] = serde_json::from_str(&kept).unwrap();
            }
            Step::DropSlices(_) => self.ours.clear(),
            Step::Unmark => [PORTS, SELECTOR, STATUS]
                .into_iter()
                .for_each(|key| self.annotate(key, None)),
            Step::Say(status) => self.annotate(STATUS, Some(&status)),
        }
    }

    /// Kubernetes' controllers write slices for Services with a selector, and leave others alone.
    fn platform_acts(&mut self) {
        if !self.selector().is_null() && self.platform.is_empty() {
            self.platform.push(platform_slice());
        }
    }

    /// Some slice has endpoints; and where ours has, activators know the port.
    fn is_reachable(&self) -> bool {
        let has = |slices: &[EndpointSlice]| slices.iter().any(|s| !s.endpoints.is_empty());
        let is_routed = self.annotation(PORTS).is_some();
        has(&self.platform) || (has(&self.ours) && is_routed)
    }

    /// Goes on until nothing is left to do; `is_lazy`: the platform acts only when it is waited for.
    fn settle(&mut self, is_lazy: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..30 {
            match self.next() {
                Next::Rest => return steps,
                Next::Wait(_, _) => {
                    self.platform_acts();
                    self.since_led_back += Duration::from_secs(5);
                }
                Next::Do(step) => {
                    self.perform(step.clone());
                    assert!(self.is_reachable(), "nobody is reached after {step:?}");
                    steps.push(step);
                }
            }
            if !is_lazy {
                self.platform_acts();
            }
        }
        panic!("never at rest: {steps:?}");
    }
}

#[test]
fn a_service_that_opts_in_leads_to_the_activators_alone() {
    let mut model = Model::new();
    model.settle(false);
    assert!(model.selector().is_null());
    assert_eq!(model.annotation(SELECTOR), Some(r#"{"app":"web"}"#));
    assert_eq!(model.annotation(STATUS), Some("Active"));
    assert_eq!(model.annotation(PORTS), Some("80=20000"));
    assert!(model.platform.is_empty());
    let endpoints = &model.ours[0].endpoints;
    assert_eq!(endpoints.len(), 2);
    assert_eq!(model.ours[0].ports.as_ref().unwrap()[0].port, Some(20_000));
}

#[test]
fn the_way_in_ends_with_the_selector_and_the_way_out_begins_with_it() {
    let mut model = Model::new();
    let position = |steps: &[Step], wanted: &Step| steps.iter().position(|s| s == wanted).unwrap();
    let inwards = model.settle(false);
    let slices = |s: &Step| matches!(s, Step::WriteSlices(_));
    assert!(inwards.iter().position(slices).unwrap() < position(&inwards, &Step::TakeSelector));
    model.annotate(ACTIVATOR, None);
    let outwards = model.settle(false);
    assert_eq!(position(&outwards, &Step::GiveSelector), 0);
    assert_eq!(outwards.last(), Some(&Step::Unmark));
}

#[test]
fn going_back_leaves_the_service_as_it_was() {
    let mut model = Model::new();
    let mut before = model.service.clone();
    model.settle(true);
    model.annotate(ACTIVATOR, None);
    model.settle(true);
    before["metadata"]["annotations"] = json!({});
    assert_eq!(model.service, before);
    assert!(model.ours.is_empty());
}

#[test]
fn handing_back_is_the_same_way_and_the_opt_in_has_no_effect_any_more() {
    let mut model = Model::new();
    model.settle(false);
    model.annotate(HANDED_BACK, Some("true"));
    model.settle(false);
    assert_eq!(model.selector(), &json!({ "app": "web" }));
    assert!(model.annotation(PORTS).is_none());
}

/// A decision needs nothing but what is in the cluster, so a kill is a change of mind at any step.
#[test]
fn killed_or_changed_at_any_step_callers_are_always_reached() {
    for kill in 0..12 {
        for lazy in [false, true] {
            let mut model = Model::new();
            for _ in 0..kill {
                match model.next() {
                    Next::Do(step) => model.perform(step),
                    Next::Wait(_, _) | Next::Rest => model.platform_acts(),
                }
                assert!(model.is_reachable());
            }
            // The next controller allots by the annotations alone.
            model.ledger = Ledger::default();
            model.annotate(ACTIVATOR, None);
            model.settle(lazy);
            model.annotate(ACTIVATOR, Some("true"));
            model.settle(lazy);
            assert_eq!(model.annotation(STATUS), Some("Active"));
        }
    }
}

#[test]
fn a_selector_that_somebody_applies_again_is_the_one_that_counts() {
    let mut model = Model::new();
    model.settle(false);
    model.service["spec"]["selector"] = json!({ "app": "newer" });
    model.platform_acts();
    model.settle(false);
    assert!(model.selector().is_null());
    assert_eq!(model.annotation(SELECTOR), Some(r#"{"app":"newer"}"#));
}

#[test]
fn activators_that_come_and_go_change_the_slices_and_nothing_else() {
    let mut model = Model::new();
    model.settle(false);
    model.activators.remove(0);
    let steps = model.settle(false);
    assert!(matches!(&steps[..], [Step::WriteSlices(_)]));
    assert_eq!(model.ours[0].endpoints.len(), 1);
}

#[test]
fn without_an_activator_that_accepts_the_selector_stays() {
    let mut model = Model::new();
    model.activators.clear();
    assert!(matches!(model.next(), Next::Do(Step::Allot(_))));
    let Next::Do(step) = model.next() else {
        panic!()
    };
    model.perform(step);
    assert!(matches!(model.next(), Next::Wait(_, _)));
}

#[test]
fn the_same_activators_write_nothing_again() {
    let mut model = Model::new();
    model.settle(false);
    assert_eq!(model.next(), Next::Rest);
}

fn refused(spec: &Value) -> (Model, String) {
    let mut model = Model::of(spec);
    let before = model.service["spec"].clone();
    let steps = model.settle(false);
    assert!(matches!(&steps[..], [Step::Say(_)]), "{steps:?}");
    assert_eq!(model.service["spec"], before);
    let status = model.annotation(STATUS).unwrap().to_owned();
    (model, status)
}

#[test]
fn services_that_cannot_lead_to_activators_are_told_why_and_not_touched() {
    let port = json!([{ "port": 80 }]);
    let app = json!({ "app": "web" });
    let cases = [
        (
            json!({ "clusterIP": "None", "selector": app, "ports": port }),
            "headless",
        ),
        (
            json!({ "type": "ExternalName", "externalName": "x.y" }),
            "ExternalName",
        ),
        (
            json!({ "clusterIP": "1.1.1.1", "ports": port }),
            "no selector",
        ),
        (
            json!({ "selector": app, "ports": [{ "port": 53, "protocol": "UDP" }] }),
            "not TCP",
        ),
        (
            json!({ "selector": app, "ports": [{ "port": 80 }, { "port": 9090 }] }),
            "ports 80 and 9090 lead to different ports",
        ),
    ];
    for (spec, why) in cases {
        let (_, status) = refused(&spec);
        assert!(
            status.starts_with("Refused: ") && status.contains(why),
            "{status}"
        );
    }
}

#[test]
fn a_service_without_a_function_is_told_so_until_there_is_one() {
    let mut model = Model::new();
    model.has_function = false;
    let steps = model.settle(false);
    assert!(matches!(&steps[..], [Step::Say(_)]));
    assert!(model.annotation(STATUS).unwrap().contains("no function"));
    model.has_function = true;
    model.settle(false);
    assert_eq!(model.annotation(STATUS), Some("Active"));
}

#[test]
fn a_function_that_goes_away_does_not_move_its_service() {
    let mut model = Model::new();
    model.settle(false);
    model.has_function = false;
    assert_eq!(model.next(), Next::Rest);
}

#[test]
fn a_service_that_gets_a_second_pod_port_goes_back_to_its_pods() {
    let mut model = Model::new();
    model.settle(false);
    model.service["spec"]["ports"] = json!([{ "port": 80, "targetPort": 8080 }, { "port": 81 }]);
    model.settle(false);
    assert_eq!(model.selector(), &json!({ "app": "web" }));
    assert!(model.annotation(STATUS).unwrap().starts_with("Refused: "));
    assert!(model.ours.is_empty());
}

#[test]
fn both_address_families_have_a_slice() {
    let mut model = Model::new();
    model.service["spec"]["ipFamilies"] = json!(["IPv4", "IPv6"]);
    model.activators[0]
        .addresses
        .push("fd00::1".parse().unwrap());
    model.settle(false);
    let endpoints: BTreeMap<&str, usize> = model
        .ours
        .iter()
        .map(|s| (s.address_type.as_str(), s.endpoints.len()))
        .collect();
    assert_eq!(endpoints, BTreeMap::from([("IPv4", 2), ("IPv6", 1)]));
}

#[test]
fn a_watched_service_without_marks_keeps_next_to_nothing() {
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "a", "annotations": { "x": "y" }, "labels": { "a": "b" } },
        "spec": { "selector": { "app": "x" } },
    }))
    .unwrap();
    let watched = WatchedService::from(service);
    assert!(!watched.is_marked());
    assert!(watched.annotations().is_empty());
}

#[test]
fn a_service_that_a_take_over_leads_is_left_to_the_aliases() {
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "proxy", "annotations": {
            SELECTOR: r#"{"app":"interceptor"}"#, ADOPTED_FROM: "http-add-on",
        } },
        "spec": { "ports": [{ "port": 8080 }] },
    }))
    .unwrap();
    assert!(!WatchedService::from(service).is_marked());
}
