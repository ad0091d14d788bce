//! Edits: a new revision starts beside the old one, traffic moves when it is ready, nobody notices.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use zeron_tests::manifest::host;
use zeron_tests::{Raw, Service, Setup, Zeron, until};

const FILE: &str = "hello.default.localhost.yaml";

fn saying(message: &str) -> Service {
    Service::new("hello").env("MESSAGE", message)
}

#[test]
fn an_edit_makes_a_revision_that_takes_over() {
    let zeron = Setup::new().function(&saying("One")).up();
    assert_eq!(zeron.get("hello", "/").text(), "One from hello-00001\n");
    zeron.edit(FILE, &saying("Two").yaml());
    until("the second revision to answer", || {
        (zeron.get("hello", "/").text() == "Two from hello-00002\n").then_some(())
    });
    zeron.wait_for_zero("hello-00001");
}

#[test]
fn a_file_written_without_a_change_makes_no_revision() {
    let zeron = Setup::new().function(&saying("One")).up();
    assert_eq!(zeron.get("hello", "/").status, 200);
    zeron.edit(FILE, &format!("# a remark\n{}", saying("One").yaml()));
    zeron.edit("other.yaml", &Service::new("other").yaml());
    until("the edit to be seen", || {
        (zeron.get("other", "/").status == 200).then_some(())
    });
    assert_eq!(zeron.get("hello", "/").text(), "One from hello-00001\n");
}

#[test]
fn revisions_swap_under_load_without_a_failed_request() {
    let zeron = Setup::new().function(&saying("Revision 1")).up();
    let load = Load::default();
    thread::scope(|scope| {
        let _stop = load.start(scope, &zeron);
        for n in 2..=4 {
            let message = format!("Revision {n}");
            zeron.edit(FILE, &saying(&message).yaml());
            until(&format!("revision {n} to answer"), || {
                zeron
                    .get("hello", "/")
                    .text()
                    .starts_with(&message)
                    .then_some(())
            });
        }
    });
    load.assert_none_failed();
}

#[test]
fn a_manifest_broken_under_load_keeps_what_runs() {
    let zeron = Setup::new().function(&saying("Fine")).up();
    let load = Load::default();
    thread::scope(|scope| {
        let _stop = load.start(scope, &zeron);
        for broken in [
            "{{{ not yaml",
            "kind: Service\n",
            &saying("Fine").yaml().replace("env:", "enf:"),
        ] {
            zeron.edit(FILE, broken);
            until("the problem to be reported", || {
                zeron
                    .admin("GET", "/v1/problems", "")
                    .unwrap()
                    .text()
                    .contains(FILE)
                    .then_some(())
            });
            assert_eq!(zeron.get("hello", "/").text(), "Fine from hello-00001\n");
        }
        zeron.edit(FILE, &saying("Mended").yaml());
        until("the mended file to be followed", || {
            zeron
                .get("hello", "/")
                .text()
                .starts_with("Mended")
                .then_some(())
        });
    });
    load.assert_none_failed();
}

#[test]
fn a_revision_that_never_becomes_ready_gets_no_traffic() {
    let zeron = Setup::new().function(&saying("Good")).up();
    assert_eq!(zeron.get("hello", "/").status, 200);
    zeron.edit(FILE, &saying("Bad").args(&["--exit-at-once", "1"]).yaml());
    until("the new revision to be tried", || {
        zeron
            .functions()
            .iter()
            .find(|view| view["failure"].is_object())
            .map(drop)
    });
    for _ in 0..5 {
        assert_eq!(zeron.get("hello", "/").text(), "Good from hello-00001\n");
    }
}

#[test]
fn a_deleted_file_takes_its_function_away() {
    let zeron = Setup::new().function(&saying("Hello")).up();
    assert_eq!(zeron.get("hello", "/").status, 200);
    let pid = zeron.replicas("hello")[0];
    std::fs::remove_file(zeron.manifests().join(FILE)).unwrap();
    until("the route to be gone", || {
        (zeron.get("hello", "/").status == 404).then_some(())
    });
    until("the replica to be gone", || {
        (!zeron_tests::process::is_alive(pid)).then_some(())
    });
}

#[test]
fn traffic_is_split_between_named_revisions() {
    let zeron = Setup::new()
        .manifest("traffic.yaml", include_str!("../../examples/traffic.yaml"))
        .up();
    let mut counts = [0, 0];
    for _ in 0..200 {
        let text = zeron.get("split", "/").text();
        match text.trim() {
            "The first from split-v1" => counts[0] += 1,
            "The second from split-v2" => counts[1] += 1,
            other => panic!("{other}"),
        }
    }
    // 80 and 20 in a hundred; five standard deviations of 200 draws are 28.
    assert!((132..=188).contains(&counts[0]), "{counts:?}");
    assert_eq!(
        zeron.get("stable-split", "/").text(),
        "The first from split-v1\n"
    );
    assert_eq!(
        zeron.get("next-split", "/").text(),
        "The second from split-v2\n"
    );
}

/// Requests all the time, on connections that stay open and on new ones.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    answered: AtomicUsize,
    failed: parking::Failures,
}

/// Ends the load when it goes, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Load {
    fn start<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        zeron: &'scope Zeron,
    ) -> Stop<'scope> {
        scope.spawn(|| self.keep_asking(zeron, true));
        scope.spawn(|| self.keep_asking(zeron, false));
        scope.spawn(|| self.keep_asking(zeron, true));
        until("the load to flow", || {
            (self.answered.load(Ordering::Relaxed) > 10).then_some(())
        });
        Stop(&self.is_over)
    }

    fn keep_asking(&self, zeron: &Zeron, keeps_connection: bool) {
        let mut client = zeron.connect();
        while !self.is_over.load(Ordering::Relaxed) {
            if !keeps_connection {
                client = zeron.connect();
            }
            let answer = client.get(&host("hello"), "/work?ms=5").try_response();
            match answer {
                Ok(answer) if answer.status == 200 && !answer.body.is_empty() => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    if answer.header("connection") == Some("close") {
                        client = zeron.connect();
                    }
                }
                Ok(answer) => self
                    .failed
                    .note(format!("{} {}", answer.status, answer.text())),
                Err(error) => {
                    self.failed.note(error.to_string());
                    client = Raw::connect(zeron.requests);
                }
            }
        }
    }

    fn assert_none_failed(&self) {
        let failed = self.failed.all();
        let answered = self.answered.load(Ordering::Relaxed);
        assert!(
            failed.is_empty(),
            "{} of {answered} failed: {:?}",
            failed.len(),
            failed.first()
        );
        assert!(answered > 10, "the load flowed: {answered}");
    }
}

mod parking {
    use std::sync::Mutex;

    /// What went wrong, in words.
    #[derive(Default)]
    pub(super) struct Failures(Mutex<Vec<String>>);

    impl Failures {
        pub(super) fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        pub(super) fn all(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }
}
