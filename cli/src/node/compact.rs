//! A document kept for later: its text again, which is a tenth of its tree.

use std::path::PathBuf;
use std::sync::Arc;

use zeron_core::ObjectRef;
use zeron_manifest::{Document, Header, Problems};

use crate::store::StoredManifest;

/// One document as JSON, which is YAML too, without the places of its fields.
#[derive(Clone, Debug)]
pub(crate) struct Compact {
    /// What it declares; `None` when that cannot be told.
    pub(crate) object: Option<ObjectRef>,
    /// The manifest that it came from.
    pub(crate) file: Arc<str>,
    folder: Arc<PathBuf>,
    text: Box<str>,
}

impl Compact {
    /// The document again.
    pub(crate) fn document(&self) -> Option<Document> {
        let (documents, _) = zeron_manifest::parse(&self.file, &self.folder, &self.text);
        documents.into_iter().next()
    }

    /// Whether both say the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text && self.folder == other.folder
    }

    /// What the store keeps of it.
    pub(crate) fn stored(&self) -> StoredManifest {
        StoredManifest {
            name: self.file.to_string(),
            folder: self.folder.as_ref().clone(),
            text: self.text.to_string(),
        }
    }

    /// What the store kept of `object`.
    pub(crate) fn from_stored(object: ObjectRef, manifest: StoredManifest) -> Self {
        Self {
            object: Some(object),
            file: manifest.name.into(),
            folder: Arc::new(manifest.folder),
            text: manifest.text.into(),
        }
    }
}

impl From<&Document> for Compact {
    fn from(document: &Document) -> Self {
        let quiet = Problems::new(false);
        Self {
            object: Header::read(document, &quiet).map(|header| header.object),
            file: Arc::clone(&document.file),
            folder: Arc::clone(&document.folder),
            text: document.value.to_string().into(),
        }
    }
}
