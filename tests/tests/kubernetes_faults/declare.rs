//! What these tests declare.

use std::time::Duration;

use zeron_tests::cluster::{Installation, Namespace, Program, Role};
use zeron_tests::wait::within;

pub(crate) const DEPLOYMENT: &str = "apps/v1/Deployment";
pub(crate) const HTTP_SCALED: &str = "http.keda.sh/v1alpha1/HTTPScaledObject";
pub(crate) const POD: &str = "v1/Pod";

/// Longest time to be woken in.
const AWAKE: Duration = Duration::from_secs(90);

/// A Deployment with its Service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) replicas: u32,
    pub(crate) program: Program,
    /// Fields of its container.
    pub(crate) container: &'a str,
    /// Fields of its pods.
    pub(crate) pod: &'a str,
}

impl<'a> Function<'a> {
    /// The example function.
    pub(crate) fn new(name: &'a str, replicas: u32) -> Self {
        let program = Program::Function;
        Self {
            name,
            replicas,
            program,
            container: "",
            pod: "",
        }
    }

    pub(crate) fn apply(&self, namespace: &Namespace) {
        let Self {
            name,
            replicas,
            program,
            container,
            pod,
        } = self;
        let image = namespace.cluster().image(*program);
        let image = if container.contains("image:") {
            String::new()
        } else {
            format!("image: {image},")
        };
        let policy = if container.contains("imagePullPolicy:") {
            ""
        } else {
            "imagePullPolicy: Never,"
        };
        let protocol = if *program == Program::Origin {
            ", appProtocol: kubernetes.io/h2c"
        } else {
            ""
        };
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
      terminationGracePeriodSeconds: 5
      {pod}
      containers:
        - {{ name: function, {image} {policy} ports: [{{ containerPort: 8080 }}], {container} }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {name} }}
spec: {{ selector: {{ app: {name} }}, ports: [{{ port: 80, targetPort: 8080{protocol} }}] }}
"
        ));
    }
}

/// The example function and an HTTPScaledObject for `NAME.example`.
pub(crate) fn http_function(namespace: &Namespace, name: &str, min: u32, max: u32) {
    Function::new(name, min).apply(namespace);
    http_scaled(
        namespace,
        name,
        &format!("replicas: {{ min: {min}, max: {max} }}"),
    );
}

/// An HTTPScaledObject for `NAME.example`.
pub(crate) fn http_scaled(namespace: &Namespace, name: &str, more: &str) {
    namespace.apply(&format!(
        "
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {{ name: {name} }}
spec:
  hosts: [{name}.example]
  scaleTargetRef: {{ name: {name}, kind: Deployment, apiVersion: apps/v1, service: {name}, port: 80 }}
  scaledownPeriod: 3
  {more}
"
    ));
}

/// An InterceptorRoute for `NAME.example` whose ScaledObject takes replicas away as soon as they are not needed.
pub(crate) fn eager(namespace: &Namespace, name: &str, min: u32, concurrency: u32) {
    namespace.apply(&format!(
        "
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {{ name: {name} }}
spec:
  target: {{ service: {name}, port: 80 }}
  rules: [{{ hosts: [{name}.example] }}]
  scalingMetric: {{ concurrency: {{ targetValue: {concurrency} }} }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name} }}
spec:
  scaleTargetRef: {{ name: {name} }}
  cooldownPeriod: 3
  minReplicaCount: {min}
  maxReplicaCount: 10
  advanced: {{ horizontalPodAutoscalerConfig: {{ behavior: {{ scaleDown: {{ stabilizationWindowSeconds: 0 }} }} }} }}
  triggers: [{{ type: external-push, metadata: {{ scalerAddress: 'scaler:9090', interceptorRoute: {name} }} }}]
"
    ));
}

/// Waits until every activator answers for a host; its function is awake then.
pub(crate) fn until_served(roles: &Installation, host: &str) {
    for activator in &roles.activators {
        until_served_by(activator, host);
    }
}

/// The same of one.
pub(crate) fn until_served_by(activator: &Role, host: &str) {
    // On a machine with much else to do a pod may take longer to start than one request waits.
    within(AWAKE, &format!("{host} to be served"), || {
        let mut client = activator.connect();
        let answer = client.get(host, "/status?code=204").try_response();
        answer.ok().filter(|it| it.status == 204).map(drop)
    });
}
