//! TriggerAuthentication and ClusterTriggerAuthentication: parameters of triggers that are secret.

use std::collections::BTreeMap;

use zeron_core::policy::{RemoteParameters, Secret};
use zeron_manifest::{ConfigSet, Fields, Header, Lookup, Scope};

use crate::vault;

const WITHOUT_EFFECT: [&str; 7] = [
    "awsSecretManager",
    "azureKeyVault",
    "azureServicePrincipal",
    "boundServiceAccountToken",
    "configMap",
    "gcpSecretManager",
    "oauth2",
];

/// Fields of `podIdentity`.
const IDENTITY: [&str; 7] = [
    "externalID",
    "identityAuthorityHost",
    "identityId",
    "identityOwner",
    "identityTenantId",
    "provider",
    "roleArn",
];

/// A TriggerAuthentication whose Secrets and ConfigMaps were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriggerAuthentication {
    parameters: BTreeMap<String, Secret>,
    variables: Vec<Variable>,
    /// Read when a trigger is.
    remote: Vec<RemoteParameters>,
    /// What it refers to and what is not there, in words.
    faults: Vec<String>,
}

/// A parameter that comes from the scale target's environment.
#[derive(Clone, Debug, PartialEq)]
struct Variable {
    parameter: String,
    name: String,
    container: Option<String>,
}

/// All TriggerAuthentications of a set, by kind, namespace and name.
#[derive(Debug, Default)]
pub struct Authentications {
    by_name: BTreeMap<(bool, String, String), TriggerAuthentication>,
}

impl Authentications {
    /// Adds one. Returns false when one of that kind and name is there already.
    pub fn add(&mut self, header: &Header, authentication: TriggerAuthentication) -> bool {
        let is_cluster = header.object.kind == "ClusterTriggerAuthentication";
        let namespace = if is_cluster {
            ""
        } else {
            &header.object.namespace
        };
        let key = (is_cluster, namespace.to_owned(), header.object.name.clone());
        self.by_name.insert(key, authentication).is_none()
    }

    pub(crate) fn get(
        &self,
        is_cluster: bool,
        namespace: &str,
        name: &str,
    ) -> Option<&TriggerAuthentication> {
        let namespace = if is_cluster { "" } else { namespace };
        self.by_name
            .get(&(is_cluster, namespace.to_owned(), name.to_owned()))
    }
}

impl TriggerAuthentication {
    /// Reads either kind. Missing Secrets, ConfigMaps and keys are errors that name them.
    pub fn read(scope: &Scope<'_>, header: &Header, config: &ConfigSet) -> Self {
        let root = scope.root();
        let spec = root.fields("spec");
        spec.unsupported(&WITHOUT_EFFECT);
        if let Some(identity) = spec.optional_fields("podIdentity") {
            identity.accept(&IDENTITY);
            if identity
                .get("provider")
                .is_none_or(|node| node.value() != "none")
            {
                scope.without_effect(identity.path(), "is not supported here and has no effect");
            }
        }
        let is_cluster = header.object.kind == "ClusterTriggerAuthentication";
        let namespace = if is_cluster {
            config.cluster_namespace()
        } else {
            &header.object.namespace
        };
        let vault = spec.optional_fields("hashiCorpVault");
        let vault = vault.and_then(|it| vault::read(&it, is_cluster));
        let mut remote: Vec<_> = vault.into_iter().collect();
        remote.extend(file(&spec, is_cluster));
        let (mut parameters, mut faults) = (BTreeMap::new(), Vec::new());
        for node in spec.items("secretTargetRef") {
            let find = |name: &str, key: &str| config.secret(namespace, name, key);
            parameters.extend(reference(&node.fields(), &mut faults, find));
        }
        for node in spec.items("configMapTargetRef") {
            let find =
                |name: &str, key: &str| config.config_map(namespace, name, key).map(Secret::new);
            parameters.extend(reference(&node.fields(), &mut faults, find));
        }
        let variables = spec
            .items("env")
            .iter()
            .filter_map(|node| variable(&node.fields()))
            .collect();
        Self {
            parameters,
            variables,
            remote,
            faults,
        }
    }

    /// What is read when a trigger is.
    pub(crate) fn remote(&self) -> &[RemoteParameters] {
        &self.remote
    }

    /// What it refers to and what is not there, in words.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// All parameters. Those from the environment are found by `variable` (container and name);
    /// the names of those that are not go to `missing`.
    pub(crate) fn parameters<'c>(
        &self,
        variable: impl Fn(Option<&str>, &str) -> Option<&'c str>,
        mut missing: impl FnMut(&str),
    ) -> BTreeMap<String, Secret> {
        let mut parameters = self.parameters.clone();
        for wanted in &self.variables {
            match variable(wanted.container.as_deref(), &wanted.name) {
                Some(value) => {
                    parameters.insert(wanted.parameter.clone(), Secret::new(value));
                }
                None => missing(&wanted.name),
            }
        }
        parameters
    }
}

/// `filePath`, which only a ClusterTriggerAuthentication may have: the folder is the administrator's.
fn file(spec: &Fields<'_>, is_cluster: bool) -> Option<RemoteParameters> {
    let path = spec.string("filePath").filter(|path| !path.is_empty())?;
    if !is_cluster {
        spec.error(
            "filePath",
            "only a ClusterTriggerAuthentication may read files",
        );
        return None;
    }
    let is_below = std::path::Path::new(path)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if !is_below {
        spec.error("filePath", "must be relative and without `..`");
        return None;
    }
    Some(RemoteParameters::File {
        path: path.to_owned(),
    })
}

fn reference(
    fields: &Fields<'_>,
    faults: &mut Vec<String>,
    find: impl Fn(&str, &str) -> Result<Secret, Lookup>,
) -> Option<(String, Secret)> {
    let parameter = fields.required_string("parameter");
    let (name, key) = (
        fields.required_string("name"),
        fields.required_string("key"),
    );
    match find(name?, key?) {
        Ok(secret) => Some((parameter?.to_owned(), secret)),
        Err(error) => {
            faults.push(error.to_string());
            fields.scope().partial(fields.path(), error.to_string());
            None
        }
    }
}

fn variable(fields: &Fields<'_>) -> Option<Variable> {
    let parameter = fields.required_string("parameter");
    let name = fields.required_string("name");
    let container = fields.string("containerName").filter(|c| !c.is_empty());
    Some(Variable {
        parameter: parameter?.to_owned(),
        name: name?.to_owned(),
        container: container.map(str::to_owned),
    })
}
