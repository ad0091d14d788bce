//! Manifests of the functions under test.

use std::fmt::Write;

/// A Knative Service that runs the example function.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    revision: Option<String>,
    annotations: Vec<(String, String)>,
    limit: Option<u32>,
    timeout_seconds: Option<u32>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    command: Vec<String>,
    h2c: bool,
    traffic: Vec<(String, u32, Option<String>)>,
}

impl Service {
    /// A function that sleeps after the shortest window that there is.
    pub fn new(name: &str) -> Self {
        let service = Self {
            name: name.to_owned(),
            revision: None,
            annotations: Vec::new(),
            limit: None,
            timeout_seconds: None,
            args: Vec::new(),
            env: Vec::new(),
            command: vec!["zeron-example-function".to_owned()],
            h2c: false,
            traffic: Vec::new(),
        };
        service.autoscaling("window", "6s")
    }

    /// Adds an `autoscaling.knative.dev/` annotation; a later one of the same key wins.
    #[must_use]
    pub fn autoscaling(mut self, key: &str, value: &str) -> Self {
        let key = format!("autoscaling.knative.dev/{key}");
        self.annotations.retain(|(known, _)| *known != key);
        self.annotations.push((key, value.to_owned()));
        self
    }

    /// Keeps it awake, or awake with several replicas.
    #[must_use]
    pub fn min(self, replicas: u32) -> Self {
        self.autoscaling("min-scale", &replicas.to_string())
    }

    /// At most so many replicas.
    #[must_use]
    pub fn max(self, replicas: u32) -> Self {
        self.autoscaling("max-scale", &replicas.to_string())
    }

    /// `containerConcurrency`.
    #[must_use]
    pub fn limit(mut self, requests: u32) -> Self {
        self.limit = Some(requests);
        self
    }

    /// `timeoutSeconds`.
    #[must_use]
    pub fn timeout_seconds(mut self, seconds: u32) -> Self {
        self.timeout_seconds = Some(seconds);
        self
    }

    /// Arguments of the example function.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another program than the example function.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Its replicas speak HTTP/2 without TLS.
    #[must_use]
    pub fn h2c(mut self) -> Self {
        self.h2c = true;
        self
    }

    /// The name of this revision.
    #[must_use]
    pub fn revision(mut self, name: &str) -> Self {
        self.revision = Some(name.to_owned());
        self
    }

    /// Gives a revision a share of the traffic.
    #[must_use]
    pub fn traffic(mut self, revision: &str, percent: u32, tag: Option<&str>) -> Self {
        self.traffic
            .push((revision.to_owned(), percent, tag.map(str::to_owned)));
        self
    }

    /// Its host name.
    pub fn host(&self) -> String {
        host(&self.name)
    }

    /// As YAML.
    pub fn yaml(&self) -> String {
        let mut out = format!(
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: {}\nspec:\n  template:\n    metadata:\n",
            self.name
        );
        let mut line = |text: String| writeln!(out, "{text}").expect("a String takes all");
        if let Some(name) = &self.revision {
            line(format!("      name: {name}"));
        }
        line("      annotations:".to_owned());
        for (key, value) in &self.annotations {
            line(format!("        {key}: {value:?}"));
        }
        line("    spec:".to_owned());
        if let Some(limit) = self.limit {
            line(format!("      containerConcurrency: {limit}"));
        }
        if let Some(seconds) = self.timeout_seconds {
            line(format!("      timeoutSeconds: {seconds}"));
        }
        line(format!(
            "      containers:\n        - command: {:?}",
            self.command
        ));
        line(format!("          args: {:?}", self.args));
        if self.h2c {
            line("          ports: [{name: h2c, containerPort: 8080}]".to_owned());
        }
        if !self.env.is_empty() {
            line("          env:".to_owned());
        }
        for (name, value) in &self.env {
            line(format!("            - {{name: {name}, value: {value:?}}}"));
        }
        if !self.traffic.is_empty() {
            line("  traffic:".to_owned());
        }
        for (revision, percent, tag) in &self.traffic {
            line(format!(
                "    - {{revisionName: {revision}, percent: {percent}{}}}",
                tag.as_ref()
                    .map(|tag| format!(", tag: {tag}"))
                    .unwrap_or_default()
            ));
        }
        out
    }
}

/// The host name of a function in the default namespace.
pub fn host(name: &str) -> String {
    format!("{name}.default.localhost")
}

/// Lets functions go back to zero as soon as their windows are empty.
pub const QUICK: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data:
  scale-to-zero-grace-period: 6s
"#;
