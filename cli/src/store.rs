//! What survives a restart: applied manifests and the revisions of Services, in one redb file.
//!
//! Calls block on the disk: from asynchronous code they belong into `spawn_blocking`.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeron_core::ObjectRef;

/// Object (as JSON) to [`StoredManifest`] (as JSON).
const MANIFESTS: TableDefinition<&str, &[u8]> = TableDefinition::new("manifests.v1");
/// `NAMESPACE/SERVICE` to the owner's record (as JSON).
const SERVICES: TableDefinition<&str, &[u8]> = TableDefinition::new("services.v1");
/// The file in the state folder.
const FILE: &str = "zeron.redb";
/// Pages kept in memory: the store is read at start and written on changes.
const CACHE_BYTES: usize = 1 << 20;

/// The state folder's database. One process opens it at a time.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    path: PathBuf,
}

/// An applied object's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredManifest {
    /// What problems call it.
    pub(crate) name: String,
    /// The folder that relative paths in it start from.
    pub(crate) folder: PathBuf,
    /// YAML or JSON of this one object.
    pub(crate) text: String,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The folder cannot be made.
    #[error("state folder {} cannot be made", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    /// Locked.
    #[error("another zeron uses {}: stop it, or give this one another --state-dir", .0.display())]
    InUse(PathBuf),
    /// Not a store, or a damaged one.
    #[error("{} is damaged: move it away to start without what was applied", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: Box<redb::Error>,
    },
    /// An entry is not what was written.
    #[error("entry {key:?} in {} cannot be read", .path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Disk full, no permission, and so on.
    #[error("{} cannot be used", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: Box<redb::Error>,
    },
}

impl Store {
    /// Opens the store of a state folder; makes both when they are missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it, [`StoreError::Damaged`] when the file is
    /// not a store, otherwise what the file system says.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(state_dir)
            .map_err(|e| StoreError::Folder(state_dir.to_owned(), e))?;
        let path = state_dir.join(FILE);
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path)
            .map_err(|error| open_error(state_dir, &path, error))?;
        let store = Self { database, path };
        store.create_tables().map_err(|e| store.fail(e))?;
        Ok(store)
    }

    /// Keeps the manifests of applied objects: all of them or none.
    pub(crate) fn put_manifests(
        &self,
        manifests: &[(ObjectRef, StoredManifest)],
    ) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(manifests.len());
        for (object, manifest) in manifests {
            let key = self.object_key(object)?;
            let value = self.encode(&key, manifest)?;
            entries.push((key, value));
        }
        self.write(MANIFESTS, &entries).map_err(|e| self.fail(e))
    }

    /// Forgets an applied object. `false`: it was not there.
    pub(crate) fn delete_manifest(&self, object: &ObjectRef) -> Result<bool, StoreError> {
        let key = self.object_key(object)?;
        self.remove(MANIFESTS, &key).map_err(|e| self.fail(e))
    }

    /// Every applied object, by its key.
    pub(crate) fn manifests(&self) -> Result<Vec<(ObjectRef, StoredManifest)>, StoreError> {
        let mut manifests = Vec::new();
        for (key, value) in self.entries(MANIFESTS).map_err(|e| self.fail(e))? {
            let object = self.decode(&key, key.as_bytes())?;
            manifests.push((object, self.decode(&key, &value)?));
        }
        Ok(manifests)
    }

    /// Keeps Services' records as `(namespace, service, record)`, with their revisions and the
    /// counter of these, say: all of them or none.
    pub(crate) fn put_services<T: Serialize>(
        &self,
        records: &[(&str, &str, &T)],
    ) -> Result<(), StoreError> {
        let mut entries = Vec::with_capacity(records.len());
        for (namespace, service, record) in records {
            let key = service_key(namespace, service);
            let value = self.encode(&key, record)?;
            entries.push((key, value));
        }
        self.write(SERVICES, &entries).map_err(|e| self.fail(e))
    }

    /// Forgets a Service's record. `false`: it was not there.
    pub(crate) fn delete_service(
        &self,
        namespace: &str,
        service: &str,
    ) -> Result<bool, StoreError> {
        self.remove(SERVICES, &service_key(namespace, service))
            .map_err(|e| self.fail(e))
    }

    /// Every Service's record as `((namespace, service), record)`.
    pub(crate) fn services<T: DeserializeOwned>(
        &self,
    ) -> Result<Vec<ServiceRecord<T>>, StoreError> {
        let mut records = Vec::new();
        for (key, value) in self.entries(SERVICES).map_err(|e| self.fail(e))? {
            let (namespace, service) = key.split_once('/').unwrap_or(("default", &key));
            let name = (namespace.to_owned(), service.to_owned());
            records.push((name, self.decode(&key, &value)?));
        }
        Ok(records)
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(MANIFESTS)?;
        transaction.open_table(SERVICES)?;
        Ok(transaction.commit()?)
    }

    fn write(&self, table: Table, entries: &[(String, Vec<u8>)]) -> Result<(), redb::Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        {
            let mut open = transaction.open_table(table)?;
            for (key, value) in entries {
                open.insert(key.as_str(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn remove(&self, table: Table, key: &str) -> Result<bool, redb::Error> {
        let transaction = self.database.begin_write()?;
        let was_there = transaction.open_table(table)?.remove(key)?.is_some();
        transaction.commit()?;
        Ok(was_there)
    }

    fn entries(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let open = transaction.open_table(table)?;
        let mut entries = Vec::new();
        for entry in open.iter()? {
            let (key, value) = entry?;
            entries.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(entries)
    }

    fn object_key(&self, object: &ObjectRef) -> Result<String, StoreError> {
        let encoded = serde_json::to_string(object);
        encoded.map_err(|e| self.entry_error(&object.to_string(), e))
    }

    fn encode<T: Serialize>(&self, key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value).map_err(|e| self.entry_error(key, e))
    }

    fn decode<T: DeserializeOwned>(&self, key: &str, value: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(value).map_err(|e| self.entry_error(key, e))
    }

    fn entry_error(&self, key: &str, source: serde_json::Error) -> StoreError {
        StoreError::Entry {
            path: self.path.clone(),
            key: key.to_owned(),
            source,
        }
    }

    fn fail(&self, error: redb::Error) -> StoreError {
        storage_error(&self.path, error)
    }
}

/// `((namespace, service), record)`.
type ServiceRecord<T> = ((String, String), T);

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

fn service_key(namespace: &str, service: &str) -> String {
    format!("{namespace}/{service}")
}

fn open_error(state_dir: &Path, path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(state_dir.to_owned()),
        other => storage_error(path, other.into()),
    }
}

fn storage_error(path: &Path, error: redb::Error) -> StoreError {
    let is_damaged = match &error {
        redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => true,
        redb::Error::Io(e) => {
            matches!(
                e.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        }
        _ => false,
    };
    let (path, source) = (path.to_owned(), Box::new(error));
    if is_damaged {
        StoreError::Damaged { path, source }
    } else {
        StoreError::Database { path, source }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn object(name: &str) -> ObjectRef {
        ObjectRef {
            api_version: "serving.knative.dev/v1".to_owned(),
            kind: "Service".to_owned(),
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }
    }

    fn manifest(text: &str) -> StoredManifest {
        StoredManifest {
            name: "a.yaml".to_owned(),
            folder: PathBuf::from("/srv"),
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_was_applied_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let both = [
            (object("a"), manifest("one")),
            (object("b"), manifest("two")),
        ];
        store.put_manifests(&both).unwrap();
        store
            .put_services(&[("default", "a", &vec![1, 2])])
            .unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.manifests().unwrap(), both);
        let name = ("default".to_owned(), "a".to_owned());
        assert_eq!(
            store.services::<Vec<u8>>().unwrap(),
            vec![(name, vec![1, 2])]
        );
    }

    #[test]
    fn deleting_tells_whether_it_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store
            .put_manifests(&[(object("a"), manifest("one"))])
            .unwrap();
        assert!(store.delete_manifest(&object("a")).unwrap());
        assert!(!store.delete_manifest(&object("a")).unwrap());
        assert!(store.manifests().unwrap().is_empty());
    }

    #[test]
    fn a_second_process_is_told_that_the_folder_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path()).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::InUse(_)), "{error:?}");
        assert!(
            error.to_string().starts_with("another zeron uses "),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_file_is_named_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, vec![b'x'; 9000]).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap().len(), 9000);
    }
}
