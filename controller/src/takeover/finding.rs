//! What a person should know before a take-over: differences, dangers, reasons to stop.

use std::fmt;

use super::object::ObjectName;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It works as before, or better; good to know.
    Note,
    /// It will behave otherwise.
    Differs,
    /// Something is lost or goes wrong unless somebody acts.
    Warning,
}

impl Level {
    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Differs => "differs",
            Self::Warning => "warning",
        }
    }
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// About this object; `None`: about the cluster.
    pub object: Option<ObjectName>,
    /// How much it matters.
    pub level: Level,
    /// What it is about, in one or two words that stay the same.
    pub topic: &'static str,
    /// In a sentence.
    pub text: String,
}

impl Finding {
    /// About `object`.
    pub fn about(
        object: ObjectName,
        level: Level,
        topic: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self {
            object: Some(object),
            level,
            topic,
            text: text.into(),
        }
    }

    /// About the cluster.
    pub fn general(level: Level, topic: &'static str, text: impl Into<String>) -> Self {
        Self {
            object: None,
            level,
            topic,
            text: text.into(),
        }
    }
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No autoscaler of ours would decide.
    NoAutoscaler,
    /// Nobody would scale these any more, for the reasons given.
    Unscaled(Vec<(ObjectName, String)>),
    /// KEDA would go on acting on labelled objects.
    NotExcluded(ObjectName),
    /// A Service cannot be given back: nobody knows its selector.
    SelectorLost(ObjectName),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAutoscaler => f.write_str(
                "no running zeron autoscaler holds the leases zeron-autoscaler-NN-of-N: install \
                 zeron and wait until `zeron check` is content",
            ),
            Self::Unscaled(objects) => {
                f.write_str("nobody would scale these once KEDA is gone:")?;
                for (object, why) in objects {
                    write!(f, "\n  {object}: {why}")?;
                }
                f.write_str(
                    "\nleave them to KEDA and take the others with --beside, or go on without \
                     them with --accept-unscaled",
                )
            }
            Self::NotExcluded(deployment) => write!(
                f,
                "KEDA would go on acting on the labelled objects: kubectl -n {} set env \
                 deployment/{} WATCH_LABEL_SELECTOR='zeron.dev/manage notin (true)'",
                deployment.namespace, deployment.name
            ),
            Self::SelectorLost(service) => write!(
                f,
                "{service} has neither a selector nor the annotation zeron.dev/selector: apply \
                 the add-on's manifest of it first"
            ),
        }
    }
}
