//! The parameters of `cron` triggers.

use crate::parameters::Parameter;

pub(super) const TIMEZONE: Parameter = Parameter::text(
    "timezone",
    "whose wall clock, an IANA name such as Europe/Berlin",
)
.required();
pub(super) const START: Parameter = Parameter::text(
    "start",
    "when the window opens: minute, hour, day of month, month, day of week",
)
.required();
pub(super) const END: Parameter =
    Parameter::text("end", "when the window closes; not the same text as start").required();
pub(super) const DESIRED_REPLICAS: Parameter =
    Parameter::integer("desiredReplicas", 1, "replicas while the window is open").required();

/// Of `cron`.
pub(super) const CRON: &[Parameter] = &[TIMEZONE, START, END, DESIRED_REPLICAS];
