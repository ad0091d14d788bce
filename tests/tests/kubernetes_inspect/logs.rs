//! What replicas wrote.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use zeron_tests::cluster::Namespace;
use zeron_tests::until;

use super::site::{DEPLOYMENT, Site};

/// `zeron logs -f`. It is killed when this is dropped.
pub(crate) struct Following {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Following {
    pub(crate) fn start(site: &Site, namespace: &Namespace, command: &[&str]) -> Self {
        let kubeconfig = namespace.cluster().kubeconfig();
        let arguments = site.arguments(namespace, command, kubeconfig);
        let mut child = zeron_tests::program()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (output, seen) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// How often it showed this line.
    pub(crate) fn count(&self, line: &str) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|it| *it == line).count()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap()
}

/// Lets a pod's program end itself, in the middle of a request.
pub(crate) fn end(pod: &Value, code: u8) {
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let mut stream = until("it to listen", || TcpStream::connect((ip, 8080)).ok());
    let request = format!("GET /exit?code={code} HTTP/1.1\r\nhost: function\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
}

#[test]
fn logs_of_all_replicas_come_with_their_names() {
    let Some(site) = Site::get("logs_of_all_replicas_come_with_their_names") else {
        return;
    };
    site.function("writing", 2, "good morning");
    site.namespace.wait_replicas(DEPLOYMENT, "writing", 2);
    let pods = site.namespace.wait_pods("app=writing", 2);
    let line = |pod: &Value, text: &str| format!("[{}] {text}", name(pod));
    let first = |pod: &Value| line(pod, "good morning");
    until("the lines of both", || {
        let logs = site.said(&["logs", "writing"]);
        let is_said = |pod: &Value| logs.lines().any(|it| it == first(pod));
        pods.iter().all(is_said).then_some(())
    });
    let last = site.said(&["logs", "writing", "--tail", "1"]);
    assert_eq!(last.lines().count(), 2, "{last}");
    let chosen = ["logs", "writing", "--replica", name(&pods[0])];
    assert_eq!(site.said(&chosen), "good morning\n");
    let timed = site.said(&[&chosen[..], &["--timestamps"]].concat());
    assert!(timed.ends_with("Z good morning\n"), "{timed}");
    let wrong = site.zeron(&["logs", "writing", "--replica", "another"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains(name(&pods[1])), "{}", wrong.stderr);

    let following = Following::start(&site, &site.namespace, &["logs", "writing", "-f"]);
    let seen = |what: &str, text: &str, count: usize| {
        until(what, || (following.count(text) == count).then_some(()));
    };
    for pod in &pods {
        seen("what was written before", &first(pod), 1);
    }
    // Its container is started again, and nothing is said twice.
    end(&pods[0], 1);
    seen(
        "a container's last words",
        &line(&pods[0], "zeron-example-function: asked to exit"),
        1,
    );
    seen("the next container's first words", &first(&pods[0]), 2);
    assert_eq!(following.count(&first(&pods[1])), 1);
    // One that comes later is followed too.
    site.floor("writing", 3);
    let all = site.namespace.wait_pods("app=writing", 3);
    let is_new = |pod: &&Value| pods.iter().all(|known| name(known) != name(pod));
    let third = all.iter().find(is_new).unwrap();
    seen("a new replica's first words", &first(third), 1);
}

#[test]
fn a_function_at_zero_has_no_lines_and_says_why() {
    let Some(site) = Site::get("a_function_at_zero_has_no_lines_and_says_why") else {
        return;
    };
    site.function("silent-at-zero", 0, "never said");
    let admin = site.namespace.cluster().kubeconfig();
    until("it to be listed", || {
        site.listed(admin)
            .contains(&"silent-at-zero".to_owned())
            .then_some(())
    });
    let output = until("it to be decided", || {
        let output = site.zeron(&["logs", "silent-at-zero"]);
        output.stderr.contains("Decided ").then_some(output)
    });
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""));
    for said in [
        "silent-at-zero (",
        "has no replica that could write lines",
        "It is at zero. A request or an active trigger wakes it.",
    ] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    // Followed, it waits for the first replica.
    let following = Following::start(&site, &site.namespace, &["logs", "silent-at-zero", "-f"]);
    site.floor("silent-at-zero", 1);
    let pods = site.namespace.wait_pods("app=silent-at-zero", 1);
    let line = format!("[{}] never said", name(&pods[0]));
    until("the first words", || {
        (following.count(&line) == 1).then_some(())
    });
}
