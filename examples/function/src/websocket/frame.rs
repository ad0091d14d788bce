//! One WebSocket frame (RFC 6455 section 5.2).

use std::io::{self, Read, Write};

/// Longest payload that is taken.
const MAX_PAYLOAD: u64 = 1 << 20;

/// One frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    is_final: bool,
    pub(crate) opcode: Opcode,
    pub(crate) payload: Vec<u8>,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Frame {
    pub(crate) fn new(opcode: Opcode, payload: Vec<u8>) -> Self {
        Self {
            is_final: true,
            opcode,
            payload,
        }
    }

    /// Reads a frame and takes its mask off.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let [first, second] = array(from)?;
        let opcode = Opcode::of(first & 0x0f).ok_or(io::ErrorKind::InvalidData)?;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(array(from)?)),
            127 => u64::from_be_bytes(array(from)?),
            short => u64::from(short),
        };
        if length > MAX_PAYLOAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mask: [u8; 4] = if second & 0x80 == 0 {
            [0; 4]
        } else {
            array(from)?
        };
        let mut payload = Vec::new();
        from.take(length).read_to_end(&mut payload)?;
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        Ok(Self {
            is_final: first & 0x80 != 0,
            opcode,
            payload,
        })
    }

    /// Writes it as a server does, unmasked.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut bytes = vec![u8::from(self.is_final) << 7 | self.opcode.code()];
        match (
            u8::try_from(self.payload.len()),
            u16::try_from(self.payload.len()),
        ) {
            (Ok(short), _) if short < 126 => bytes.push(short),
            (_, Ok(medium)) => {
                bytes.push(126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend((self.payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&self.payload);
        out.write_all(&bytes)
    }
}

impl Opcode {
    const fn of(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455 section 5.7: a masked "Hello".
    #[test]
    fn a_masked_frame_is_unmasked() {
        let wire = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        let frame = Frame::read(&mut &wire[..]).unwrap();
        assert_eq!(frame, Frame::new(Opcode::Text, b"Hello".to_vec()));
    }

    #[test]
    fn every_length_form_survives_a_round_trip() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let frame = Frame::new(Opcode::Binary, vec![7; length]);
            let mut wire = Vec::new();
            frame.write(&mut wire).unwrap();
            assert_eq!(Frame::read(&mut &wire[..]).unwrap(), frame);
        }
    }

    #[test]
    fn a_payload_beyond_the_limit_is_refused() {
        let mut wire = vec![0x82, 127];
        wire.extend((MAX_PAYLOAD + 1).to_be_bytes());
        assert!(Frame::read(&mut &wire[..]).is_err());
    }
}
