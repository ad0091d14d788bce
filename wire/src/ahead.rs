//! What the build after this one may say, for tests of upgrades: fields and messages that this
//! build does not know.

use bytes::{BufMut, Bytes, BytesMut};

use crate::version::Versions;

/// A length-delimited field 100, as the next build may have one: in a frame beside what it says,
/// or alone, as a kind of message.
const LATER: [u8; 8] = [0xa2, 0x06, 5, b'l', b'a', b't', b'e', b'r'];

/// A frame as `versions` say it, and what they say beside it.
pub(crate) fn said(versions: Versions, frame: Bytes) -> (Bytes, Option<Bytes>) {
    if !versions.is_ahead() {
        return (frame, None);
    }
    let mut longer = BytesMut::from(frame);
    longer.put_slice(&LATER);
    (longer.freeze(), Some(Bytes::from_static(&LATER)))
}
