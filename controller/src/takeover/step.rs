//! One thing to do, or to wait for, on the way from KEDA or back to it.

use std::fmt;

use super::object::ObjectName;
use super::survey::Part;

/// Whose objects they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// KEDA.
    Keda,
    /// KEDA's HTTP add-on.
    HttpAddOn,
}

impl Origin {
    /// As it is written into annotations and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keda => "keda",
            Self::HttpAddOn => "http-add-on",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One step. Each may be done again, and does nothing where it is done already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Marks an object as taken over; with `is_labelled` also as ours beside a live KEDA.
    Adopt {
        /// Which.
        object: ObjectName,
        /// Whose it was.
        origin: Origin,
        /// Beside a live KEDA.
        is_labelled: bool,
    },
    /// Scales a Deployment of theirs to 0 and remembers its count.
    Stop {
        /// Which.
        deployment: ObjectName,
        /// What it does.
        part: Part,
        /// How many it has now.
        replicas: u64,
    },
    /// Waits until nobody holds a lease of theirs.
    AwaitGone {
        /// Which.
        lease: ObjectName,
        /// The Deployment to scale to 0, if it was found.
        deployment: Option<ObjectName>,
    },
    /// Deletes the HorizontalPodAutoscaler of an object that is ours now; its pods stay.
    Release {
        /// Which.
        autoscaler: ObjectName,
        /// Only this very one.
        uid: Option<String>,
        /// Whose it is.
        scaled: ObjectName,
    },
    /// Wakes functions at zero for which interceptors hold requests.
    WakeHeld {
        /// Deployment of the interceptors.
        interceptor: ObjectName,
    },
    /// Leads a Service of the interceptors to our activators.
    Switch {
        /// Which.
        service: ObjectName,
    },
    /// Waits until interceptors have no request in flight.
    AwaitDrained {
        /// Deployment of the interceptors.
        interceptor: ObjectName,
    },
    /// Waits until our autoscaler has written the object's status.
    AwaitManaged {
        /// Which.
        object: ObjectName,
    },
    /// Keeps our writers from taking replicas away; requests go on being routed, held and answered.
    Hold {
        /// Which.
        object: ObjectName,
    },
    /// Scales a Deployment of theirs back to what it had.
    Start {
        /// Which.
        deployment: ObjectName,
        /// What it does.
        part: Part,
        /// How many it had.
        replicas: u64,
    },
    /// Waits until a Deployment of theirs is available.
    AwaitReady {
        /// Which.
        deployment: ObjectName,
    },
    /// Gives a Service back to the interceptors.
    SwitchBack {
        /// Which.
        service: ObjectName,
    },
    /// Gives Services that have opted in to the activators their pods back.
    ReturnServices {
        /// Only those of this namespace.
        namespace: Option<String>,
    },
    /// Waits until no request waits for a replica at our activators.
    AwaitAnswered {
        /// Only those for functions of this namespace.
        namespace: Option<String>,
    },
    /// Takes all our marks off an object and leaves it alone from now on.
    GiveBack {
        /// Which.
        object: ObjectName,
    },
    /// Waits until KEDA holds its lease.
    AwaitKeda {
        /// The Deployment to scale up, if it was found.
        deployment: Option<ObjectName>,
    },
    /// Waits until KEDA has made the HorizontalPodAutoscaler of a ScaledObject.
    AwaitAutoscaler {
        /// Whose.
        scaled: ObjectName,
    },
}

impl Step {
    /// Whether it changes anything.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Adopt { .. }
            | Self::Stop { .. }
            | Self::Release { .. }
            | Self::WakeHeld { .. }
            | Self::Switch { .. }
            | Self::Hold { .. }
            | Self::Start { .. }
            | Self::SwitchBack { .. }
            | Self::ReturnServices { .. }
            | Self::GiveBack { .. } => true,
            Self::AwaitGone { .. }
            | Self::AwaitDrained { .. }
            | Self::AwaitManaged { .. }
            | Self::AwaitReady { .. }
            | Self::AwaitAnswered { .. }
            | Self::AwaitKeda { .. }
            | Self::AwaitAutoscaler { .. } => false,
        }
    }

    /// The object that it is about.
    pub fn object(&self) -> Option<&ObjectName> {
        match self {
            Self::Adopt { object, .. }
            | Self::AwaitManaged { object }
            | Self::Hold { object }
            | Self::GiveBack { object } => Some(object),
            Self::Stop { deployment, .. }
            | Self::Start { deployment, .. }
            | Self::AwaitReady { deployment } => Some(deployment),
            Self::AwaitGone { lease, .. } => Some(lease),
            Self::Release { autoscaler, .. } => Some(autoscaler),
            Self::WakeHeld { interceptor } | Self::AwaitDrained { interceptor } => {
                Some(interceptor)
            }
            Self::Switch { service } | Self::SwitchBack { service } => Some(service),
            Self::AwaitKeda { deployment } => deployment.as_ref(),
            Self::ReturnServices { .. } | Self::AwaitAnswered { .. } => None,
            Self::AwaitAutoscaler { scaled } => Some(scaled),
        }
    }
}

/// In words, as an order.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adopt {
                object,
                is_labelled: false,
                ..
            } => write!(f, "mark {object} as taken over"),
            Self::Adopt { object, .. } => write!(f, "label {object} as ours"),
            Self::Stop {
                deployment,
                replicas,
                ..
            } => write!(f, "scale {deployment} from {replicas} to 0"),
            Self::AwaitGone { lease, deployment } => {
                write!(f, "wait until nobody holds {lease}")?;
                deployment
                    .as_ref()
                    .map_or(Ok(()), |d| write!(f, " ({d} has to be at 0)"))
            }
            Self::Release {
                autoscaler, scaled, ..
            } => write!(
                f,
                "delete {autoscaler} of {scaled}; replicas stay as they are"
            ),
            Self::WakeHeld { .. } => {
                f.write_str("wake functions at zero for which interceptors hold requests")
            }
            Self::Switch { service } => write!(f, "lead {service} to zeron's activators"),
            Self::AwaitDrained { interceptor } => {
                write!(f, "wait until {interceptor} has no request in flight")
            }
            Self::AwaitManaged { object } => {
                write!(f, "wait until zeron has written the status of {object}")
            }
            Self::Hold { object } => write!(f, "take no replica of {object} away any more"),
            Self::Start {
                deployment,
                replicas,
                ..
            } => write!(f, "scale {deployment} to {replicas}"),
            Self::AwaitReady { deployment } => write!(f, "wait until {deployment} is available"),
            Self::SwitchBack { service } => write!(f, "give {service} its own pods back"),
            Self::ReturnServices { .. } => {
                f.write_str("give Services with zeron.dev/activator their own pods back")
            }
            Self::AwaitAnswered { .. } => {
                f.write_str("wait until no request waits at zeron's activators")
            }
            Self::GiveBack { object } => write!(f, "give {object} back"),
            Self::AwaitKeda { .. } => f.write_str("wait until KEDA holds its lease"),
            Self::AwaitAutoscaler { scaled } => {
                write!(f, "wait for KEDA's HorizontalPodAutoscaler of {scaled}")
            }
        }
    }
}
