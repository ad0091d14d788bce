//! `traceparent` (W3C Trace Context): passed on as it came, or made.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Gives the request a trace of its own when it has none. Not sampled: nobody asked for it.
pub(super) fn ensure(headers: &mut HeaderMap) {
    if headers.contains_key(TRACEPARENT) {
        return;
    }
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&mut text[3..19], next());
    write_hex(&mut text[19..35], next());
    write_hex(&mut text[36..52], next());
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text)) {
        headers.insert(TRACEPARENT, value);
    }
}

fn write_hex(out: &mut [u8], number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (place, byte) in out.iter_mut().enumerate() {
        let digit = (number >> (60 - 4 * place)) & 0xf;
        *byte = DIGITS[usize::try_from(digit).unwrap_or(0)];
    }
}

/// A number that is never zero and does not repeat (splitmix64 from a random seed per thread).
fn next() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
    }
    STATE.with(|state| {
        state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = state.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) | 1
    })
}

/// A number for choices that need no secrecy.
pub(crate) fn draw() -> u64 {
    next() >> 1
}
