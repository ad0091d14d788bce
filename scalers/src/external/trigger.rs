//! A trigger of an external scaler as its parameters declare it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;
use zeron_external_scaler_proto::ScaledObjectRef;

use super::address::Address;
use super::link::LinkKey;
use super::reading::Specs;
use super::table;
use crate::parameters::Parameters;
use crate::tls::TlsSettings;

/// Keys that we ourselves add to a trigger's metadata.
const OURS: &str = "zeron.dev/";
/// A key that names a variable; it is handed on under this name, with the variable's value.
const FROM_ENVIRONMENT: &str = "FromEnv";

/// A trigger and the way to its scaler.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) link: LinkKey,
    pub(super) trigger: ExternalTrigger,
}

/// A trigger, with what its scaler said by itself.
pub(crate) struct ExternalTrigger {
    /// Whose trigger it is, with all its metadata: what every call carries.
    pub(super) object: ScaledObjectRef,
    /// Whether the scaler says by itself when there is work.
    pub(super) is_push: bool,
    /// Values of the environment: never shown.
    pub(super) secrets: Vec<String>,
    /// One evaluation at a time.
    pub(super) evaluating: tokio::sync::Mutex<()>,
    /// The newest that the scaler sent by itself, while it does.
    pub(super) streamed: Mutex<Option<Arc<Specs>>>,
}

impl fmt::Debug for ExternalTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalTrigger")
            .field("namespace", &self.object.namespace)
            .field("name", &self.object.name)
            .field("is_push", &self.is_push)
            .finish_non_exhaustive()
    }
}

/// The trigger, unless something is wrong with it, and everything that was noticed.
pub(super) fn parse(spec: &TriggerSpec) -> (Option<Parsed>, Vec<TriggerProblem>) {
    let mut parameters = Parameters::new(spec);
    parameters.accept_others();
    let link = read_link(&mut parameters);
    let problems = parameters.finish();
    let is_valid = problems.iter().all(|problem| problem.is_warning);
    let parsed = link.filter(|_| is_valid).map(|link| Parsed {
        link,
        trigger: read_trigger(spec),
    });
    (parsed, problems)
}

fn read_link(parameters: &mut Parameters<'_>) -> Option<LinkKey> {
    let address = parameters.required(&table::SCALER_ADDRESS);
    let address = if address.is_empty() {
        None
    } else {
        let read = Address::parse(address);
        read.map_err(|message| {
            let name = table::SCALER_ADDRESS.name;
            let message = format!("{name}: {address:?} {message}");
            parameters.problem(&table::SCALER_ADDRESS, message);
        })
        .ok()
    };
    let settings = TlsSettings {
        ca: parameters.secret(&table::CA_CERT),
        certificate: parameters.secret(&table::TLS_CLIENT_CERT),
        key: parameters.secret(&table::TLS_CLIENT_KEY),
        is_unverified: parameters.flag(&table::UNSAFE_SSL),
    };
    // As in KEDA, a certificate alone means TLS.
    let is_tls = parameters.flag(&table::ENABLE_TLS)
        || settings.ca.is_some()
        || settings.certificate.is_some();
    if is_tls && let Err(unknown) = settings.client_config() {
        let parameter = match (&settings.certificate, &settings.key) {
            (Some(_), None) => &table::TLS_CLIENT_KEY,
            (Some(_), Some(_)) => &table::TLS_CLIENT_CERT,
            (None, _) => &table::CA_CERT,
        };
        parameters.problem(parameter, format!("TLS: {}", unknown.message));
    }
    Some(LinkKey {
        address: address?,
        tls: is_tls.then_some(settings),
    })
}

fn read_trigger(spec: &TriggerSpec) -> ExternalTrigger {
    let secrets = spec
        .from_environment
        .iter()
        .filter_map(|name| spec.metadata.get(name))
        .filter(|value| !value.is_empty());
    ExternalTrigger {
        object: ScaledObjectRef {
            name: spec.object.name.clone(),
            namespace: spec.object.namespace.clone(),
            scaler_metadata: metadata(spec),
        },
        is_push: spec.kind == "external-push",
        secrets: secrets.cloned().collect(),
        evaluating: tokio::sync::Mutex::default(),
        streamed: Mutex::default(),
    }
}

/// All of it, as KEDA hands it on: values as they were written, an empty variable left out, and
/// nothing of the authentication.
fn metadata(spec: &TriggerSpec) -> HashMap<String, String> {
    let is_handed_on = |(name, value): &(&String, &String)| {
        let is_empty_variable = name.ends_with(FROM_ENVIRONMENT) && value.is_empty();
        !name.starts_with(OURS) && !is_empty_variable
    };
    let given = spec.metadata.iter().filter(is_handed_on);
    given.map(|(k, v)| (k.clone(), v.clone())).collect()
}
