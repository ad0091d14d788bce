//! Byte streams on which readers of HTTP/1.1 are known to disagree, or that none may take.

/// A request that only a desynchronised reader takes for one.
pub(crate) const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: hidden.invalid\r\nX-Pad: ";

/// Heads that are refused with 400; `{h}` is the host.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    (
        "lengths that differ",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ),
    (
        "lengths that differ in a list",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5, 6\r\n\r\nhello",
    ),
    (
        "a length with a plus",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: +5\r\n\r\nhello",
    ),
    (
        "a hexadecimal length",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 0x5\r\n\r\nhello",
    ),
    (
        "a length with a space within",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5 5\r\n\r\nhello",
    ),
    (
        "a negative length",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: -5\r\n\r\nhello",
    ),
    (
        "a length beyond 64 bits",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
    ),
    (
        "an empty length",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length:\r\n\r\nhello",
    ),
    (
        "an unknown coding",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked not last",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked behind a control character",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in HTTP/1.0",
        "POST /echo HTTP/1.0\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a space before the colon",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length : 5\r\n\r\nhello",
    ),
    (
        "a folded line",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nX-A: b\r\n Content-Length: 5\r\n\r\nhello",
    ),
    (
        "a NUL in a value",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nX-A: b\0c\r\n\r\n",
    ),
    (
        "a bare CR in a value",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nX-A: b\rContent-Length: 5\r\n\r\n",
    ),
    (
        "a line that starts with a colon",
        "GET /echo HTTP/1.1\r\nHost: {h}\r\n: b\r\n\r\n",
    ),
    ("no host", "GET /echo HTTP/1.1\r\nX-A: {h}\r\n\r\n"),
    (
        "two hosts",
        "GET /echo HTTP/1.1\r\nHost: {h}\r\nHost: {h}\r\n\r\n",
    ),
    (
        "two spaces in the request line",
        "GET  /echo HTTP/1.1\r\nHost: {h}\r\n\r\n",
    ),
    (
        "a space in the target",
        "GET /ec ho HTTP/1.1\r\nHost: {h}\r\n\r\n",
    ),
    (
        "an unknown version",
        "GET /echo HTTP/1.9\r\nHost: {h}\r\n\r\n",
    ),
    ("no HTTP at all", "hello, is anybody there?\r\n\r\n"),
];

/// Chunked bodies that are broken; `{h}` is the host.
pub(crate) const BROKEN_CHUNKS: &[(&str, &str)] = &[
    ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
    ("no size", "\r\nhello\r\n0\r\n\r\n"),
    (
        "a size beyond 64 bits",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    ("a chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
    ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
];

/// Whole byte streams on which readers are known to disagree; `{h}` is the host, `{hidden}` the hidden request.
pub(crate) const AMBIGUOUS: &[(&str, &str)] = &[
    (
        "length, then chunked",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "chunked, then length",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "chunked beside a longer length",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\nContent-Length: 120\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "chunked twice",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "chunked after identity",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "equal lengths",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello{hidden}",
    ),
    (
        "equal lengths in a list",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5, 5\r\n\r\nhello{hidden}",
    ),
    (
        "a length of zero on GET",
        "GET /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 0\r\n\r\n{hidden}",
    ),
    (
        "a body on GET",
        "GET /echo HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\n\r\nhello{hidden}",
    ),
    (
        "no length on POST",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\n\r\n{hidden}",
    ),
    (
        "a length that Connection names",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nConnection: content-length\r\nContent-Length: 85\r\n\r\n{hidden}",
    ),
    (
        "a size followed by a space",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n{hidden}",
    ),
    (
        "bare LF in a head",
        "POST /echo HTTP/1.1\nHost: {h}\nContent-Length: 5\n\nhello{hidden}",
    ),
    (
        "bare LF in chunks",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n{hidden}",
    ),
    (
        "a chunk extension",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"\r\nhello\r\n0\r\n\r\n{hidden}",
    ),
    (
        "a trailer named like a framing header",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n{hidden}",
    ),
    // CVE-2026-2833: bytes after an Upgrade that is not granted belong to no tunnel.
    (
        "bytes after an Upgrade",
        "GET / HTTP/1.1\r\nHost: {h}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n{hidden}",
    ),
    (
        "bytes after an Upgrade to another protocol",
        "GET / HTTP/1.1\r\nHost: {h}\r\nConnection: Upgrade\r\nUpgrade: foo/2\r\n\r\n{hidden}",
    ),
    (
        "bytes after an Upgrade with a body",
        "POST / HTTP/1.1\r\nHost: {h}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello{hidden}",
    ),
    // CVE-2026-2835: HTTP/1.0 with a body, and several codings.
    (
        "HTTP/1.0 with two framings",
        "POST /echo HTTP/1.0\r\nHost: {h}\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "HTTP/1.0 with several codings",
        "POST /echo HTTP/1.0\r\nHost: {h}\r\nConnection: keep-alive\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
    ),
    (
        "HTTP/1.0 without a length",
        "POST /echo HTTP/1.0\r\nHost: {h}\r\nConnection: keep-alive\r\n\r\n{hidden}",
    ),
    (
        "several codings, chunked hidden",
        "POST /echo HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{hidden}",
    ),
];
