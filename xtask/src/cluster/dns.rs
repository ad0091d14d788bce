//! The cluster's name server: CoreDNS as a process of the machine, behind the Service that pods ask.

use std::time::Duration;

use super::control_plane::kubeconfig_name;
use super::daemon::{self, Daemon};
use super::kubectl::Kubectl;
use super::state::State;
use super::wait::until;
use super::{DNS_ADDRESS, NODE_ADDRESS, Programs};

const SERVICE: &str = include_str!("../../../tests/cluster/dns.yaml");
const COREFILE: &str = include_str!("../../../tests/cluster/Corefile");

const START_TIME: Duration = Duration::from_secs(60);

/// Starts it and waits until it knows the cluster's Services.
pub(crate) fn start(
    state: &State,
    programs: &Programs,
    kubectl: &Kubectl,
) -> anyhow::Result<Daemon> {
    let kubeconfig = state.text(&kubeconfig_name("test-cluster-dns"));
    let fill = |text: &str| {
        text.replace("@NODE@", NODE_ADDRESS)
            .replace("@DNS@", DNS_ADDRESS)
            .replace("@KUBECONFIG@", &kubeconfig)
    };
    kubectl.apply(&fill(SERVICE))?;
    let corefile = state.write("Corefile", &fill(COREFILE))?;
    let arguments = ["-conf".to_owned(), corefile.display().to_string()];
    let server = daemon::start(state, "dns", &programs.find("dns")?, &arguments)?;
    until(START_TIME, "the name server to be ready", || {
        server.check(state)?;
        Ok(is_ready().then_some(()))
    })?;
    Ok(server)
}

/// What its `ready` plugin answers.
fn is_ready() -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::net::TcpStream::connect((NODE_ADDRESS, 8181)) else {
        return false;
    };
    let mut answer = String::new();
    let asked = stream
        .set_read_timeout(Some(START_TIME))
        .and_then(|()| stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n"))
        .and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.0 200")
}
