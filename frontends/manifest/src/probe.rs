//! A container's readiness probe.

use std::num::NonZeroU16;
use std::time::Duration;

use serde_json::Value;
use zeron_core::workload::{ProbeCheck, ReadinessProbe};

use crate::container::ContainerPort;
use crate::reader::{Fields, Node};

/// Largest count of seconds or attempts that a probe takes.
const MOST: i64 = i32::MAX as i64;

/// Reads `readinessProbe`. Probes that cannot be run here are reported; TCP takes their place.
pub(crate) fn read(fields: &Fields<'_>, ports: &[ContainerPort]) -> ReadinessProbe {
    fields.unsupported(&["exec", "grpc", "terminationGracePeriodSeconds"]);
    let checks = ["tcpSocket", "httpGet", "exec", "grpc"];
    if checks.iter().filter(|name| fields.has(name)).count() > 1 {
        let message =
            "has more than one of tcpSocket, httpGet, exec and grpc: exactly one is allowed";
        fields.scope().error(fields.path(), message);
    }
    let tcp = fields
        .optional_fields("tcpSocket")
        .map(|f| tcp_check(&f, ports));
    let http = fields
        .optional_fields("httpGet")
        .map(|f| http_check(&f, ports));
    let defaults = ReadinessProbe::default();
    let period = fields
        .seconds("periodSeconds", 0..=MOST)
        .filter(|p| !p.is_zero());
    ReadinessProbe {
        check: http.or(tcp).unwrap_or(defaults.check),
        initial_delay: fields
            .seconds("initialDelaySeconds", 0..=MOST)
            .unwrap_or(Duration::ZERO),
        period,
        timeout: fields
            .seconds("timeoutSeconds", 1..=MOST)
            .unwrap_or(defaults.timeout),
        success_threshold: fields
            .integer("successThreshold", 1..=MOST)
            .unwrap_or(defaults.success_threshold),
        failure_threshold: fields
            .integer("failureThreshold", 1..=MOST)
            .unwrap_or(defaults.failure_threshold),
    }
}

fn tcp_check(fields: &Fields<'_>, ports: &[ContainerPort]) -> ProbeCheck {
    fields.unsupported(&["host"]);
    ProbeCheck::Tcp {
        port: other_port(fields, ports),
    }
}

fn http_check(fields: &Fields<'_>, ports: &[ContainerPort]) -> ProbeCheck {
    fields.unsupported(&["host"]);
    if fields
        .string("scheme")
        .is_some_and(|scheme| scheme != "HTTP")
    {
        fields.scope().without_effect(
            &fields.at("scheme"),
            "only HTTP is supported here; HTTP is used",
        );
    }
    let path = match fields.string("path") {
        None | Some("") => "/".to_owned(),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
    };
    let headers = fields
        .items("httpHeaders")
        .iter()
        .filter_map(header)
        .collect();
    ProbeCheck::Http {
        path,
        headers,
        port: other_port(fields, ports),
    }
}

fn header(node: &Node<'_>) -> Option<(String, String)> {
    let fields = node.fields();
    let (name, value) = (fields.required_string("name"), fields.string("value"));
    Some((name?.to_owned(), value.unwrap_or_default().to_owned()))
}

/// The probed port, when it is not the replica's own (the container's first).
fn other_port(fields: &Fields<'_>, ports: &[ContainerPort]) -> Option<NonZeroU16> {
    let node = fields.get("port")?;
    let number = match node.value() {
        Value::String(name) => match ports.iter().find(|p| p.name.as_deref() == Some(name)) {
            Some(port) => port.number,
            None => {
                node.refuse("is no name of one of the container's ports");
                return None;
            }
        },
        _ => NonZeroU16::new(u16::try_from(node.integer(0..=65_535)?).ok()?)?,
    };
    Some(number).filter(|n| ports.first().is_none_or(|own| own.number != *n))
}
