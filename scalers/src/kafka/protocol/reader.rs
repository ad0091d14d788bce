//! Reads the fields of an answer. Nothing of it is trusted: a length counts once its bytes are there.

/// The answer is not what the protocol says it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

/// The bytes of an answer that were not read yet.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    is_flexible: bool,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `is_flexible`: with compact lengths and tagged fields.
    pub(crate) fn new(bytes: &'a [u8], is_flexible: bool) -> Self {
        Self {
            rest: bytes,
            is_flexible,
        }
    }

    /// Bytes that were not read.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Garbled> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Garbled)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Garbled)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A byte that is zero for false.
    pub(crate) fn flag(&mut self) -> Result<bool, Garbled> {
        Ok(self.chunk::<1>()? != [0])
    }

    /// A number of 16 bits.
    pub(crate) fn i16(&mut self) -> Result<i16, Garbled> {
        Ok(i16::from_be_bytes(self.chunk()?))
    }

    /// A number of 32 bits.
    pub(crate) fn i32(&mut self) -> Result<i32, Garbled> {
        Ok(i32::from_be_bytes(self.chunk()?))
    }

    /// A number of 64 bits.
    pub(crate) fn i64(&mut self) -> Result<i64, Garbled> {
        Ok(i64::from_be_bytes(self.chunk()?))
    }

    /// Seven bits per byte, the lowest first.
    fn varint(&mut self) -> Result<usize, Garbled> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.chunk()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| Garbled);
            }
        }
        Err(Garbled)
    }

    /// A compact length is one more than it says, so that zero is null.
    fn compact(&mut self) -> Result<Option<usize>, Garbled> {
        Ok(self.varint()?.checked_sub(1))
    }

    fn plain(length: i32) -> Result<Option<usize>, Garbled> {
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Garbled),
        }
    }

    /// A text, or null.
    pub(crate) fn text_or_null(&mut self) -> Result<Option<&'a str>, Garbled> {
        let length = match self.is_flexible {
            true => self.compact()?,
            false => Self::plain(self.i16()?.into())?,
        };
        let bytes = length.map(|length| self.take(length)).transpose()?;
        bytes
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| Garbled))
            .transpose()
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<&'a str, Garbled> {
        self.text_or_null()?.ok_or(Garbled)
    }

    /// Bytes; null counts as none.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Garbled> {
        let length = self.length()?;
        self.take(length)
    }

    fn length(&mut self) -> Result<usize, Garbled> {
        let length = match self.is_flexible {
            true => self.compact()?,
            false => Self::plain(self.i32()?)?,
        };
        Ok(length.unwrap_or(0))
    }

    /// A list whose elements `read` reads; null counts as empty.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Vec<T>, Garbled> {
        let count = self.length()?;
        // Every element takes a byte at least: more of them than bytes cannot be.
        if count > self.left() {
            return Err(Garbled);
        }
        // Grows as elements are read, whatever `count` says.
        (0..count).map(|_| read(self)).collect()
    }

    /// Passes over tagged fields, where this version has them.
    pub(crate) fn tags(&mut self) -> Result<(), Garbled> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            self.varint()?;
            let size = self.varint()?;
            self.take(size)?;
        }
        Ok(())
    }
}
