//! One container of a pod: a program, its environment, ports, probe and limits.

use std::num::NonZeroU16;

use zeron_core::workload::{EnvVar, ReadinessProbe, ResourceAmounts};

use crate::config::{ConfigSet, Lookup};
use crate::probe;
use crate::quantity::Quantity;
use crate::reader::{Fields, Node};

/// One container.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its name; empty when it has none.
    pub name: String,
    /// The image, which one machine does not run.
    pub image: Option<String>,
    /// Program and leading arguments.
    pub command: Vec<String>,
    /// Arguments after `command`.
    pub args: Vec<String>,
    /// Environment; values from Secrets and ConfigMaps are filled in.
    pub env: Vec<EnvVar>,
    /// Directory to start in.
    pub working_dir: Option<String>,
    /// Declared ports.
    pub ports: Vec<ContainerPort>,
    /// The readiness probe, if one is declared.
    pub readiness: Option<ReadinessProbe>,
    /// `resources.limits`.
    pub limits: ResourceAmounts,
    /// `resources.requests`; what is not there is requested as much as it is limited to.
    pub requests: ResourceAmounts,
    /// Where the container stands in its document.
    pub path: String,
}

/// One declared port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name.
    pub name: Option<String>,
    /// `containerPort`.
    pub number: NonZeroU16,
}

const WITHOUT_EFFECT: [&str; 16] = [
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "stopSignal",
];

impl Container {
    /// Reads one item of `containers`.
    pub(crate) fn read(node: &Node<'_>, namespace: &str, config: &ConfigSet) -> Self {
        let fields = node.fields();
        fields.unsupported(&WITHOUT_EFFECT);
        let ports = ports(&fields);
        let resources = fields.fields("resources");
        resources.unsupported(&["claims"]);
        let limits = amounts(&resources, "limits");
        let requests = amounts(&resources, "requests");
        let readiness = fields
            .optional_fields("readinessProbe")
            .map(|f| probe::read(&f, &ports));
        Self {
            name: fields.string("name").unwrap_or_default().to_owned(),
            image: fields.string("image").map(str::to_owned),
            command: fields.strings("command"),
            args: fields.strings("args"),
            env: environment(&fields, namespace, config),
            working_dir: fields.string("workingDir").map(str::to_owned),
            ports,
            readiness,
            limits,
            requests: ResourceAmounts {
                cpu_millis: requests.cpu_millis.or(limits.cpu_millis),
                memory_bytes: requests.memory_bytes.or(limits.memory_bytes),
            },
            path: node.path().to_owned(),
        }
    }

    /// Whether the program is told its port: `$(PORT)`, `$PORT` or `${PORT}` in its command,
    /// arguments or environment.
    pub fn uses_assigned_port(&self) -> bool {
        let values = self.env.iter().map(|e| &e.value);
        self.command
            .iter()
            .chain(&self.args)
            .chain(values)
            .any(|text| names_port(text))
    }

    /// The value of an environment variable; the last one of that name.
    pub fn env_value(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .rev()
            .find(|e| e.name == name)
            .map(|e| e.value.as_str())
    }
}

fn names_port(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bare = text.match_indices("$PORT").any(|(at, word)| {
        text.as_bytes()
            .get(at + word.len())
            .is_none_or(|&next| !is_word(next))
    });
    bare || text.contains("$(PORT)") || text.contains("${PORT}") || text.contains("${PORT:")
}

fn ports(fields: &Fields<'_>) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    for node in fields.items("ports") {
        let port = node.fields();
        port.unsupported(&["hostIP", "hostPort"]);
        if port.string("protocol").is_some_and(|p| p != "TCP") {
            port.scope()
                .without_effect(&port.at("protocol"), "only TCP is supported here");
        }
        let name = port
            .string("name")
            .filter(|n| !n.is_empty())
            .map(str::to_owned);
        if !port.has("containerPort") {
            port.error("containerPort", "is missing");
        }
        let number = port
            .integer::<u16>("containerPort", 1..=65_535)
            .and_then(NonZeroU16::new);
        ports.extend(number.map(|number| ContainerPort { name, number }));
    }
    ports
}

fn amounts(fields: &Fields<'_>, name: &str) -> ResourceAmounts {
    let Some(given) = fields.optional_fields(name) else {
        return ResourceAmounts::default();
    };
    for name in given.names().filter(|n| *n != "cpu" && *n != "memory") {
        given.unsupported(&[name]);
    }
    let amount = |name| quantity(&given.get(name)?);
    ResourceAmounts {
        cpu_millis: amount("cpu").map(Quantity::millis),
        memory_bytes: amount("memory").map(Quantity::units),
    }
}

fn quantity(node: &Node<'_>) -> Option<Quantity> {
    let text = match node.value() {
        serde_json::Value::Number(number) => number.to_string(),
        _ => node.string()?.to_owned(),
    };
    text.parse()
        .map_err(|e: crate::QuantityError| node.refuse(&e.to_string()))
        .ok()
}

fn environment(fields: &Fields<'_>, namespace: &str, config: &ConfigSet) -> Vec<EnvVar> {
    let source = Source { namespace, config };
    let mut env = Vec::new();
    for node in fields.items("envFrom") {
        source.all_of(&node.fields(), &mut env);
    }
    for node in fields.items("env") {
        env.extend(source.one(&node.fields()));
    }
    env
}

/// Where values of variables come from.
struct Source<'s> {
    namespace: &'s str,
    config: &'s ConfigSet,
}

impl Source<'_> {
    fn one(&self, fields: &Fields<'_>) -> Option<EnvVar> {
        let name = fields.required_string("name");
        let value = fields.string("value");
        let Some(from) = fields.optional_fields("valueFrom") else {
            let value = value.unwrap_or_default().to_owned();
            return name.map(|name| EnvVar {
                name: name.to_owned(),
                value,
            });
        };
        if value.is_some() {
            fields.error("valueFrom", "must not stand beside value");
        }
        from.unsupported(&["fieldRef", "resourceFieldRef", "fileKeyRef"]);
        let secret = from.optional_fields("secretKeyRef").and_then(|f| {
            self.reference(&f, |name, key| {
                self.config
                    .secret(self.namespace, name, key)
                    .map(|s| s.expose().to_owned())
            })
        });
        let plain = from.optional_fields("configMapKeyRef").and_then(|f| {
            self.reference(&f, |name, key| {
                self.config
                    .config_map(self.namespace, name, key)
                    .map(str::to_owned)
            })
        });
        Some(EnvVar {
            name: name?.to_owned(),
            value: secret.or(plain)?,
        })
    }

    fn reference(
        &self,
        fields: &Fields<'_>,
        find: impl Fn(&str, &str) -> Result<String, Lookup>,
    ) -> Option<String> {
        let is_optional = fields.boolean("optional").unwrap_or(false);
        let (name, key) = (
            fields.required_string("name"),
            fields.required_string("key"),
        );
        match find(name?, key?) {
            Ok(value) => Some(value),
            Err(Lookup::NoObject { .. } | Lookup::NoKey { .. }) if is_optional => None,
            Err(error) => {
                fields.scope().error(fields.path(), error.to_string());
                None
            }
        }
    }

    fn all_of(&self, fields: &Fields<'_>, env: &mut Vec<EnvVar>) {
        let prefix = fields.string("prefix").unwrap_or_default().to_owned();
        if let Some(reference) = fields.optional_fields("configMapRef") {
            let found = |name: &str| {
                let data = self.config.config_map_data(self.namespace, name)?;
                Some(data.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
            };
            self.extend(&reference, "ConfigMap", &prefix, env, found);
        }
        if let Some(reference) = fields.optional_fields("secretRef") {
            let found = |name: &str| {
                let keys = self.config.secret_keys(self.namespace, name)?;
                let value = |key: &str| self.config.secret(self.namespace, name, key).ok();
                let pair = |key: &str| Some((key.to_owned(), value(key)?.expose().to_owned()));
                Some(keys.into_iter().filter_map(pair).collect())
            };
            self.extend(&reference, "Secret", &prefix, env, found);
        }
    }

    fn extend(
        &self,
        fields: &Fields<'_>,
        kind: &str,
        prefix: &str,
        env: &mut Vec<EnvVar>,
        found: impl Fn(&str) -> Option<Vec<(String, String)>>,
    ) {
        let is_optional = fields.boolean("optional").unwrap_or(false);
        let Some(name) = fields.required_string("name") else {
            return;
        };
        match found(name) {
            Some(pairs) => env.extend(pairs.into_iter().map(|(key, value)| EnvVar {
                name: format!("{prefix}{key}"),
                value,
            })),
            None if is_optional => {}
            None => fields.scope().error(
                fields.path(),
                format!(
                    "{kind} {}/{name} {}",
                    self.namespace,
                    fields.scope().platform().absent()
                ),
            ),
        }
    }
}
