//! `grant`: rights of one namespace, printed as manifests or applied.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;
use zeron_backend_kubernetes::ClientOptions;

use super::Failure;
use crate::args::{Format, GlobalArgs};
use crate::output::{print, structured};

/// For one object.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Arguments of `grant`.
#[derive(Clone, Debug, Args)]
pub(crate) struct GrantArgs {
    /// Namespace of the functions
    #[arg(value_name = "NAMESPACE", value_parser = crate::check::namespace)]
    pub(crate) target: String,
    /// A Secret that the autoscaler may read; several times for several. Secrets granted before are
    /// not granted any more unless they are named again
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Vec<String>,
    /// The autoscaler may read all Secrets of the namespace
    #[arg(long, conflicts_with = "secret")]
    pub(crate) all_secrets: bool,
    /// Activators may wake functions by themselves
    #[arg(long)]
    pub(crate) wake: bool,
    /// Apply them; otherwise they are only printed
    #[arg(long)]
    pub(crate) apply: bool,
    /// Namespace of zeron itself
    #[arg(long, value_name = "NAMESPACE", default_value = "zeron-system", value_parser = crate::check::namespace)]
    pub(crate) zeron_namespace: String,
    /// Kubeconfig file [default: $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// What could not be granted.
#[derive(Debug, thiserror::Error)]
enum GrantError {
    #[error("cannot apply {kind} {name}")]
    Refused {
        kind: String,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("the API server did not answer within {TIMEOUT:?}")]
    Timeout,
    #[error("nothing is granted: name Secrets (--secret NAME, --all-secrets) or --wake")]
    Nothing,
}

pub(super) async fn run(global: &GlobalArgs, args: &GrantArgs) -> Result<(), Failure> {
    let manifests = manifests(args);
    if manifests.is_empty() {
        return Err(Failure::usage(GrantError::Nothing));
    }
    if !args.apply {
        return print(&documents(global.output, &manifests)?).map_err(Failure::runtime);
    }
    let options = ClientOptions {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        ..ClientOptions::default()
    };
    let client = options.connect().await.map_err(Failure::usage)?;
    for manifest in &manifests {
        apply(&client, manifest).await.map_err(Failure::runtime)?;
        eprintln!(
            "{} {}/{} applied",
            said(manifest, "/kind"),
            args.target,
            said(manifest, "/metadata/name")
        );
    }
    Ok(())
}

fn documents(format: Format, manifests: &[Value]) -> Result<String, Failure> {
    if format == Format::Json {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
        return Ok(structured(format, &list)?.unwrap_or_default());
    }
    let mut text = String::new();
    for manifest in manifests {
        text.push_str("---\n");
        text.push_str(&structured(Format::Yaml, manifest)?.unwrap_or_default());
    }
    Ok(text)
}

fn manifests(args: &GrantArgs) -> Vec<Value> {
    let mut manifests = Vec::new();
    if args.all_secrets || !args.secret.is_empty() {
        let mut rule = json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] });
        if !args.secret.is_empty() {
            rule["resourceNames"] = json!(args.secret);
        }
        let mut role = object("Role", "zeron-secrets", args, "autoscaler");
        role["rules"] = json!([rule]);
        manifests.push(role);
        manifests.push(binding("zeron-secrets", "Role", args, "autoscaler"));
    }
    if args.wake {
        manifests.push(binding("zeron-wake", "ClusterRole", args, "activator"));
    }
    manifests
}

fn binding(name: &str, kind: &str, args: &GrantArgs, component: &str) -> Value {
    let mut binding = object("RoleBinding", name, args, component);
    binding["roleRef"] = json!({
        "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name,
    });
    binding["subjects"] = json!([{
        "kind": "ServiceAccount",
        "name": format!("zeron-{component}"),
        "namespace": args.zeron_namespace,
    }]);
    binding
}

fn object(kind: &str, name: &str, args: &GrantArgs, component: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": args.target,
            "labels": {
                "app.kubernetes.io/name": "zeron",
                "app.kubernetes.io/component": component,
                "app.kubernetes.io/part-of": "zeron",
            },
        },
    })
}

async fn apply(client: &Client, manifest: &Value) -> Result<(), GrantError> {
    let (kind, name) = (said(manifest, "/kind"), said(manifest, "/metadata/name"));
    let namespace = said(manifest, "/metadata/namespace");
    let plural = format!("{}s", kind.to_lowercase());
    let path = format!(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}/{name}?fieldManager=zeron-grant&force=true"
    );
    let request = Request::patch(path)
        .header("content-type", "application/apply-patch+yaml")
        .body(manifest.to_string().into_bytes())
        .expect("a namespace that was checked is part of a URI");
    let answer = timeout(TIMEOUT, client.request::<Value>(request)).await;
    answer
        .map_err(|_| GrantError::Timeout)?
        .map_err(|source| GrantError::Refused {
            kind: kind.to_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        })?;
    Ok(())
}

fn said<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
