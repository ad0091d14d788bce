//! What will be otherwise under zeron, object by object.

use serde_json::Value;

use super::finding::{Finding, Level};
use super::object::{Kind, Object, ObjectName};
use super::plan::{IsBuiltIn, Request, may_switch_back, scales_interceptors};
use super::survey::{Part, Survey};

/// Sources of a TriggerAuthentication that are not read here.
const UNREAD_SOURCES: [&str; 6] = [
    "awsSecretManager",
    "azureKeyVault",
    "boundServiceAccountToken",
    "gcpSecretManager",
    "oauth2",
    "podIdentity",
];

/// Why objects of requests stay with KEDA.
pub(super) const SHARED_SERVICE: &str = "the interceptors' Service serves all namespaces, and beside \
    a live KEDA zeron routes only what it took over: take the HTTP objects of all namespaces at once";

/// A trigger that means requests which we count ourselves: one of the HTTP add-on's scaler.
pub(super) fn is_http(scaled: &Object) -> bool {
    scaled.list("/spec/triggers").iter().any(is_http_trigger)
}

fn is_http_trigger(trigger: &Value) -> bool {
    let names = |key| trigger["metadata"].get(key).is_some();
    kind(trigger).starts_with("external")
        && (names("httpScaledObject") || names("interceptorRoute"))
}

fn kind(trigger: &Value) -> &str {
    trigger["type"].as_str().unwrap_or_default()
}

/// Why nobody would scale `object` under zeron; `None`: zeron does.
pub(super) fn unscaled(object: &Object, is_built_in: IsBuiltIn<'_>) -> Option<String> {
    match object.kind {
        Kind::ScaledObject | Kind::ScaledJob => {
            let triggers = object.list("/spec/triggers");
            let is_ours = |t: &Value| {
                matches!(kind(t), "cpu" | "memory") || is_http_trigger(t) || is_built_in(kind(t))
            };
            let mut missing: Vec<&str> = triggers
                .iter()
                .filter(|trigger| !is_ours(trigger))
                .map(kind)
                .collect();
            missing.sort_unstable();
            missing.dedup();
            (!missing.is_empty()).then(|| {
                format!(
                    "trigger types that are not built in: {}",
                    missing.join(", ")
                )
            })
        }
        _ => None,
    }
}

/// What differs for `ours`, what becomes of `unscaled`, and what else stands out.
pub(super) fn all(
    survey: &Survey,
    ours: &[&Object],
    unscaled: &[(ObjectName, String)],
    request: &Request,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for object in ours {
        match object.kind {
            Kind::ScaledObject => scaled_object(survey, object, &mut findings),
            Kind::HttpScaledObject | Kind::InterceptorRoute => http(object, &mut findings),
            _ => {}
        }
    }
    for (object, why) in unscaled {
        let fate = if request.is_beside {
            "left to KEDA"
        } else {
            "nobody scales it once KEDA is gone"
        };
        findings.push(Finding::about(
            object.clone(),
            Level::Warning,
            "not-taken",
            format!("{fate}: {why}"),
        ));
    }
    for scaled in survey.of(Kind::ScaledObject) {
        if scales_interceptors(survey, scaled) {
            findings.push(Finding::about(
                scaled.id(),
                Level::Note,
                "interceptors",
                "scales the add-on's own interceptors, which nobody needs any more: not taken over",
            ));
        }
    }
    findings.extend(survey.strays.iter().map(stray));
    findings.extend(elsewhere(survey, request));
    findings.extend(declared_elsewhere(survey));
    findings
}

/// What stands out on the way back.
pub(super) fn handback(survey: &Survey, request: &Request) -> Vec<Finding> {
    let mut findings = Vec::new();
    if survey.parts_of(Part::Operator).next().is_none() {
        findings.push(Finding::general(
            Level::Warning,
            "operator",
            "no Deployment of KEDA's operator was found: start KEDA yourself when the steps \
             before it are done",
        ));
    }
    if !survey.proxies.is_empty() && survey.parts_of(Part::Interceptor).next().is_none() {
        findings.push(Finding::general(
            Level::Warning,
            "interceptors",
            "no Deployment of the add-on's interceptors was found: their Service is given back \
             only when it has ready pods",
        ));
    }
    if !may_switch_back(survey, request) && !survey.proxies.is_empty() {
        findings.push(Finding::general(
            Level::Warning,
            "services",
            "the interceptors' Service serves all namespaces and stays with zeron, which routes \
             no request to objects that were given back: give everything back at once instead",
        ));
    }
    findings.extend(declared_elsewhere(survey));
    findings
}

/// Collects findings about one object.
struct About<'a> {
    object: &'a Object,
    findings: &'a mut Vec<Finding>,
}

impl About<'_> {
    fn say(&mut self, level: Level, topic: &'static str, text: impl Into<String>) {
        let finding = Finding::about(self.object.id(), level, topic, text);
        self.findings.push(finding);
    }

    fn say_if(&mut self, is_so: bool, level: Level, topic: &'static str, text: &str) {
        if is_so {
            self.say(level, topic, text);
        }
    }
}

fn scaled_object(survey: &Survey, scaled: &Object, findings: &mut Vec<Finding>) {
    let about = &mut About {
        object: scaled,
        findings,
    };
    autoscaler(survey, about);
    steps(about);
    triggers(about);
    fallback(about);
    authentication(survey, about);
    if let Some(foreign) = survey.foreign_autoscaler(scaled) {
        let text = format!(
            "{} scales the same target: zeron counts and holds requests, and never writes replicas \
             while it is there",
            foreign.id()
        );
        about.say(Level::Warning, "foreign-autoscaler", text);
    }
    let ready = condition(scaled, "Ready");
    if let Some(ready) = ready.filter(|ready| ready["status"] == "False") {
        let message = ready["message"].as_str().unwrap_or("no message");
        let text = format!("not ready under KEDA either: {message}");
        about.say(Level::Warning, "not-ready", text);
    }
}

fn condition<'a>(object: &'a Object, kind: &str) -> Option<&'a Value> {
    object
        .list("/status/conditions")
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn autoscaler(survey: &Survey, about: &mut About<'_>) {
    let scaled = about.object;
    let has_one = survey.autoscaler_of(scaled).is_some();
    let is_transferred =
        scaled.annotation("scaledobject.keda.sh/transfer-hpa-ownership") == Some("true");
    about.say_if(
        has_one && !is_transferred,
        Level::Differs,
        "no-autoscaler",
        "its HorizontalPodAutoscaler is deleted and none is made: zeron writes the replica count \
         by itself (`zeron why` says its reasons)",
    );
    about.say_if(
        has_one && is_transferred,
        Level::Warning,
        "no-autoscaler",
        "its HorizontalPodAutoscaler was yours before KEDA got it (transfer-hpa-ownership), and is \
         deleted: keep its manifest if you want it back as it was",
    );
    about.say_if(
        scaled.has("/spec/advanced/horizontalPodAutoscalerConfig/name"),
        Level::Note,
        "autoscaler-name",
        "horizontalPodAutoscalerConfig.name has no effect without a HorizontalPodAutoscaler",
    );
    about.say_if(
        scaled
            .annotation("scaledobject.keda.sh/hpa-excluded-labels")
            .is_some(),
        Level::Note,
        "excluded-labels",
        "scaledobject.keda.sh/hpa-excluded-labels has no effect without a HorizontalPodAutoscaler",
    );
}

fn steps(about: &mut About<'_>) {
    let scaled = about.object;
    let behavior = "/spec/advanced/horizontalPodAutoscalerConfig/behavior";
    let has_behavior = scaled.has(behavior);
    about.say_if(
        !scaled.has(&format!("{behavior}/scaleUp")),
        Level::Differs,
        "one-step",
        "scales out in one step to what its triggers ask for, from zero too, and without the \
         HPA's tolerance of 10 % (KEDA: one replica first, then doubled or 4 more every 15 s)",
    );
    about.say_if(
        has_behavior,
        Level::Note,
        "behavior",
        "its behavior is honoured with the same meaning, without a HorizontalPodAutoscaler",
    );
    about.say_if(
        scaled.has("/spec/idleReplicaCount"),
        Level::Note,
        "idle",
        "idleReplicaCount is honoured",
    );
    let is_paused = scaled.annotation("autoscaling.keda.sh/paused").is_some()
        || scaled
            .annotation("autoscaling.keda.sh/paused-replicas")
            .is_some();
    about.say_if(
        is_paused,
        Level::Note,
        "paused",
        "it is paused, and stays paused",
    );
}

fn triggers(about: &mut About<'_>) {
    let scaled = about.object;
    let triggers = scaled.list("/spec/triggers");
    let has_formula = scaled.has("/spec/advanced/scalingModifiers/formula");
    let of_container = |t: &Value| {
        matches!(kind(t), "cpu" | "memory") && t["metadata"].get("containerName").is_some()
    };
    about.say_if(
        has_formula && triggers.iter().any(of_container),
        Level::Differs,
        "formula",
        "its cpu or memory trigger with containerName counts beside the formula (KEDA drops it)",
    );
    about.say_if(
        triggers.iter().any(|t| t["useCachedMetrics"] == true),
        Level::Note,
        "cached-metrics",
        "useCachedMetrics has no effect: each source is asked once, there is one loop",
    );
    about.say_if(
        triggers.iter().any(is_http_trigger),
        Level::Differs,
        "http",
        "its HTTP trigger is counted by zeron's activators; scalerAddress is not dialled",
    );
}

fn fallback(about: &mut About<'_>) {
    let Some(threshold) = about.object.number("/spec/fallback/failureThreshold") else {
        return;
    };
    let text = format!(
        "failures are counted once per poll, so its fallback comes after {} polls (KEDA counts in \
         two loops, which is sooner while replicas run)",
        threshold + 1
    );
    about.say(Level::Differs, "fallback", text);
}

fn authentication(survey: &Survey, about: &mut About<'_>) {
    let scaled = about.object;
    let mut reads_secrets = false;
    for trigger in scaled.list("/spec/triggers") {
        let reference = &trigger["authenticationRef"];
        let Some(name) = reference["name"].as_str() else {
            continue;
        };
        let (kind, namespace) = if reference["kind"] == "ClusterTriggerAuthentication" {
            (Kind::ClusterTriggerAuthentication, "")
        } else {
            (Kind::TriggerAuthentication, scaled.namespace())
        };
        let Some(found) = survey.get(&ObjectName::new(kind, namespace, name)) else {
            let text = format!("its {kind} {name} does not exist: the trigger stays unknown");
            about.say(Level::Warning, "authentication", text);
            continue;
        };
        reads_secrets |= found.has("/spec/secretTargetRef");
        let unread = unread_sources(found);
        if !unread.is_empty() {
            let text = format!(
                "{kind} {name} uses {}, which zeron does not read: the trigger stays unknown and \
                 holds the replica count",
                unread.join(", ")
            );
            about.say(Level::Warning, "authentication", text);
        }
    }
    if reads_secrets {
        let text = format!(
            "reads Secrets, which zeron may do only where it was allowed to: zeron grant {}",
            scaled.namespace()
        );
        about.say(Level::Warning, "secrets", text);
    }
}

fn unread_sources(authentication: &Object) -> Vec<&'static str> {
    let is_used = |source: &&str| {
        authentication.has(&format!("/spec/{source}"))
            && (*source != "podIdentity"
                || authentication
                    .text("/spec/podIdentity/provider")
                    .is_some_and(|provider| provider != "none"))
    };
    UNREAD_SOURCES.into_iter().filter(is_used).collect()
}

fn http(object: &Object, findings: &mut Vec<Finding>) {
    let about = &mut About { object, findings };
    about.say(
        Level::Differs,
        "queue",
        "waiting requests are bounded (10,000 and 64 MiB for a function): beyond that 503 with \
         Retry-After, where the interceptor holds without limit",
    );
    about.say(
        Level::Differs,
        "balance",
        "requests go to pods' own addresses, to the less loaded of two, and never on a connection \
         to a pod that ends",
    );
    let annotation = "httpscaledobject.keda.sh/skip-scaledobject-creation";
    about.say_if(
        object.annotation(annotation) == Some("true"),
        Level::Note,
        "skip",
        "skip-scaledobject-creation is honoured: it routes, and its own ScaledObject scales",
    );
}

fn stray(service: &ObjectName) -> Finding {
    Finding::about(
        service.clone(),
        Level::Warning,
        "other-service",
        "leads requests to interceptors under another name and is not led away: make its callers          use keda-add-ons-http-interceptor-proxy before the interceptors end",
    )
}

/// KEDA serves other namespaces too, and those lose it as well.
fn elsewhere(survey: &Survey, request: &Request) -> Option<Finding> {
    let namespace = request.namespace.as_ref().filter(|_| !request.is_beside)?;
    let mut others: Vec<&str> = survey
        .objects
        .iter()
        .filter(|o| matches!(o.kind, Kind::ScaledObject | Kind::ScaledJob))
        .map(Object::namespace)
        .filter(|other| other != namespace)
        .collect();
    others.sort_unstable();
    others.dedup();
    let text = format!(
        "KEDA's end is everybody's end: objects of other namespaces are not taken over by this \
         ({}); leave --namespace out, or use --beside",
        others.join(", ")
    );
    (!others.is_empty()).then(|| Finding::general(Level::Warning, "other-namespaces", text))
}

/// Somebody writes back what we change.
fn declared_elsewhere(survey: &Survey) -> Vec<Finding> {
    let changed = survey.parts.iter().filter(|o| Part::of(o).is_some());
    changed
        .chain(&survey.proxies)
        .filter_map(|object| {
            let writer = writer(object)?;
            let text = format!(
                "is written by {writer}, which undoes what is changed here: stop it for this \
                 object first, or change its source"
            );
            Some(Finding::about(
                object.id(),
                Level::Warning,
                "declared-elsewhere",
                text,
            ))
        })
        .collect()
}

fn writer(object: &Object) -> Option<&'static str> {
    if object
        .annotation("argocd.argoproj.io/tracking-id")
        .is_some()
        || object.label("argocd.argoproj.io/instance").is_some()
    {
        Some("Argo CD")
    } else if object.label("kustomize.toolkit.fluxcd.io/name").is_some()
        || object.label("helm.toolkit.fluxcd.io/name").is_some()
    {
        Some("Flux")
    } else {
        None
    }
}
