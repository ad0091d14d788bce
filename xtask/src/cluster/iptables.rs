//! Our chain in the packet filter; and takes it, Kubernetes' and CNI's out of it, and nothing else.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::SERVICE_RANGE;
use super::daemon::system_path;
use super::machine::output;

/// The chain that refuses what goes to a Service and was not sent on to a pod.
const REFUSING: &str = "ZERON-SERVICES";

/// How that chain and those of kube-proxy, the kubelet and the portmap plugin begin.
const OURS: [&str; 4] = [REFUSING, "KUBE-", "CNI-HOSTPORT-", "CNI-DN-"];

/// Programs that save and restore, per address family.
const FAMILIES: [(&str, &str); 2] = [
    ("iptables-save", "iptables-restore"),
    ("ip6tables-save", "ip6tables-restore"),
];

/// Whether the packet filter holds any such chain.
pub(crate) fn has_chains() -> anyhow::Result<bool> {
    for (save, _) in FAMILIES {
        if removal(&output(save, &[])?).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses connections to Services that kube-proxy does not know yet, before the kernel notes them. One that it noted goes
/// nowhere for two minutes, and so does each further one from the same port, when the Service has long been known.
pub(crate) fn refuse_unknown_services() -> anyhow::Result<()> {
    apply("iptables-restore", &refusal())
}

/// The name server's Service is an address of this machine.
fn refusal() -> String {
    format!(
        "*filter\n:{REFUSING} - [0:0]\n-A {REFUSING} -d {SERVICE_RANGE} ! -o lo -j REJECT\n\
         -A OUTPUT -j {REFUSING}\n-A FORWARD -j {REFUSING}\nCOMMIT\n"
    )
}

/// Removes the chains, and the rules that jump to them.
pub(crate) fn remove_chains() -> anyhow::Result<()> {
    for (save, restore) in FAMILIES {
        if let Some(script) = removal(&output(save, &[])?) {
            apply(restore, &script)?;
        }
    }
    Ok(())
}

fn apply(restore: &str, script: &str) -> anyhow::Result<()> {
    let mut child = Command::new(restore)
        .args(["--noflush", "--wait"])
        .env("PATH", system_path())
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {restore}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    let status = child.wait()?;
    ensure!(
        status.success(),
        "{restore} failed ({status}) on:\n{script}"
    );
    Ok(())
}

/// A script that takes our chains out of what was saved; `None` when there are none.
///
/// First every rule of foreign chains that jumps to one of ours, then the contents of ours, then these.
fn removal(saved: &str) -> Option<String> {
    let mut script = String::new();
    let (mut rules, mut flushes, mut chains) = (String::new(), String::new(), String::new());
    for line in saved.lines() {
        if line.starts_with('*') {
            script.push_str(line);
            script.push('\n');
        } else if let Some(chain) = declared(line).filter(|chain| is_ours(chain)) {
            flushes.push_str(&format!("-F {chain}\n"));
            chains.push_str(&format!("-X {chain}\n"));
        } else if let Some(rule) = foreign_jump(line) {
            rules.push_str(&format!("-D {rule}\n"));
        } else if line == "COMMIT" {
            for part in [&mut rules, &mut flushes, &mut chains] {
                script.push_str(&std::mem::take(part));
            }
            script.push_str("COMMIT\n");
        }
    }
    script.contains("-X ").then_some(script)
}

/// The chain of a line such as `:KUBE-SERVICES - [0:0]`.
fn declared(line: &str) -> Option<&str> {
    line.strip_prefix(':')?.split(' ').next()
}

/// A rule, without its `-A`, of a foreign chain that jumps to one of ours.
fn foreign_jump(line: &str) -> Option<&str> {
    let rule = line.strip_prefix("-A ")?;
    let mut words = rule.split(' ');
    let chain = words.next()?;
    let target = words
        .skip_while(|word| *word != "-j" && *word != "-g")
        .nth(1)?;
    (is_ours(target) && !is_ours(chain)).then_some(rule)
}

fn is_ours(chain: &str) -> bool {
    OURS.iter().any(|prefix| chain.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chains_of_kubernetes_are_removed() {
        let saved = "# Generated\n*filter\n:INPUT ACCEPT [0:0]\n:MINE - [0:0]\n:KUBE-FORWARD - [0:0]\n\
                     -A INPUT -j MINE\n-A FORWARD -m comment --comment \"kubernetes rules\" -j KUBE-FORWARD\n\
                     -A KUBE-FORWARD -j ACCEPT\nCOMMIT\n*nat\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
        assert_eq!(
            removal(saved).as_deref(),
            Some(
                "*filter\n-D FORWARD -m comment --comment \"kubernetes rules\" -j KUBE-FORWARD\n\
                 -F KUBE-FORWARD\n-X KUBE-FORWARD\nCOMMIT\n*nat\nCOMMIT\n"
            )
        );
    }

    #[test]
    fn what_we_add_is_removed() {
        let removed = removal(&refusal());
        assert_eq!(
            removed.as_deref(),
            Some(
                "*filter\n-D OUTPUT -j ZERON-SERVICES\n-D FORWARD -j ZERON-SERVICES\n\
                 -F ZERON-SERVICES\n-X ZERON-SERVICES\nCOMMIT\n"
            )
        );
    }

    #[test]
    fn a_foreign_packet_filter_is_left_alone() {
        assert_eq!(
            removal("*nat\n:DOCKER - [0:0]\n-A OUTPUT -j DOCKER\nCOMMIT\n"),
            None
        );
    }
}
