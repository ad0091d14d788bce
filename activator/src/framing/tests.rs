use proptest::prelude::*;

use super::*;

const MAX_LINE: usize = 60 << 10;

fn follow(bytes: &[u8], step: usize) -> Result<Phase, Fault> {
    let mut checker = Checker::new(MAX_LINE);
    for part in bytes.chunks(step.max(1)) {
        checker.follow(part)?;
    }
    Ok(checker.phase())
}

/// One request in a form that every server reads alike.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..200);
    (body, 0usize..3, "[a-z]{1,8}").prop_map(|(body, framing, name)| {
        let mut out = format!("POST /{name} HTTP/1.1\r\nHost: a\r\nX-{name}: b\r\n").into_bytes();
        match framing {
            0 => out.extend(b"\r\n"),
            1 => {
                out.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                out.extend(body);
            }
            _ => {
                out.extend(b"transfer-encoding: chunked\r\n\r\n");
                for part in body.chunks(7) {
                    out.extend(format!("{:x};e=1\r\n", part.len()).bytes());
                    out.extend(part);
                    out.extend(b"\r\n");
                }
                out.extend(b"0\r\nx-sum: 1\r\n\r\n");
            }
        }
        out
    })
}

proptest! {
    #[test]
    fn well_formed_requests_pass_however_they_are_cut(
        requests in prop::collection::vec(request(), 1..4),
        step in 1usize..64,
    ) {
        let bytes = requests.concat();
        prop_assert_eq!(follow(&bytes, step), Ok(Phase::Between));
    }

    #[test]
    fn no_bytes_make_it_panic_and_the_cut_changes_no_verdict(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        step in 1usize..64,
    ) {
        let whole = follow(&bytes, bytes.len());
        let cut = follow(&bytes, step);
        prop_assert_eq!(whole.is_ok(), cut.is_ok());
    }

    #[test]
    fn mutated_requests_get_the_same_verdict_however_they_are_cut(
        mut bytes in request(),
        place: prop::sample::Index,
        with: u8,
        step in 1usize..64,
    ) {
        let place = place.index(bytes.len());
        bytes[place] = with;
        prop_assert_eq!(follow(&bytes, bytes.len()).is_ok(), follow(&bytes, step).is_ok());
    }
}

#[test]
fn ambiguous_heads_are_faults() {
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5,5",
        "Content-Length: 5 5",
        "Content-Length: -5",
        "Content-Length: 18446744073709551616",
        "Content-Length:",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "X: a\n",
        "X: a\r\n Content-Length: 5",
    ];
    for head in heads {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n");
        assert!(
            matches!(follow(bytes.as_bytes(), 4096), Err(Fault::Head(_))),
            "{head}"
        );
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(follow(old.as_bytes(), 4096).is_err());
}

#[test]
fn sloppy_chunks_are_faults() {
    let bodies = [
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx: y\n\r\n",
    ];
    for body in bodies {
        let bytes = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(follow(bytes.as_bytes(), 4096), Err(Fault::Body), "{body:?}");
    }
}

#[test]
fn nothing_after_an_upgrade_is_looked_at() {
    let bytes = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x05\n\n\n";
    assert_eq!(follow(bytes, 4096), Ok(Phase::Beyond));
}
