//! Large bodies, with memory that stays flat.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use zeron_tests::manifest::host;
use zeron_tests::process::resident_bytes;
use zeron_tests::wait::throughout;
use zeron_tests::{Service, Setup, Zeron};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
/// Buffers of one request are some hundred KiB; the rest is the allocator's freedom.
const FLAT: u64 = 48 * MIB;

#[test]
fn a_body_of_one_gib_while_cold_leaves_memory_flat() {
    let service = Service::new("sink")
        .args(&["--ready-after", "2000"])
        .timeout_seconds(300);
    let zeron = Setup::new().function(&service).up();
    let mut client = zeron.connect();
    let growth = growth_of(&zeron, || {
        let host = host("sink");
        client.send(format!(
            "POST /sink HTTP/1.1\r\nHost: {host}\r\nContent-Length: {GIB}\r\n\r\n"
        ));
        let piece = vec![b'z'; 1 << 20];
        for _ in 0..GIB / MIB {
            client.try_send(&piece).unwrap();
        }
        assert_eq!(client.response().json()["bytes"], GIB);
    });
    assert!(growth < FLAT, "grew by {} MiB", growth / MIB);
}

#[test]
fn an_answer_that_nobody_reads_leaves_memory_flat() {
    let zeron = Setup::new().function(&Service::new("source")).up();
    assert_eq!(zeron.get("source", "/").status, 200);
    let mut client = zeron.connect();
    let growth = growth_of(&zeron, || {
        client.get(&host("source"), &format!("/bytes?n={}", GIB / 4));
        client.wait_readable();
        throughout(std::time::Duration::from_secs(2), "it waits", || true);
        let head = client.head().unwrap();
        assert_eq!(
            head.header("content-length"),
            Some((GIB / 4).to_string().as_str())
        );
        let read = std::io::copy(&mut (&mut client).take(GIB / 4), &mut std::io::sink()).unwrap();
        assert_eq!(read, GIB / 4, "nothing is lost by waiting");
    });
    assert!(growth < FLAT, "grew by {} MiB", growth / MIB);
}

#[test]
fn continue_is_withheld_while_cold() {
    let service = Service::new("sink").args(&["--ready-after", "5000"]);
    let zeron = Setup::new().function(&service).up();
    let mut client = zeron.connect();
    client.send(format!(
        "POST /sink HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        host("sink")
    ));
    zeron.wait_for("sink", "queued", 1);
    let is_cold = || zeron.count("sink", "ready") == 0;
    zeron_tests::until("the function to be ready", || {
        let was_silent = client.is_silent();
        // Asked in this order: an answer seen before it was ready came too early.
        assert!(
            was_silent || !is_cold(),
            "100 Continue came while the function was cold"
        );
        (!was_silent).then_some(())
    });
    assert_eq!(client.head().unwrap().status, 100);
    client.send("hello");
    assert_eq!(client.response().json()["bytes"], 5);
}

#[test]
fn a_client_that_does_not_wait_for_continue_is_served() {
    let zeron = Setup::new().function(&Service::new("sink")).up();
    let mut client = zeron.connect();
    client.send(format!(
        "POST /sink HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        host("sink")
    ));
    assert_eq!(client.response().json()["bytes"], 5);
}

#[test]
fn an_answer_may_come_before_the_body_was_sent() {
    let zeron = Setup::new().function(&Service::new("early")).up();
    let mut client = zeron.connect();
    client.send(format!(
        "POST /status?code=413 HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\nonly this",
        host("early")
    ));
    assert_eq!(
        client.response().status,
        413,
        "the answer did not wait for the body"
    );
}

/// By how much the process grows while `work` is done, at its highest.
fn growth_of(zeron: &Zeron, work: impl FnOnce()) -> u64 {
    let before = resident_bytes(zeron.pid());
    let highest = AtomicU64::new(before);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                highest.fetch_max(resident_bytes(zeron.pid()), Ordering::Relaxed);
                thread::park_timeout(std::time::Duration::from_millis(20));
            }
        });
        let _done = Done(&is_done);
        work();
    });
    highest.into_inner() - before
}

/// Says that the work is over, also when it fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
