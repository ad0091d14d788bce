//! Writes the fields of a request.

/// The bytes of a request so far.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    is_flexible: bool,
}

impl Writer {
    /// Nothing yet; `is_flexible`: with compact lengths and tagged fields.
    pub(super) fn new(is_flexible: bool) -> Self {
        Self {
            bytes: Vec::new(),
            is_flexible,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.bytes.push(value.into());
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    /// A text of at most 32,767 bytes: names that are longer were refused with their trigger, and no
    /// broker has a topic of such a name.
    pub(super) fn text(&mut self, text: &str) {
        let longest = usize::from(i16::MAX.unsigned_abs());
        let text = &text[..text.floor_char_boundary(longest)];
        match self.is_flexible {
            true => self.varint(text.len() + 1),
            false => self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX)),
        }
        self.bytes.extend(text.as_bytes());
    }

    /// No text.
    pub(super) fn null_text(&mut self) {
        match self.is_flexible {
            true => self.varint(0),
            false => self.i16(-1),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend(bytes);
    }

    /// How many elements follow.
    pub(super) fn count(&mut self, count: usize) {
        match self.is_flexible {
            true => self.varint(count + 1),
            false => self.i32(i32::try_from(count).unwrap_or(i32::MAX)),
        }
    }

    /// No list.
    pub(super) fn null_list(&mut self) {
        match self.is_flexible {
            true => self.varint(0),
            false => self.i32(-1),
        }
    }

    /// No tagged fields, where this version has them.
    pub(super) fn tags(&mut self) {
        if self.is_flexible {
            self.varint(0);
        }
    }
}
