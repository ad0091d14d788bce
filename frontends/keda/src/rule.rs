//! Hosts, paths and headers of the HTTP add-on's routes.

use zeron_core::route::{HeaderMatch, HostPattern};
use zeron_manifest::{Fields, Node};

/// Requests to any of the hosts, below any of the paths, with all of the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) paths: Vec<String>,
    pub(crate) headers: Vec<HeaderMatch>,
}

impl Rule {
    /// An InterceptorRoute's rule.
    pub(crate) fn read(fields: &Fields<'_>) -> Self {
        let paths = fields.items("paths");
        let paths = paths
            .iter()
            .filter_map(|node| path(&node.fields().get("value")?))
            .collect();
        Self::new(hosts(fields), paths, headers(fields))
    }

    /// An HTTPScaledObject's only rule.
    pub(crate) fn read_flat(spec: &Fields<'_>) -> Self {
        let paths = spec.items("pathPrefixes").iter().filter_map(path).collect();
        Self::new(hosts(spec), paths, headers(spec))
    }

    /// Every request.
    pub(crate) fn all() -> Self {
        Self::new(Vec::new(), Vec::new(), Vec::new())
    }

    fn new(mut hosts: Vec<HostPattern>, mut paths: Vec<String>, headers: Vec<HeaderMatch>) -> Self {
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        if paths.is_empty() {
            paths.push("/".to_owned());
        }
        Self {
            hosts,
            paths,
            headers,
        }
    }
}

fn hosts(fields: &Fields<'_>) -> Vec<HostPattern> {
    fields.items("hosts").iter().filter_map(host).collect()
}

fn host(node: &Node<'_>) -> Option<HostPattern> {
    let text = node.string()?.to_ascii_lowercase();
    // A port of a host has no meaning for routing, as in the original.
    let name = match text.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &text,
    };
    let is_name = |name: &str| {
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        name.len() <= 253 && name.split('.').all(is_part)
    };
    match name.strip_prefix("*.") {
        _ if name == "*" => Some(HostPattern::Any),
        Some(suffix) if is_name(suffix) => Some(HostPattern::Wildcard(suffix.to_owned())),
        None if is_name(name) => Some(HostPattern::Exact(name.to_owned())),
        Some(_) | None => {
            node.refuse("must be a host such as app.example.com, *.example.com or *");
            None
        }
    }
}

fn path(node: &Node<'_>) -> Option<String> {
    let text = node.string()?;
    if text.is_empty() || text.starts_with('/') {
        return Some(if text.is_empty() { "/" } else { text }.to_owned());
    }
    // As in the original, a path may be written without its first slash.
    Some(format!("/{text}"))
}

fn headers(fields: &Fields<'_>) -> Vec<HeaderMatch> {
    fields.items("headers").iter().filter_map(header).collect()
}

fn header(node: &Node<'_>) -> Option<HeaderMatch> {
    let fields = node.fields();
    let (name, value) = (fields.required_string("name"), fields.string("value"));
    Some(HeaderMatch {
        name: name?.to_ascii_lowercase(),
        value: value.map(str::to_owned),
    })
}
