//! The next write on the way into the path of a Service, or out of it. Pure.

use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::activators::ActivatorPod;
use super::annotations::Ports;
use super::observed::{Observed, Refusal};
use super::slices::{SlicePort, SliceSubject, desired_slices, is_same};

/// What a Service's status annotation says when its callers are with the activators.
pub(crate) const ACTIVE: &str = "Active";

/// Between two looks for something that others have to do.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// One write, or a few that belong together.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Writes the allotted ports on it.
    Allot(Ports),
    /// Makes our slices say this.
    WriteSlices(Vec<EndpointSlice>),
    /// Keeps the selector in the annotation and takes it away, in one write.
    TakeSelector,
    /// Deletes Endpoints and slices that led to pods and that nobody keeps up any more.
    DropPlatformSlices(Vec<String>),
    /// Gives the kept selector back.
    GiveSelector,
    /// Deletes our slices.
    DropSlices(Vec<String>),
    /// Takes our marks away.
    Unmark,
    /// Writes the status annotation.
    Say(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// All is as it should be.
    Rest,
    /// Look again after this; what is waited for.
    Wait(Duration, &'static str),
    /// Do this, then look again.
    Do(Step),
}

/// What has to be known besides the Service.
#[derive(Clone, Debug)]
pub struct World<'w> {
    /// Activators that accept on all ports of `ports`.
    pub accepting: Vec<&'w ActivatorPod>,
    /// Whether there are usable activators that do not accept yet.
    pub is_pending: bool,
    /// The ports of the Service, or why it cannot have any.
    pub ports: Result<Ports, Refusal>,
    /// Whether a function is behind it; asked only before the selector is taken.
    pub has_function: bool,
    /// How much longer activators keep the ports of a Service that was led back.
    pub linger: Duration,
}

/// Decides.
pub fn next(seen: &Observed, world: &World<'_>) -> Next {
    if !seen.is_opted {
        return leave(seen, world);
    }
    match refusal(seen, world) {
        Some(refusal) if seen.kept_selector.is_none() => refuse(seen, world, &refusal),
        // It has become headless or the like since: it can stay no longer.
        Some(refusal) if refusal != Refusal::NoFunction => leave_refused(seen, world, &refusal),
        Some(_) | None => enter(seen, world),
    }
}

fn refusal(seen: &Observed, world: &World<'_>) -> Option<Refusal> {
    if let Some(Err(refusal)) = &seen.shape {
        return Some(refusal.clone());
    }
    if seen.effective_selector().is_none() {
        return Some(Refusal::NoSelector);
    }
    if let Err(refusal) = &world.ports {
        return Some(refusal.clone());
    }
    (!world.has_function).then_some(Refusal::NoFunction)
}

fn enter(seen: &Observed, world: &World<'_>) -> Next {
    let Ok(ports) = &world.ports else {
        return Next::Rest;
    };
    if *ports != seen.ports {
        return Next::Do(Step::Allot(ports.clone()));
    }
    if world.accepting.is_empty() {
        // Whatever is in the slices stays: there is nobody better.
        return Next::Wait(
            LOOK_AGAIN,
            "no activator accepts on the ports of this Service yet",
        );
    }
    let wanted = wanted_slices(seen, ports, &world.accepting);
    let are_written = wanted
        .iter()
        .all(|w| seen.ours.iter().any(|f| is_same(f, w)));
    if !are_written || seen.ours.len() != wanted.len() {
        return Next::Do(Step::WriteSlices(wanted));
    }
    if seen.selector.is_some() {
        return Next::Do(Step::TakeSelector);
    }
    if !seen.platform.is_empty() {
        return Next::Do(Step::DropPlatformSlices(names(&seen.platform)));
    }
    if seen.status.as_deref() != Some(ACTIVE) {
        return Next::Do(Step::Say(ACTIVE.to_owned()));
    }
    match world.is_pending {
        true => Next::Wait(LOOK_AGAIN, "an activator does not accept yet"),
        false => Next::Rest,
    }
}

/// Nothing was touched, so nothing is: but half-way in goes back.
fn refuse(seen: &Observed, world: &World<'_>, refusal: &Refusal) -> Next {
    if !seen.ours.is_empty() || !seen.ports.is_empty() {
        return leave(seen, world);
    }
    say_refused(seen, refusal)
}

fn leave_refused(seen: &Observed, world: &World<'_>, refusal: &Refusal) -> Next {
    match leave(seen, world) {
        Next::Rest => say_refused(seen, refusal),
        // The status says why from now on, so it is no mark to take away.
        next => next,
    }
}

fn say_refused(seen: &Observed, refusal: &Refusal) -> Next {
    let status = format!("Refused: {refusal}");
    match seen.status.as_deref() == Some(status.as_str()) {
        true => Next::Rest,
        false => Next::Do(Step::Say(status)),
    }
}

fn leave(seen: &Observed, world: &World<'_>) -> Next {
    if !seen.is_marked() {
        return Next::Rest;
    }
    if seen.selector.is_none() && seen.kept_selector.is_some() {
        return Next::Do(Step::GiveSelector);
    }
    if !seen.ours.is_empty() {
        return match seen.selector.is_some() && seen.platform.is_empty() {
            true => Next::Wait(
                LOOK_AGAIN,
                "the platform has written no slices of the pods yet",
            ),
            false => Next::Do(Step::DropSlices(names(&seen.ours))),
        };
    }
    if seen.ports.is_empty() && seen.kept_selector.is_none() {
        return match seen.is_opted {
            true => Next::Rest,
            false => Next::Do(Step::Unmark),
        };
    }
    match world.linger.is_zero() || seen.kept_selector.is_none() {
        true => Next::Do(Step::Unmark),
        false => Next::Wait(
            world.linger,
            "callers may still be on their way to activators",
        ),
    }
}

fn wanted_slices(
    seen: &Observed,
    ports: &Ports,
    activators: &[&ActivatorPod],
) -> Vec<EndpointSlice> {
    let subject = SliceSubject {
        namespace: &seen.namespace,
        name: &seen.name,
        uid: &seen.uid,
        families: &seen.families,
    };
    let slice_port = |port: &super::observed::ServicePort| {
        Some(SlicePort {
            name: port.name.clone(),
            port: *ports.get(&port.number)?,
            app_protocol: port.app_protocol.clone(),
        })
    };
    let shape = seen.shape.iter().flatten().flatten();
    let slice_ports: Vec<SlicePort> = shape.filter_map(slice_port).collect();
    desired_slices(&subject, &slice_ports, activators)
}

fn names(slices: &[EndpointSlice]) -> Vec<String> {
    let name = |slice: &EndpointSlice| slice.metadata.name.clone();
    slices.iter().filter_map(name).collect()
}
