//! Peers that ask for too much: large heads, slow heads, floods of HTTP/2 frames (reliability of the edge).
#![allow(clippy::unwrap_used)]

use zeron_tests::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Ended, Frames, HEADERS, PING, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, encoded, fields, request,
};
use zeron_tests::manifest::host;
use zeron_tests::process::resident_bytes;
use zeron_tests::{PATIENCE, Raw, Service, Setup, Zeron};

const MIB: u64 = 1 << 20;
/// What an attack may cost in memory.
const ATTACK: u64 = 32 * MIB;
/// Error code ENHANCE_YOUR_CALM (RFC 9113 section 7).
const ENHANCE_YOUR_CALM: u32 = 11;
/// Error code CANCEL.
const CANCEL: [u8; 4] = 8u32.to_be_bytes();

fn origin() -> Zeron {
    let zeron = Setup::new().function(&Service::new("origin")).up();
    assert_eq!(zeron.get("origin", "/").status, 200);
    zeron
}

#[test]
fn a_head_with_too_many_fields_is_refused() {
    let fields: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    assert_eq!(
        refused(
            &origin(),
            &format!("GET / HTTP/1.1\r\nHost: {{h}}\r\n{fields}\r\n")
        ),
        431
    );
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let zeron = origin();
    for kib in [62, 200] {
        let value = "y".repeat(kib * 1024);
        assert_eq!(
            refused(
                &zeron,
                &format!("GET / HTTP/1.1\r\nHost: {{h}}\r\nX-A: {value}\r\n\r\n")
            ),
            431
        );
    }
}

#[test]
fn a_target_that_is_too_long_is_refused() {
    let zeron = origin();
    for kib in [62, 200] {
        let path = "y".repeat(kib * 1024);
        let status = refused(
            &zeron,
            &format!("GET /{path} HTTP/1.1\r\nHost: {{h}}\r\n\r\n"),
        );
        assert!(matches!(status, 414 | 431), "{status}");
    }
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let zeron = origin();
    let mut endless = zeron.connect();
    endless.send(format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nX-A: ",
        host("origin")
    ));
    let answer = endless.rest();
    let text = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || text.starts_with("HTTP/1.1 408"),
        "{text}"
    );
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let zeron = origin();
    let mut slow = zeron.connect();
    slow.send(format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nX-A: ",
        host("origin")
    ));
    let end = std::time::Instant::now() + PATIENCE;
    while slow.is_silent() {
        assert!(
            std::time::Instant::now() < end,
            "each byte gave it more time"
        );
        slow.send("y");
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
}

#[test]
fn slow_clients_do_not_hold_up_others() {
    let zeron = origin();
    let _slow: Vec<Raw> = (0..300)
        .map(|i| {
            let mut client = zeron.connect();
            let body = if i % 2 == 0 {
                "Content-Length: 1000000\r\n\r\nonly this"
            } else {
                "X-A: "
            };
            client.send(format!(
                "POST /sink HTTP/1.1\r\nHost: {}\r\n{body}",
                host("origin")
            ));
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(zeron.get("origin", "/").status, 200);
    }
}

#[test]
fn a_rapid_reset_flood_is_stopped() {
    let zeron = origin();
    let growth = attack(&zeron, |connection| {
        let block = request("GET", &host("origin"), "/work?ms=1000");
        for i in 0..20_000u32 {
            let stream = 2 * i + 1;
            let mut pair = encoded(HEADERS, END_STREAM | END_HEADERS, stream, &block);
            pair.extend(encoded(RST_STREAM, 0, stream, &CANCEL));
            if connection.send_bytes(&pair).is_err() {
                break;
            }
        }
        connection.until_ended()
    });
    zeron.wait_for("origin", "inFlight", 0);
    assert!(growth < ATTACK, "grew by {} MiB", growth / MIB);
}

/// CVE-2025-8671: resets that the server itself makes escape the cap on streams.
#[test]
fn a_flood_of_resets_that_the_server_makes_is_stopped() {
    let zeron = origin();
    let growth = attack(&zeron, |connection| {
        let block = request("POST", &host("origin"), "/work?ms=1000");
        for i in 0..20_000u32 {
            let stream = 2 * i + 1;
            let mut pair = encoded(HEADERS, END_HEADERS, stream, &block);
            // An increment of zero is an error of the stream (RFC 9113 section 6.9).
            pair.extend(encoded(WINDOW_UPDATE, 0, stream, &[0; 4]));
            if connection.send_bytes(&pair).is_err() {
                break;
            }
        }
        connection.until_ended()
    });
    zeron.wait_for("origin", "inFlight", 0);
    assert!(growth < ATTACK, "grew by {} MiB", growth / MIB);
}

#[test]
fn a_continuation_flood_is_stopped() {
    let zeron = origin();
    let growth = attack(&zeron, |connection| {
        let block = request("GET", &host("origin"), "/");
        connection.send(HEADERS, END_STREAM, 1, &block).unwrap();
        let more = fields(&[("x-more", &"y".repeat(8000))]);
        for _ in 0..20_000 {
            if connection.send(CONTINUATION, 0, 1, &more).is_err() {
                break;
            }
        }
        connection.until_ended()
    });
    assert!(growth < ATTACK, "grew by {} MiB", growth / MIB);
}

#[test]
fn a_flood_of_empty_continuations_is_stopped() {
    let zeron = origin();
    attack(&zeron, |connection| {
        connection
            .send(
                HEADERS,
                END_STREAM,
                1,
                &request("GET", &host("origin"), "/"),
            )
            .unwrap();
        for _ in 0..200_000 {
            if connection.send(CONTINUATION, 0, 1, &[]).is_err() {
                break;
            }
        }
        connection.until_ended()
    });
}

#[test]
fn floods_of_frames_that_want_an_answer_hold_no_memory() {
    let zeron = origin();
    for (kind, payload) in [(PING, &[7u8; 8][..]), (SETTINGS, &[][..])] {
        let before = resident_bytes(zeron.pid());
        let mut connection = Frames::connect(zeron.requests);
        let many = encoded(kind, 0, 0, payload).repeat(1000);
        // Nobody reads the answers: either the peer stops reading too, or it ends the connection.
        connection.limit_writes();
        for _ in 0..2000 {
            if connection.send_bytes(&many).is_err() {
                break;
            }
        }
        assert_eq!(
            zeron.get("origin", "/").status,
            200,
            "others are served meanwhile"
        );
        let growth = resident_bytes(zeron.pid()).saturating_sub(before);
        assert!(growth < ATTACK, "kind {kind}: grew by {} MiB", growth / MIB);
    }
}

#[test]
fn a_flood_of_empty_data_frames_does_not_stop_others() {
    let zeron = origin();
    let mut connection = Frames::connect(zeron.requests);
    let block = request("POST", &host("origin"), "/sink");
    connection.send(HEADERS, END_HEADERS, 1, &block).unwrap();
    let many = encoded(DATA, 0, 1, &[]).repeat(1000);
    connection.limit_writes();
    for _ in 0..200 {
        if connection.send_bytes(&many).is_err() {
            break;
        }
    }
    assert_eq!(zeron.get("origin", "/").status, 200);
}

#[test]
fn an_http2_head_that_is_too_large_is_refused() {
    let zeron = origin();
    let mut connection = Frames::connect(zeron.requests);
    let host = host("origin");
    let value = "y".repeat(4000);
    let mut all = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", &host),
        (":path", "/"),
    ];
    all.extend((0..50).map(|_| ("x-more", value.as_str())));
    let block = fields(&all);
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    connection.send(HEADERS, END_STREAM, 1, pieces[0]).unwrap();
    for (i, piece) in pieces.iter().enumerate().skip(1) {
        let flags = if i + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        if connection.send(CONTINUATION, flags, 1, piece).is_err() {
            break;
        }
    }
    // 431 as an answer is as good as an end of the stream or of the connection.
    drop(connection.answer(1));
    assert_eq!(
        zeron
            .get("origin", "/seen")
            .text()
            .matches("GET / ")
            .count(),
        1,
        "it got no further"
    );
}

/// Rows of RFC 9113 section 8.2: malformed requests are stream errors and reach nobody.
#[test]
fn malformed_http2_requests_reach_nobody() {
    let zeron = origin();
    let host = host("origin");
    let rows: &[(&str, Vec<(&str, &str)>)] = &[
        (
            "a line break in a value",
            vec![("x-a", "b\r\nContent-Length: 5")],
        ),
        ("a NUL in a value", vec![("x-a", "b\0c")]),
        ("a colon in a name", vec![("x:a", "b")]),
        ("a line break in a name", vec![("x\r\na", "b")]),
        ("an upper-case name", vec![("X-A", "b")]),
        ("a transfer coding", vec![("transfer-encoding", "chunked")]),
        ("a connection header", vec![("connection", "close")]),
        ("a length that is not met", vec![("content-length", "5")]),
        (
            "lengths that differ",
            vec![("content-length", "0"), ("content-length", "5")],
        ),
    ];
    for (row, extra) in rows {
        let mut all = vec![
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", host.as_str()),
            (":path", "/evil"),
        ];
        all.extend(extra);
        assert_malformed(&zeron, row, &all);
    }
    for (row, path) in [
        ("a path with a line break", "/evil\r\nX: y"),
        ("a path with a space", "/evil HTTP/1.1"),
        ("no path", ""),
    ] {
        let all = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", host.as_str()),
            (":path", path),
        ];
        assert_malformed(&zeron, row, &all);
    }
    for (row, authority) in [
        ("an authority with a line break", "a\r\nb"),
        ("an authority with a path", "a/b"),
    ] {
        let all = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", authority),
            (":path", "/evil"),
        ];
        assert_malformed(&zeron, row, &all);
    }
}

fn assert_malformed(zeron: &Zeron, row: &str, all: &[(&str, &str)]) {
    let mut connection = Frames::connect(zeron.requests);
    connection
        .send(HEADERS, END_STREAM | END_HEADERS, 1, &fields(all))
        .unwrap();
    drop(connection.answer(1)); // a reset, an end, or 400: anything but a request for the function
    let seen = zeron.get("origin", "/seen").text();
    assert!(!seen.contains("/evil"), "{row} came through: {seen}");
}

/// Floods one connection, which must end; others must be served. Returns by how much memory grew.
fn attack(zeron: &Zeron, flood: impl FnOnce(&mut Frames) -> Ended) -> u64 {
    let before = resident_bytes(zeron.pid());
    let mut connection = Frames::connect(zeron.requests);
    connection.send(SETTINGS, ACK, 0, &[]).unwrap();
    let ended = flood(&mut connection);
    if let Ended::GoAway(code) = ended {
        assert!(code != 0, "an attack does not end in peace");
        if code != ENHANCE_YOUR_CALM {
            eprintln!("ended with error code {code}");
        }
    }
    assert_eq!(zeron.get("origin", "/").status, 200, "others are served");
    resident_bytes(zeron.pid()).saturating_sub(before)
}

/// Sends a head, which must be refused; the status. `{h}` is the host.
fn refused(zeron: &Zeron, head: &str) -> u16 {
    let mut client = zeron.connect();
    client.send(head.replace("{h}", &host("origin")));
    client.finish();
    // What was sent beyond the refusal may turn its end into a reset that overtakes it.
    let status = client.try_response().map_or(431, |answer| answer.status);
    let seen = zeron.get("origin", "/seen").json();
    assert!(
        seen.as_array().unwrap().len() <= 3,
        "it did not reach the function"
    );
    status
}
