//! What nodes say of themselves, for tests that failed: why no pod may run there, or was taken from there.

use std::fmt::Write;

use serde_json::Value;

use super::Cluster;

impl Cluster {
    /// Taints, conditions and room of every node; what cannot be had is left out.
    pub(super) fn nodes_in_short(&self) -> String {
        let nodes = self.json(&["get", "nodes", "--output", "json"]);
        let nodes = nodes["items"].as_array().into_iter().flatten();
        nodes
            .map(|node| {
                let name = node["metadata"]["name"].as_str().unwrap_or_default();
                let path = format!("/api/v1/nodes/{name}/proxy/stats/summary");
                in_short(node, &self.json(&["get", "--raw", &path]))
            })
            .collect()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.try_kubectl(arguments).unwrap_or_default();
        serde_json::from_str(&printed).unwrap_or_default()
    }
}

/// A node, and its kubelet's summary of what is used.
fn in_short(node: &Value, summary: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut lines = format!("node {}\n", text(&node["metadata"]["name"]));
    let mut add = |line: String| writeln!(lines, "  {line}").expect("memory takes it");
    for taint in list(&node["spec"]["taints"]) {
        let (key, effect) = (text(&taint["key"]), text(&taint["effect"]));
        let since = taint["timeAdded"].as_str().unwrap_or("some time");
        add(format!("taint {key}:{effect} since {since}"));
    }
    if node["spec"]["unschedulable"] == true {
        add("cordoned".to_owned());
    }
    for condition in list(&node["status"]["conditions"]) {
        let [kind, status, since, heard, message] = [
            "type",
            "status",
            "lastTransitionTime",
            "lastHeartbeatTime",
            "message",
        ]
        .map(|field| text(&condition[field]));
        add(format!(
            "{kind}={status} since {since}, heard of at {heard}: {message}"
        ));
    }
    let summary = &summary["node"];
    for (what, part) in [
        ("memory", &summary["memory"]),
        ("disk", &summary["fs"]),
        ("disk of images", &summary["runtime"]["imageFs"]),
    ] {
        if let Some(line) = room(what, part) {
            add(line);
        }
    }
    lines
}

fn room(what: &str, part: &Value) -> Option<String> {
    const MIB: u64 = 1 << 20;
    let available = part["availableBytes"].as_u64()? / MIB;
    let mut line = format!("{what}: {available} MiB available");
    for (field, words) in [
        ("capacityBytes", "in all"),
        ("usageBytes", "used with caches"),
        (
            "workingSetBytes",
            "of them not to be given back, says the kubelet",
        ),
    ] {
        if let Some(bytes) = part[field].as_u64() {
            let words = format!(", {} MiB {words}", bytes / MIB);
            line.push_str(&words);
        }
    }
    if let Some(inodes) = part["inodesFree"].as_u64() {
        let words = format!(", {inodes} inodes");
        line.push_str(&words);
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_says_its_taints_conditions_and_room() {
        let node = json!({
            "metadata": { "name": "one" },
            "spec": { "taints": [{ "key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule" }] },
            "status": { "conditions": [{
                "type": "MemoryPressure", "status": "True", "lastTransitionTime": "12:00",
                "lastHeartbeatTime": "12:01", "message": "kubelet has insufficient memory available",
            }] },
        });
        let summary = json!({ "node": {
            "memory": { "availableBytes": 40 << 20, "usageBytes": 900 << 20, "workingSetBytes": 800 << 20 },
            "fs": { "availableBytes": 5 << 20, "capacityBytes": 100 << 20, "inodesFree": 7 },
        } });
        assert_eq!(
            in_short(&node, &summary),
            "node one\n  \
             taint node.kubernetes.io/memory-pressure:NoSchedule since some time\n  \
             MemoryPressure=True since 12:00, heard of at 12:01: kubelet has insufficient memory available\n  \
             memory: 40 MiB available, 900 MiB used with caches, 800 MiB of them not to be given back, says the kubelet\n  \
             disk: 5 MiB available, 100 MiB in all, 7 inodes\n"
        );
    }

    #[test]
    fn what_cannot_be_had_is_left_out() {
        let node = json!({ "metadata": { "name": "one" }, "spec": { "unschedulable": true } });
        assert_eq!(in_short(&node, &Value::Null), "node one\n  cordoned\n");
    }
}
