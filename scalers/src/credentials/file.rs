//! `filePath`: a JSON object of texts below the administrator's folder.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::Secret;

use super::Values;
use crate::source::unknown;

/// Longer files are refused.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file below `root`. Messages name the file, never what it contains.
pub(super) async fn read(root: Option<&Path>, path: &str) -> Result<Values, Unknown> {
    let Some(root) = root else {
        let message = "filePath: this process was given no folder for it";
        return Err(unknown(UnknownKind::Configuration, message));
    };
    let (file, shown) = (root.join(path), path.to_owned());
    let read = tokio::task::spawn_blocking(move || load(file, &shown));
    match read.await {
        Ok(values) => values,
        Err(_) => Err(unknown(UnknownKind::NotRead, "the process is ending")),
    }
}

fn load(file: PathBuf, shown: &str) -> Result<Values, Unknown> {
    let opened = std::fs::File::open(file);
    let mut text = String::new();
    opened
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| unknown(UnknownKind::Missing, format!("filePath {shown}: {error}")))?;
    let values: BTreeMap<String, String> = serde_json::from_str(&text).map_err(|_| {
        let message = format!("filePath {shown}: not a JSON object of texts");
        unknown(UnknownKind::Parse, message)
    })?;
    let values = values.into_iter().map(|(k, v)| (k, Secret::new(v)));
    Ok(Arc::new(values.collect()))
}
