//! From what was found to what has to be done: pure, so that every order can be tested.

use super::difference;
use super::finding::{Finding, Refusal};
use super::object::{Kind, Object, ObjectName};
use super::removal;
use super::step::{Origin, Step};
use super::survey::{
    Part, Survey, has_begun_to_switch, is_adopted, is_given_back, is_labelled, replicas, target,
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose objects.
    pub origin: Origin,
    /// Only those of this namespace.
    pub namespace: Option<String>,
    /// KEDA lives on and keeps what is not labelled as ours.
    pub is_beside: bool,
    /// Their Deployments may be scaled by us.
    pub scales_parts: bool,
    /// Go on although nobody will scale some objects.
    pub accepts_unscaled: bool,
    /// The survey watched the leases: what only seems to be alive does not count.
    pub is_proof_needed: bool,
}

/// What will be done, and what a person should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to know, object by object.
    pub findings: Vec<Finding>,
    /// Why nothing is done.
    pub refusals: Vec<Refusal>,
    /// What is left to do, in order.
    pub steps: Vec<Step>,
}

/// Which trigger types are built in.
pub type IsBuiltIn<'a> = &'a dyn Fn(&str) -> bool;

/// The take-over of KEDA's objects. What is done already is not in the plan, so that one that
/// was cut short goes on where it was.
pub fn import(survey: &Survey, request: &Request, is_built_in: IsBuiltIn<'_>) -> Plan {
    let scope = Scope::new(survey, request);
    let mut unscaled = Vec::new();
    let mut ours = Vec::new();
    let takes_requests = may_switch(survey, request);
    for object in scope.objects() {
        if is_of_requests(object) && !takes_requests {
            unscaled.push((object.id(), difference::SHARED_SERVICE.to_owned()));
            continue;
        }
        match difference::unscaled(object, is_built_in) {
            Some(why) => unscaled.push((object.id(), why)),
            None => ours.push(object),
        }
    }
    let mut findings = difference::all(survey, &ours, &unscaled, request);
    findings.extend(removal::all(survey));
    let mut refusals = Vec::new();
    if !survey.are_shards_held(request.is_proof_needed) {
        refusals.push(Refusal::NoAutoscaler);
    }
    if !unscaled.is_empty() && !request.is_beside && !request.accepts_unscaled {
        refusals.push(Refusal::Unscaled(unscaled));
    }
    if request.is_beside {
        refusals.extend(not_excluded(survey));
    }
    let steps = Import {
        survey,
        request,
        scope: &scope,
        ours: &ours,
    }
    .steps();
    Plan {
        findings,
        refusals,
        steps,
    }
}

/// The way back.
pub fn handback(survey: &Survey, request: &Request) -> Plan {
    let scope = Scope::new(survey, request);
    let lost = survey.proxies.iter().filter(|service| {
        scope.has_http && !service.has("/spec/selector") && !has_begun_to_switch(service)
    });
    let refusals = lost
        .map(|service| Refusal::SelectorLost(service.id()))
        .collect();
    Plan {
        findings: difference::handback(survey, request),
        refusals,
        steps: Handback {
            survey,
            request,
            scope: &scope,
        }
        .steps(),
    }
}

/// Which objects are meant.
struct Scope<'a> {
    survey: &'a Survey,
    request: &'a Request,
    /// The HTTP add-on's objects are part of it: they are scaled through KEDA, so they come along.
    has_http: bool,
}

impl<'a> Scope<'a> {
    fn new(survey: &'a Survey, request: &'a Request) -> Self {
        let has_objects = survey
            .objects
            .iter()
            .any(|o| matches!(o.kind, Kind::HttpScaledObject | Kind::InterceptorRoute));
        Self {
            survey,
            request,
            has_http: request.origin == Origin::HttpAddOn
                || has_objects
                || !survey.proxies.is_empty(),
        }
    }

    /// All objects that decide about replicas or routes and are meant.
    fn objects(&self) -> impl Iterator<Item = &'a Object> {
        let (survey, request) = (self.survey, self.request);
        survey.objects.iter().filter(move |object| {
            let is_kind = match object.kind {
                Kind::HttpScaledObject | Kind::InterceptorRoute => true,
                Kind::ScaledJob => request.origin == Origin::Keda,
                Kind::ScaledObject => {
                    (request.origin == Origin::Keda || difference::is_http(object))
                        && !scales_interceptors(survey, object)
                }
                _ => false,
            };
            let is_here = |namespace: &String| object.namespace() == namespace;
            is_kind && !object.is_deleting() && request.namespace.as_ref().is_none_or(is_here)
        })
    }
}

/// The HTTP add-on's own ScaledObject for its interceptors.
pub(super) fn scales_interceptors(survey: &Survey, scaled: &Object) -> bool {
    let (kind, name) = target(scaled);
    kind == "Deployment"
        && survey
            .parts_of(Part::Interceptor)
            .any(|part| part.namespace() == scaled.namespace() && part.name() == name)
}

/// Whose an object was.
fn origin(object: &Object) -> Origin {
    match object.kind {
        Kind::HttpScaledObject | Kind::InterceptorRoute => Origin::HttpAddOn,
        _ => Origin::Keda,
    }
}

/// An object of the HTTP add-on, or one that its requests scale.
fn is_of_requests(object: &Object) -> bool {
    matches!(object.kind, Kind::HttpScaledObject | Kind::InterceptorRoute)
        || object.kind == Kind::ScaledObject && difference::is_http(object)
}

/// Whether the interceptors' Service may be led to us: it serves all namespaces, and beside a live
/// KEDA we route for what we took over alone.
pub(super) fn may_switch(survey: &Survey, request: &Request) -> bool {
    let is_left = |object: &Object| {
        is_of_requests(object)
            && !is_adopted(object)
            && request
                .namespace
                .as_deref()
                .is_some_and(|namespace| object.namespace() != namespace)
    };
    !request.is_beside || !survey.objects.iter().any(is_left)
}

/// Whether it may be given back: nothing that we took over and keep is behind it.
pub(super) fn may_switch_back(survey: &Survey, request: &Request) -> bool {
    let is_kept = |object: &Object| {
        is_of_requests(object)
            && is_adopted(object)
            && request
                .namespace
                .as_deref()
                .is_some_and(|namespace| object.namespace() != namespace)
    };
    !survey.objects.iter().any(is_kept)
}

struct Import<'a> {
    survey: &'a Survey,
    request: &'a Request,
    scope: &'a Scope<'a>,
    ours: &'a [&'a Object],
}

impl Import<'_> {
    /// Marks come first, while KEDA still works; from its end to the last of the releases nobody
    /// scales, so that part is short. A Service is led to us only when our routes work.
    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = self.adoptions().collect();
        if !self.request.is_beside {
            steps.extend(self.stops());
            steps.extend(self.waits());
        }
        steps.extend(self.releases());
        let scaled = self.ours.iter().filter(|o| o.kind == Kind::ScaledObject);
        steps.extend(scaled.map(|object| Step::AwaitManaged {
            object: object.id(),
        }));
        if self.scope.has_http && may_switch(self.survey, self.request) {
            steps.extend(self.switches());
        }
        steps
    }

    fn adoptions(&self) -> impl Iterator<Item = Step> {
        let is_beside = self.request.is_beside;
        self.ours
            .iter()
            .filter(move |object| {
                !is_adopted(object) || is_given_back(object) || is_beside && !is_labelled(object)
            })
            .map(move |object| Step::Adopt {
                object: object.id(),
                origin: origin(object),
                is_labelled: is_beside,
            })
    }

    fn stops(&self) -> impl Iterator<Item = Step> {
        let parts = [Part::HttpOperator, Part::HttpScaler, Part::Operator];
        let wanted = parts.into_iter().filter(|part| {
            self.request.scales_parts && (*part == Part::Operator || self.scope.has_http)
        });
        wanted.flat_map(|part| stop(self.survey, part))
    }

    fn waits(&self) -> impl Iterator<Item = Step> {
        let living = self
            .survey
            .leases
            .iter()
            .filter(|(_, life)| !life.is_over());
        living.map(|(lease, _)| Step::AwaitGone {
            lease: lease.clone(),
            deployment: holder_of(self.survey, lease),
        })
    }

    fn releases(&self) -> impl Iterator<Item = Step> {
        let scaled = self.ours.iter().filter(|o| o.kind == Kind::ScaledObject);
        scaled.filter_map(|scaled| {
            let autoscaler = self.survey.autoscaler_of(scaled)?;
            Some(Step::Release {
                autoscaler: autoscaler.id(),
                uid: autoscaler.uid().map(str::to_owned),
                scaled: scaled.id(),
            })
        })
    }

    fn switches(&self) -> Vec<Step> {
        let interceptors: Vec<&Object> = self.survey.parts_of(Part::Interceptor).collect();
        let running = || interceptors.iter().filter(|part| replicas(part) > 0);
        let mut steps: Vec<Step> = running()
            .map(|part| Step::WakeHeld {
                interceptor: part.id(),
            })
            .collect();
        let proxies = self.survey.proxies.iter();
        let proxies = proxies.filter(|service| !self.survey.is_switched(service));
        steps.extend(proxies.map(|service| Step::Switch {
            service: service.id(),
        }));
        for part in running() {
            let interceptor = part.id();
            steps.push(Step::AwaitDrained { interceptor });
        }
        if self.request.scales_parts && !self.request.is_beside {
            steps.extend(stop(self.survey, Part::Interceptor));
        }
        steps
    }
}

struct Handback<'a> {
    survey: &'a Survey,
    request: &'a Request,
    scope: &'a Scope<'a>,
}

impl Handback<'_> {
    /// Our writers stop scaling in first: nobody counts what is at interceptors. They wake what waits
    /// until the end. Services go back before our routes go away, and KEDA comes last: while it lives,
    /// what is not labelled is no longer ours.
    fn steps(&self) -> Vec<Step> {
        let objects: Vec<&Object> = self.scope.objects().filter(|o| !is_given_back(o)).collect();
        let held = objects.iter().map(|o| Step::Hold { object: o.id() });
        let mut steps: Vec<Step> = held.collect();
        if self.scope.has_http && may_switch_back(self.survey, self.request) {
            for part in [Part::Interceptor, Part::HttpScaler, Part::HttpOperator] {
                steps.extend(self.start(part));
            }
            let proxies = self.survey.proxies.iter();
            let proxies = proxies.filter(|service| has_begun_to_switch(service));
            steps.extend(proxies.map(|service| Step::SwitchBack {
                service: service.id(),
            }));
        }
        steps.push(Step::ReturnServices {
            namespace: self.request.namespace.clone(),
        });
        if self.may_hold_requests(&objects) {
            steps.push(Step::AwaitAnswered {
                namespace: self.request.namespace.clone(),
            });
        }
        steps.extend(objects.iter().map(|o| Step::GiveBack { object: o.id() }));
        steps.extend(self.start(Part::Operator));
        let deployment = self.survey.parts_of(Part::Operator).next().map(Object::id);
        steps.push(Step::AwaitKeda { deployment });
        steps.extend(self.autoscalers());
        steps
    }

    /// Whether requests for any of the functions come to our activators: they have to be asked then.
    fn may_hold_requests(&self, objects: &[&Object]) -> bool {
        let namespace = self.request.namespace.as_ref();
        let is_here = |service: &ObjectName| namespace.is_none_or(|it| service.namespace == *it);
        let is_opted = || self.survey.opted.iter().any(is_here);
        objects.iter().any(|object| is_of_requests(object)) || !objects.is_empty() && is_opted()
    }

    fn start(&self, part: Part) -> Vec<Step> {
        let mut steps = Vec::new();
        for deployment in self.survey.parts_of(part) {
            if replicas(deployment) == 0 && self.request.scales_parts {
                steps.push(Step::Start {
                    deployment: deployment.id(),
                    part,
                    replicas: before(deployment),
                });
            }
            let deployment = deployment.id();
            steps.push(Step::AwaitReady { deployment });
        }
        steps
    }

    /// KEDA makes none for a paused object.
    fn autoscalers(&self) -> impl Iterator<Item = Step> {
        let scaled = self.scope.objects().filter(|object| {
            object.kind == Kind::ScaledObject
                && object.annotation("autoscaling.keda.sh/paused").is_none()
                && object
                    .annotation("autoscaling.keda.sh/paused-replicas")
                    .is_none()
        });
        scaled.map(|scaled| Step::AwaitAutoscaler {
            scaled: scaled.id(),
        })
    }
}

/// The replicas that a stopped Deployment had.
fn before(deployment: &Object) -> u64 {
    let count = deployment.annotation(super::marks::REPLICAS_BEFORE);
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn stop(survey: &Survey, part: Part) -> impl Iterator<Item = Step> {
    let running = survey.parts_of(part).filter(|d| replicas(d) > 0);
    running.map(move |deployment| Step::Stop {
        deployment: deployment.id(),
        part,
        replicas: replicas(deployment),
    })
}

/// The Deployment whose pods hold `lease`.
fn holder_of(survey: &Survey, lease: &ObjectName) -> Option<ObjectName> {
    let part = if lease.name == super::marks::KEDA_LEASE {
        Part::Operator
    } else {
        Part::HttpOperator
    };
    survey
        .parts_of(part)
        .map(Object::id)
        .find(|deployment| deployment.namespace == lease.namespace)
}

/// KEDA's operators that do not leave labelled objects alone.
fn not_excluded(survey: &Survey) -> impl Iterator<Item = Refusal> {
    let acting = survey.parts_of(Part::Operator).filter(|deployment| {
        replicas(deployment) > 0 && !excludes_ours(environment(deployment, "WATCH_LABEL_SELECTOR"))
    });
    acting.map(|deployment| Refusal::NotExcluded(deployment.id()))
}

fn environment<'a>(deployment: &'a Object, name: &str) -> Option<&'a str> {
    deployment
        .list("/spec/template/spec/containers")
        .iter()
        .flat_map(|container| container["env"].as_array().into_iter().flatten())
        .find(|variable| variable["name"] == name)
        .and_then(|variable| variable["value"].as_str())
}

/// Whether a label selector cannot match an object with our label. KEDA does not parse `!=`.
fn excludes_ours(selector: Option<&str>) -> bool {
    let text: String = selector
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    ["!zeron.dev/manage", "zeron.dev/managenotin(true)"]
        .iter()
        .any(|excluding| text.contains(excluding))
}
