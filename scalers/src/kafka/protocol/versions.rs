//! Which versions of which requests a broker knows.

use super::{Api, Code, Garbled, Reader};

/// What a broker said about the requests that are used here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Vec<(i16, i16, i16)>);

impl Versions {
    /// Reads the answer to `Request::api_versions`.
    ///
    /// # Errors
    /// [`Garbled`] where it cannot be read, and where the broker refuses.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Garbled> {
        if Code(reader.i16()?) != Code::NONE {
            return Err(Garbled);
        }
        reader
            .list(|reader| Ok((reader.i16()?, reader.i16()?, reader.i16()?)))
            .map(Self)
    }

    /// The newest version of `api` that both sides know.
    pub(crate) fn newest(&self, api: Api) -> Option<i16> {
        let (_, min, max) = self.0.iter().find(|(key, ..)| *key == api.key())?;
        let ours = api.spec().2;
        let version = *ours.end().min(max);
        (version >= *ours.start().max(min)).then_some(version)
    }
}
