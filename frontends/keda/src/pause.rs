//! `autoscaling.keda.sh/*` annotations.

use zeron_core::policy::Pause;
use zeron_manifest::{Header, Scope};

const PREFIX: &str = "autoscaling.keda.sh/";

/// What the annotations of a ScaledObject say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) pause: Pause,
    pub(crate) is_forced_active: bool,
}

/// Annotations of KEDA that concern its HPA, which does not exist here.
const WITHOUT_EFFECT: [&str; 2] = [
    "scaledobject.keda.sh/transfer-hpa-ownership",
    "scaledobject.keda.sh/hpa-excluded-labels",
];

pub(crate) fn read(scope: &Scope<'_>, header: &Header) -> Annotations {
    let annotations = &header.meta.annotations;
    let get = |name: &str| annotations.get(&format!("{PREFIX}{name}"));
    // As in KEDA, what is no boolean counts as true.
    let flag = |name: &str| get(name).is_some_and(|value| !is_false(value));
    let at = get("paused-replicas").and_then(|value| {
        let replicas = value
            .parse::<i32>()
            .ok()
            .and_then(|n| u32::try_from(n).ok());
        if replicas.is_none() {
            let path = format!("metadata.annotations[{PREFIX}paused-replicas]");
            // Its presence alone pauses.
            scope.partial(
                &path,
                format!("{value:?}: must be an integer of at least 0"),
            );
        }
        replicas
    });
    report_others(scope, header);
    Annotations {
        pause: Pause {
            is_frozen: flag("paused") || (at.is_none() && get("paused-replicas").is_some()),
            at,
            scale_in: flag("paused-scale-in"),
            scale_out: flag("paused-scale-out"),
        },
        is_forced_active: flag("force-activation"),
    }
}

/// Whether `paused` is said.
pub(crate) fn is_frozen(header: &Header) -> bool {
    let value = header.meta.annotations.get(&format!("{PREFIX}paused"));
    value.is_some_and(|value| !is_false(value))
}

fn is_false(value: &str) -> bool {
    matches!(value, "false" | "False" | "FALSE" | "f" | "F" | "0")
}

fn report_others(scope: &Scope<'_>, header: &Header) {
    let known = [
        "paused",
        "paused-replicas",
        "paused-scale-in",
        "paused-scale-out",
        "force-activation",
    ];
    for key in header.meta.annotations.keys() {
        let path = format!("metadata.annotations[{key}]");
        if WITHOUT_EFFECT.contains(&key.as_str()) {
            scope.without_effect(
                &path,
                "is not supported here and has no effect: there is no HPA",
            );
        } else if key
            .strip_prefix(PREFIX)
            .is_some_and(|name| !known.contains(&name))
        {
            scope.without_effect(&path, "unknown annotation");
        }
    }
}
