//! A RabbitMQ trigger as its parameters declare it.

use std::fmt;
use std::time::Duration;

use zeron_core::metric::MetricReading;
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::TriggerProblem;

use super::escaping;
use super::formula::{Figures, Mode, Operation};
use super::host::{Host, Protocol};
use super::table;
use crate::parameters::{Parameter, Parameters};
use crate::tls::{self, TlsSettings};

/// What KEDA measures where neither mode nor value is given.
const DEFAULT_VALUE: f64 = 20.0;
/// Names of queues are short strings of AMQP.
const MAX_NAME_BYTES: usize = 255;
/// The management API refuses larger pages.
const LARGEST_PAGE: u64 = 500;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Login {
    /// Nobody: the management API is asked without credentials.
    Anonymous,
    /// A user with a password.
    Password { user: Secret, password: Secret },
    /// Whoever the client certificate names (SASL EXTERNAL).
    Certificate,
}

/// A server and the credentials for it: triggers of equal keys share their client.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SourceKey {
    pub(super) protocol: Protocol,
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) tls: Option<TlsSettings>,
    pub(super) login: Login,
    /// A connection of AMQP is one to a virtual host; the management API serves all of them.
    pub(super) connection_vhost: Option<String>,
    /// Where the management API begins.
    pub(super) prefix: String,
}

impl SourceKey {
    /// Host and port: what messages say of it.
    pub(super) fn shown(&self) -> String {
        match self.name.contains(':') {
            true => format!("rabbitmq/[{}]:{}", self.name, self.port),
            false => format!("rabbitmq/{}:{}", self.name, self.port),
        }
    }
}

/// Shows no credentials.
impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceKey({})", self.shown())
    }
}

/// Which queues.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The queue of this name.
    Queue(String),
    /// All queues that an expression matches, on one page of the management API.
    Expression {
        expression: String,
        page_size: u64,
        operation: Operation,
    },
}

/// A RabbitMQ trigger as its parameters declare it.
#[derive(Clone, Debug)]
pub(super) struct RabbitTrigger {
    pub(super) source: SourceKey,
    pub(super) vhost: String,
    pub(super) target: Target,
    /// Whether unacknowledged messages do not count.
    pub(super) is_ready_only: bool,
    /// Longest wait for an answer, if the trigger says so.
    pub(super) timeout: Option<Duration>,
    mode: Mode,
    value: f64,
    activation: f64,
    metric: String,
}

impl RabbitTrigger {
    /// The trigger, unless something is wrong with it, and everything that was noticed.
    pub(super) fn parse(spec: &TriggerSpec) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let trigger = Self::read(&mut parameters);
        let problems = parameters.finish();
        let is_valid = problems.iter().all(|problem| problem.is_warning);
        (trigger.filter(|_| is_valid), problems)
    }

    fn read(parameters: &mut Parameters<'_>) -> Option<Self> {
        for parameter in &table::REFUSED {
            parameters.refuse(parameter);
        }
        let host = read_host(parameters);
        let name = parameters.required(&table::QUEUE_NAME).to_owned();
        let target = read_target(parameters, &name);
        let (mode, value) = read_mode(parameters);
        let tls = read_tls(parameters, host.as_ref());
        let given = read_login(parameters);
        let vhost = parameters.text(&table::VHOST_NAME).map(str::to_owned);
        let trigger = Self {
            is_ready_only: parameters.flag(&table::EXCLUDE_UNACKNOWLEDGED),
            timeout: read_timeout(parameters),
            activation: parameters.number(&table::ACTIVATION_VALUE).unwrap_or(0.0),
            mode,
            value,
            metric: metric_name(&name),
            target,
            vhost: String::new(),
            source: source_key(parameters, host.as_ref()?, given, tls),
        };
        let vhost = vhost.unwrap_or_else(|| host.map(|it| it.vhost).unwrap_or_default());
        Some(trigger.checked(parameters, vhost))
    }

    /// Puts the virtual host where it belongs, and notes what only the management API can do.
    fn checked(mut self, parameters: &mut Parameters<'_>, vhost: String) -> Self {
        if self.source.protocol == Protocol::Amqp {
            self.source.connection_vhost = Some(vhost.clone());
            self.check_amqp(parameters);
        }
        self.vhost = vhost;
        self
    }

    fn check_amqp(&self, parameters: &mut Parameters<'_>) {
        let mut refuse = |parameter: &Parameter, is_used: bool| {
            if is_used {
                let name = parameter.name;
                let message =
                    format!("{name} needs the management API: a host that begins with http");
                parameters.problem(parameter, message);
            }
        };
        refuse(&table::MODE, self.mode != Mode::QueueLength);
        refuse(&table::EXCLUDE_UNACKNOWLEDGED, self.is_ready_only);
        refuse(&table::TIMEOUT, self.timeout.is_some());
        match &self.target {
            Target::Expression { .. } => refuse(&table::USE_REGEX, true),
            Target::Queue(name) if name.len() > MAX_NAME_BYTES => {
                let message = format!("queueName is longer than {MAX_NAME_BYTES} bytes");
                parameters.problem(&table::QUEUE_NAME, message);
            }
            Target::Queue(_) => {}
        }
    }

    /// The metric of what was read.
    pub(super) fn reading(&self, figures: &Figures) -> MetricReading {
        let measured = self.mode.measure(figures, self.activation);
        MetricReading {
            metric: self.metric.clone(),
            value: measured.value,
            target: self.value,
            activity: measured.activity,
        }
    }
}

fn read_host(parameters: &mut Parameters<'_>) -> Option<Host> {
    let protocol = parameters.choice(&table::PROTOCOL);
    let text = parameters.text(&table::HOST)?;
    let host = match Host::parse(text) {
        Ok(host) => host,
        Err(wrong) => {
            parameters.problem(&table::HOST, format!("host {wrong}"));
            return None;
        }
    };
    let expected = match protocol {
        Some("amqp") => Protocol::Amqp,
        Some("http") => Protocol::Http,
        _ => host.protocol,
    };
    if expected != host.protocol {
        let name = protocol.unwrap_or_default();
        let message = format!("protocol {name} needs a host that begins with {name}");
        parameters.problem(&table::PROTOCOL, message);
    }
    Some(host)
}

fn read_target(parameters: &mut Parameters<'_>, name: &str) -> Target {
    let page_size = parameters.count(&table::PAGE_SIZE);
    let operation = match parameters.choice(&table::OPERATION) {
        Some("avg") => Operation::Average,
        Some("max") => Operation::Max,
        _ => Operation::Sum,
    };
    if !parameters.flag(&table::USE_REGEX) {
        return Target::Queue(name.to_owned());
    }
    if page_size > LARGEST_PAGE {
        let message = format!("RabbitMQ answers with at most {LARGEST_PAGE} queues a page");
        parameters.warning(&table::PAGE_SIZE, message);
    }
    Target::Expression {
        expression: name.to_owned(),
        page_size,
        operation,
    }
}

/// Mode and value go together; `queueLength` stands for both.
fn read_mode(parameters: &mut Parameters<'_>) -> (Mode, f64) {
    let mode = match parameters.choice(&table::MODE) {
        Some("MessageRate") => Mode::MessageRate,
        Some("DeliverGetRate") => Mode::DeliverGetRate,
        Some("PublishedToDeliveredRatio") => Mode::PublishedToDeliveredRatio,
        Some("ExpectedQueueConsumptionTime") => Mode::ExpectedQueueConsumptionTime,
        _ => Mode::QueueLength,
    };
    let value = parameters.number(&table::VALUE);
    let length = parameters.number(&table::QUEUE_LENGTH);
    let has_mode = parameters.is_given(&table::MODE);
    let has_value = parameters.is_given(&table::VALUE);
    if parameters.is_given(&table::QUEUE_LENGTH) {
        let message = "queueLength is deprecated: give mode QueueLength and value";
        if has_mode || has_value {
            parameters.problem(&table::QUEUE_LENGTH, format!("{message}, not all of them"));
        } else {
            parameters.warning(&table::QUEUE_LENGTH, message);
        }
        return (Mode::QueueLength, length.unwrap_or(DEFAULT_VALUE));
    }
    match (has_mode, has_value) {
        (true, false) => parameters.problem(&table::VALUE, "mode needs value"),
        (false, true) => parameters.problem(&table::MODE, "value needs mode"),
        (true, true) | (false, false) => {}
    }
    (mode, value.unwrap_or(DEFAULT_VALUE))
}

fn read_timeout(parameters: &mut Parameters<'_>) -> Option<Duration> {
    let timeout = parameters.duration(&table::TIMEOUT)?;
    if timeout.is_zero() {
        parameters.problem(&table::TIMEOUT, "timeout must be above 0");
    }
    Some(timeout)
}

/// TLS is what the URI says, as in KEDA; certificates are read and checked in any case.
fn read_tls(parameters: &mut Parameters<'_>, host: Option<&Host>) -> Option<TlsSettings> {
    let settings = TlsSettings::read(parameters);
    let is_enabled = parameters.choice(&table::TLS) == Some("enable");
    let is_tls = host?.is_tls;
    if is_enabled && !is_tls {
        let message = "tls is without effect: host begins with neither amqps:// nor https://";
        parameters.warning(&table::TLS, message);
    }
    is_tls.then_some(settings)
}

/// User and password beside the URI: from the authentication, or from the function's environment.
fn read_login(parameters: &mut Parameters<'_>) -> Option<(Secret, Secret)> {
    for parameter in [table::USERNAME, table::PASSWORD] {
        let spec = parameters.spec();
        let is_literal = spec.metadata.contains_key(parameter.name)
            && !spec.from_environment.contains(parameter.name);
        if is_literal {
            let name = parameter.name;
            let message = format!("{name} belongs into the authentication, or into {name}FromEnv");
            parameters.problem(&parameter, message);
        }
    }
    let user = parameters.secret(&table::USERNAME);
    let password = parameters.secret(&table::PASSWORD);
    if user.is_some() != password.is_some() {
        let missing = match user {
            Some(_) => table::PASSWORD,
            None => table::USERNAME,
        };
        parameters.problem(&missing, "username and password must be given together");
    }
    user.zip(password)
}

fn source_key(
    parameters: &mut Parameters<'_>,
    host: &Host,
    given: Option<(Secret, Secret)>,
    tls: Option<TlsSettings>,
) -> SourceKey {
    let has_certificate = tls.as_ref().is_some_and(|it| it.certificate.is_some());
    let has_password = given.is_some() || host.password.is_some();
    let is_amqp = host.protocol == Protocol::Amqp;
    let is_external = is_amqp && (host.is_external || (has_certificate && !has_password));
    if is_external && !has_certificate {
        let message = "auth_mechanism=external needs amqps:// and a client certificate";
        parameters.problem(&tls::CERT, message);
    }
    // What a URI leaves out is "guest" in AMQP, and nothing in HTTP.
    let or_guest = |part: &Option<Secret>| part.clone().unwrap_or_else(|| Secret::new("guest"));
    let login = match given {
        _ if is_external => Login::Certificate,
        Some((user, password)) => Login::Password { user, password },
        None if is_amqp => Login::Password {
            user: or_guest(&host.user),
            password: or_guest(&host.password),
        },
        None => match &host.user {
            Some(user) => Login::Password {
                user: user.clone(),
                password: host.password.clone().unwrap_or_default(),
            },
            None => Login::Anonymous,
        },
    };
    SourceKey {
        protocol: host.protocol,
        name: host.name.clone(),
        port: host.port,
        tls,
        login,
        connection_vhost: None,
        prefix: host.prefix.clone(),
    }
}

/// KEDA's name of the metric, with the characters that it replaces.
fn metric_name(queue: &str) -> String {
    let name = format!("rabbitmq-{}", escaping::encode_query(queue));
    name.replace(['/', '.', ':', '%', '(', ')'], "-")
}

#[cfg(test)]
mod tests;
