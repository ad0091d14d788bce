//! What tests declare: the examples, and objects made to measure.

use zeron_tests::broker::Broker;
use zeron_tests::cluster::Namespace;

use super::site::image;

/// A file of `examples/kubernetes` as a test applies it: with this build's image and without long waits.
macro_rules! example {
    ($namespace:expr, $file:literal) => {
        crate::declare::adapted(
            $namespace,
            include_str!(concat!("../../../examples/kubernetes/", $file)),
        )
    };
}
pub(crate) use example;

/// See [`example`].
pub(crate) fn adapted(namespace: &Namespace, text: &str) -> String {
    text.replace("dev.local/zeron-example-function:0.1.0", image(namespace))
        .replace("scaledownPeriod: 15", "scaledownPeriod: 2")
        .replace("cooldownPeriod: 15", "cooldownPeriod: 2")
        .replace(
            "terminationGracePeriodSeconds: 5",
            "terminationGracePeriodSeconds: 2",
        )
}

/// A Deployment with its Service.
pub(crate) fn function(namespace: &Namespace, name: &str, replicas: u32) {
    let image = image(namespace);
    namespace.apply(&format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name} }}
spec:
  replicas: {replicas}
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - {{ name: function, image: {image}, imagePullPolicy: Never, ports: [{{ containerPort: 8080 }}] }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec: {{ selector: {{ app: {name} }}, ports: [{{ port: 80, targetPort: 8080 }}] }}
"
    ));
}

/// An HTTPScaledObject for `NAME.example`; `more` are further fields of its spec, `meta` of its metadata.
pub(crate) fn http_scaled(name: &str, meta: &str, more: &str) -> String {
    format!(
        "
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {{ name: {name}, {meta} }}
spec:
  hosts: [{name}.example]
  scaleTargetRef: {{ name: {name}, kind: Deployment, apiVersion: apps/v1, service: {name}, port: 80 }}
  scaledownPeriod: 2
  {more}
"
    )
}

/// A ScaledObject of a Kafka topic, and a consumer group, of its own name: one replica for ten messages.
#[derive(Clone, Debug)]
pub(crate) struct Scaled {
    name: String,
    broker: String,
    target: String,
    meta: String,
    more: String,
    cooldown: u32,
    interval: u32,
}

impl Scaled {
    pub(crate) fn new(name: &str, broker: &Broker) -> Self {
        Self::at(name, &broker.address())
    }

    /// With the broker at this address.
    pub(crate) fn at(name: &str, broker: &str) -> Self {
        Self {
            name: name.to_owned(),
            broker: broker.to_owned(),
            target: format!("name: {name}"),
            meta: String::new(),
            more: String::new(),
            cooldown: 2,
            interval: 1,
        }
    }

    /// Fields of the target instead of a Deployment of the same name.
    pub(crate) fn target(mut self, fields: &str) -> Self {
        fields.clone_into(&mut self.target);
        self
    }

    /// An annotation of KEDA's, with its value.
    pub(crate) fn annotation(mut self, name: &str, value: &str) -> Self {
        self.meta = format!("annotations: {{ autoscaling.keda.sh/{name}: '{value}' }}");
        self
    }

    /// More fields of the spec.
    pub(crate) fn with(mut self, fields: &str) -> Self {
        fields.clone_into(&mut self.more);
        self
    }

    /// Seconds.
    pub(crate) fn cooldown(mut self, seconds: u32) -> Self {
        self.cooldown = seconds;
        self
    }

    /// Seconds.
    pub(crate) fn interval(mut self, seconds: u32) -> Self {
        self.interval = seconds;
        self
    }

    pub(crate) fn yaml(&self) -> String {
        let Self {
            name,
            broker,
            target,
            meta,
            more,
            cooldown,
            interval,
        } = self;
        format!(
            "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name}, {meta} }}
spec:
  scaleTargetRef: {{ {target} }}
  pollingInterval: {interval}
  cooldownPeriod: {cooldown}
  maxReplicaCount: 20
  {more}
  triggers:
    - type: kafka
      metadata:
        bootstrapServers: '{broker}'
        consumerGroup: {name}
        topic: {name}
        lagThreshold: '10'
        offsetResetPolicy: earliest
        allowIdleConsumers: 'true'
"
        )
    }
}
