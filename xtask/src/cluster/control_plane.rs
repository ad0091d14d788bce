//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler: what each is told.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::daemon::{self, Daemon};
use super::kubectl::Kubectl;
use super::state::State;
use super::wait::until;
use super::{Mode, NODE_ADDRESS, NODE_NAME, POD_RANGE, Programs, SERVICE_RANGE};

/// What is logged of requests: the policy that benchmarks and tests read the log by.
const AUDIT_POLICY: &str = include_str!("../../../tests/cluster/audit.yaml");

/// The API server's port on the node's address.
const PORT: u16 = 6443;

/// How long etcd and the API server may take on a busy machine.
const START_TIME: Duration = Duration::from_secs(90);

/// Users whose tokens the API server knows: name, groups.
const USERS: [(&str, &str); 6] = [
    ("admin", "system:masters"),
    ("system:kube-controller-manager", ""),
    ("system:kube-scheduler", ""),
    ("system:kube-proxy", ""),
    ("system:node:zeron-test", "system:nodes"),
    ("test-cluster-dns", "system:masters"),
];

/// Starts etcd and the API server and waits until it is ready. The kubeconfig of its administrator is written.
pub(crate) fn start_api(state: &State, programs: &Programs, mode: Mode) -> anyhow::Result<Kubectl> {
    forget_audit_log(state)?;
    let etcd = start_etcd(state, programs)?;
    let address = match mode {
        Mode::Full => NODE_ADDRESS.to_owned(),
        Mode::ApiOnly => Ipv4Addr::LOCALHOST.to_string(),
    };
    let port = match mode {
        Mode::Full => PORT,
        Mode::ApiOnly => free_port()?,
    };
    certificates(state, programs, &address)?;
    users(state, &format!("https://{address}:{port}"))?;
    let mut arguments = api_arguments(state, &etcd, &address, port)?;
    // In both modes: without it a machine without a default route has no address to tell.
    arguments.push(format!("--advertise-address={NODE_ADDRESS}"));
    if mode == Mode::ApiOnly {
        // No controllers: nobody makes service accounts, and no pod reaches an address on loopback.
        arguments.push("--endpoint-reconciler-type=none".to_owned());
        arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    let program = programs.find("kube-apiserver")?;
    let server = daemon::start(state, "kube-apiserver", &program, &arguments)?;
    let kubectl = Kubectl::new(programs.find("kubectl")?, state.path("kubeconfig"));
    until(START_TIME, "the API server to be ready", || {
        server.check(state)?;
        Ok(kubectl.run(&["get", "--raw", "/readyz"]).ok())
    })?;
    Ok(kubectl)
}

/// The log of an earlier cluster, kept to be read after its end, is not continued.
fn forget_audit_log(state: &State) -> anyhow::Result<()> {
    let log = state.path("audit.log");
    if log.exists() {
        fs::remove_file(&log).with_context(|| format!("cannot remove {}", log.display()))?;
    }
    Ok(())
}

/// Starts etcd and returns its address.
fn start_etcd(state: &State, programs: &Programs) -> anyhow::Result<String> {
    let (clients, peers) = (free_port()?, free_port()?);
    let address = format!("http://127.0.0.1:{clients}");
    let peers = format!("http://127.0.0.1:{peers}");
    let arguments = [
        format!("--data-dir={}", state.text("etcd")),
        format!("--listen-client-urls={address}"),
        format!("--advertise-client-urls={address}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--log-level=warn".to_owned(),
        // Data that nobody keeps needs no disk that is faithful.
        "--unsafe-no-fsync".to_owned(),
    ];
    daemon::start(state, "etcd", &programs.find("etcd")?, &arguments)?;
    Ok(address)
}

fn certificates(state: &State, programs: &Programs, address: &str) -> anyhow::Result<()> {
    let folder = state.text("certificates");
    let program = programs.find("certificates")?.display().to_string();
    let first_service = SERVICE_RANGE.replace(".0/16", ".1");
    let names = [
        folder.as_str(),
        address,
        "127.0.0.1",
        &first_service,
        "localhost",
        NODE_NAME,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    super::machine::output(&program, &names).map(drop)
}

/// Gives every user a token, and each a kubeconfig that holds it.
fn users(state: &State, server: &str) -> anyhow::Result<()> {
    let ca = state.text("certificates/ca.crt");
    let mut tokens = String::new();
    for (user, groups) in USERS {
        let token = token()?;
        tokens.push_str(&format!("{token},{user},{user},\"{groups}\"\n"));
        let file = match user {
            "admin" => "kubeconfig".to_owned(),
            user => kubeconfig_name(user),
        };
        state.write(&file, &kubeconfig(server, &ca, &token))?;
    }
    state.write("tokens.csv", &tokens)?;
    Ok(())
}

/// The file with the credentials of one of the cluster's own parts.
pub(crate) fn kubeconfig_name(user: &str) -> String {
    let name = user.rsplit(':').next().unwrap_or(user);
    format!("kubeconfigs/{name}")
}

fn kubeconfig(server: &str, ca: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: zeron-test\n\
         clusters:\n- name: zeron-test\n  cluster:\n    server: {server}\n    certificate-authority: {ca}\n\
         users:\n- name: zeron-test\n  user:\n    token: {token}\n\
         contexts:\n- name: zeron-test\n  context:\n    cluster: zeron-test\n    user: zeron-test\n"
    )
}

/// 128 random bits.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn api_arguments(
    state: &State,
    etcd: &str,
    address: &str,
    port: u16,
) -> anyhow::Result<Vec<String>> {
    let policy = state.write("audit-policy.yaml", AUDIT_POLICY)?;
    let file = |name: &str| state.text(&format!("certificates/{name}"));
    Ok(vec![
        format!("--etcd-servers={etcd}"),
        format!("--bind-address={address}"),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", state.text("certificates")),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--token-auth-file={}", state.text("tokens.csv")),
        "--authorization-mode=Node,RBAC".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--allow-privileged=true".to_owned(),
        // To the kubelet, for logs and metrics.
        format!("--kubelet-client-certificate={}", file("client.crt")),
        format!("--kubelet-client-key={}", file("client.key")),
        format!("--kubelet-certificate-authority={}", file("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        // To API servers behind this one, such as a metrics adapter.
        "--enable-aggregator-routing=true".to_owned(),
        format!("--proxy-client-cert-file={}", file("client.crt")),
        format!("--proxy-client-key-file={}", file("client.key")),
        format!("--requestheader-client-ca-file={}", file("ca.crt")),
        "--requestheader-allowed-names=kube-apiserver-kubelet-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", state.text("audit.log")),
        "--audit-log-maxsize=200".to_owned(),
        "--audit-log-maxbackup=2".to_owned(),
    ])
}

/// Starts controller-manager and scheduler.
pub(crate) fn start_controllers(
    state: &State,
    programs: &Programs,
    has_default_rates: bool,
) -> anyhow::Result<Vec<Daemon>> {
    let file = |name: &str| state.text(&format!("certificates/{name}"));
    let kubeconfig = |user: &str| format!("--kubeconfig={}", state.text(&kubeconfig_name(user)));
    let mut manager = vec![
        kubeconfig("system:kube-controller-manager"),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", file("sa.key")),
        format!("--root-ca-file={}", file("ca.crt")),
        format!("--cluster-cidr={POD_RANGE}"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        // A kubelet that a busy machine keeps from its heartbeat for a minute is not gone: no taint, no eviction.
        "--node-monitor-grace-period=5m".to_owned(),
    ];
    if !has_default_rates {
        // Its own limit of 20 requests a second would be measured instead of a cold start.
        manager.extend(["--kube-api-qps=500", "--kube-api-burst=1000"].map(str::to_owned));
    }
    let scheduler = [
        kubeconfig("system:kube-scheduler"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ];
    let start = |name: &str, arguments: &[String]| {
        daemon::start(state, name, &programs.find(name)?, arguments)
    };
    Ok(vec![
        start("kube-controller-manager", &manager)?,
        start("kube-scheduler", &scheduler)?,
    ])
}

/// A port on loopback that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Where a program of the cluster is looked for by other tools of the same kind.
pub(crate) fn given_assets() -> Option<PathBuf> {
    std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from)
}
