//! What people asked for: documents from files and from `apply`, and the last catalog that was good.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use zeron_core::{ObjectRef, ScalerRegistry};
use zeron_manifest::{Document, Header, Problems, Sources};

use crate::control::{
    AppliedObject, ApplyAction, ApplyReport, ApplyRequest, ChangeError, ObjectName, Problem,
};
use crate::store::{Store, StoreError};
use crate::{programs, requires};
use zeron_catalog::{self as catalog, Catalog, CompileOptions};

use super::compact::Compact;
use super::shadow;

/// Documents and what they compile to.
#[derive(Debug)]
pub(crate) struct Desired {
    /// Files and folders that are read again and again.
    paths: Vec<PathBuf>,
    options: CompileOptions,
    scalers: Arc<dyn ScalerRegistry>,
    store: Arc<Store>,
    /// Standard input can be read once.
    stdin: Sources,
    files: Vec<Compact>,
    applied: BTreeMap<ObjectRef, Compact>,
    catalog: Catalog,
    /// Good catalogs between the one that was followed last and `catalog`, oldest first.
    past: Vec<Catalog>,
    /// What keeps the newest files from being followed.
    refused: Vec<Problem>,
    /// What deserves a look in the documents that are followed.
    warnings: Vec<Problem>,
}

/// Why the first reading failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstReadError {
    /// What was applied earlier cannot be read.
    #[error("what was applied earlier cannot be read")]
    Store(#[from] StoreError),
    /// The manifests are wrong.
    #[error("the manifests have problems")]
    Invalid(Vec<Problem>),
}

impl Desired {
    /// Reads everything for the first time.
    ///
    /// # Errors
    /// All problems, when any of them is an error.
    pub(crate) fn read(
        paths: &[PathBuf],
        options: CompileOptions,
        scalers: Arc<dyn ScalerRegistry>,
        store: Arc<Store>,
    ) -> Result<Self, FirstReadError> {
        let (stdin, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            paths.iter().cloned().partition(|p| p.as_os_str() == "-");
        let mut desired = Self {
            paths,
            options,
            scalers,
            stdin: zeron_manifest::read_paths(&stdin),
            files: Vec::new(),
            applied: read_store(&store)?,
            store,
            catalog: Catalog::default(),
            past: Vec::new(),
            refused: Vec::new(),
            warnings: Vec::new(),
        };
        if let Err(problems) = desired.load() {
            desired
                .begin_without_applied(problems)
                .map_err(FirstReadError::Invalid)?;
        }
        Ok(desired)
    }

    /// Good files serve although what was applied earlier does not fit to them (any more): it can be
    /// mended or deleted only while zeron runs.
    fn begin_without_applied(&mut self, problems: Vec<Problem>) -> Result<(), Vec<Problem>> {
        let applied = std::mem::take(&mut self.applied);
        let outcome = self.load();
        self.applied = applied;
        if self.applied.is_empty() || outcome.is_err() {
            return Err(problems);
        }
        tracing::error!(
            "what was applied earlier has problems and is left out: mend it with `zeron apply`, or \
             take it away with `zeron delete`"
        );
        self.refused = problems;
        Ok(())
    }

    /// The last catalog that was good.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Catalogs to follow before [`Self::catalog`]: several versions of one object were applied at once.
    pub(crate) fn take_past(&mut self) -> Vec<Catalog> {
        std::mem::take(&mut self.past)
    }

    /// What is wrong with the documents as they are now.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let told = self.refused.iter().chain(&self.warnings).cloned();
        told.chain(shadow::problems(&self.files, &self.applied))
            .collect()
    }

    /// Reads the files again. A broken file changes nothing but the problems.
    pub(crate) fn reload(&mut self) {
        match self.load() {
            Ok(()) => tracing::info!(objects = self.catalog.objects.len(), "manifests read"),
            Err(problems) => {
                for problem in &problems {
                    tracing::error!("{problem}");
                }
                tracing::error!("the manifests have problems: what runs stays as it is");
                self.refused = problems;
            }
        }
    }

    fn load(&mut self) -> Result<(), Vec<Problem>> {
        let read = zeron_manifest::read_paths(&self.paths);
        let unreadable: Vec<Problem> = read
            .problems
            .iter()
            .chain(&self.stdin.problems)
            .map(Problem::from)
            .collect();
        let mut files = self.stdin.documents.clone();
        files.extend(read.documents);
        let compact: Vec<Compact> = files.iter().map(Compact::from).collect();
        let applied = shadow::own(&compact, &self.applied);
        files.extend(applied.filter_map(Compact::document));
        let compiled = self.compile(files, self.options.is_strict);
        let (catalog, warnings) = match compiled {
            Ok(compiled) if unreadable.is_empty() => compiled,
            Ok((_, warnings)) => return Err([unreadable, warnings].concat()),
            Err(problems) => return Err([unreadable, problems].concat()),
        };
        self.files = compact;
        self.catalog = catalog;
        self.warnings = warnings;
        self.refused.clear();
        Ok(())
    }

    /// Adds or replaces objects: all of them or none.
    pub(crate) fn apply(&mut self, request: &ApplyRequest) -> Result<ApplyReport, ChangeError> {
        let (documents, problems) = parse(request);
        if !problems.is_empty() {
            return Err(ChangeError::Invalid(problems));
        }
        let mut applied = self.applied.clone();
        let mut report = ApplyReport::default();
        let mut manifests = Vec::with_capacity(documents.len());
        let is_strict = self.options.is_strict || request.is_strict;
        let mut steps = Vec::new();
        for round in rounds(documents) {
            for (object, document) in round {
                self.refuse_if_from_file(&object)?;
                let document = Compact::from(&document);
                let action = action_of(applied.get(&object), &document);
                manifests.push((object.clone(), document.stored()));
                applied.insert(object.clone(), document);
                report.objects.push(AppliedObject { object, action });
            }
            let documents = all_documents(&self.files, &applied);
            let compiled = self.compile(documents, is_strict);
            steps.push(compiled.map_err(ChangeError::Invalid)?);
        }
        self.store
            .put_manifests(&manifests)
            .map_err(ChangeError::Store)?;
        self.applied = applied;
        for (catalog, warnings) in steps {
            self.past
                .push(std::mem::replace(&mut self.catalog, catalog));
            self.warnings = warnings;
        }
        report.warnings.clone_from(&self.warnings);
        self.retry();
        Ok(report)
    }

    /// Takes an applied object away.
    pub(crate) fn delete(&mut self, name: &ObjectName) -> Result<(), ChangeError> {
        let Some(object) = self.applied.keys().find(|o| is_named(o, name)).cloned() else {
            return Err(self.not_applied(name));
        };
        let mut applied = self.applied.clone();
        applied.remove(&object);
        let compiled = self.compile_with(&applied);
        if let Err(problems) = &compiled
            && self.compile_with(&self.applied).is_ok()
        {
            return Err(ChangeError::Invalid(problems.clone()));
        }
        self.store
            .delete_manifest(&object)
            .map_err(ChangeError::Store)?;
        self.applied = applied;
        // Where it was wrong before, one object fewer is a step on the way.
        if let Ok((catalog, warnings)) = compiled {
            self.catalog = catalog;
            self.warnings = warnings;
        }
        self.retry();
        Ok(())
    }

    /// What was refused may fit now.
    fn retry(&mut self) {
        if !self.refused.is_empty() {
            self.reload();
        }
    }

    fn compile_with(
        &self,
        applied: &BTreeMap<ObjectRef, Compact>,
    ) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
        let documents = all_documents(&self.files, applied);
        self.compile(documents, self.options.is_strict)
    }

    fn compile(
        &self,
        documents: Vec<Document>,
        is_strict: bool,
    ) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
        let (documents, mut problems) = requires::without_missing(documents);
        problems.extend(programs::missing(&documents));
        let options = CompileOptions {
            is_strict,
            ..self.options.clone()
        };
        let (catalog, found) = catalog::compile(&documents, self.scalers.as_ref(), &options);
        problems.extend(found);
        let has_errors = problems.iter().any(zeron_manifest::Problem::is_error);
        let problems = problems.iter().map(Problem::from).collect();
        if has_errors {
            Err(problems)
        } else {
            Ok((catalog, problems))
        }
    }

    fn refuse_if_from_file(&self, object: &ObjectRef) -> Result<(), ChangeError> {
        let name = ObjectName {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        self.file_of(&name).map_or(Ok(()), |file| {
            Err(ChangeError::FromFile {
                object: name.clone(),
                file,
            })
        })
    }

    fn not_applied(&self, name: &ObjectName) -> ChangeError {
        match self.file_of(name) {
            Some(file) => ChangeError::FromFile {
                object: name.clone(),
                file,
            },
            None => ChangeError::NotFound(name.clone()),
        }
    }

    /// The watched file that declares an object.
    fn file_of(&self, name: &ObjectName) -> Option<String> {
        let declares = |file: &&Compact| file.object.as_ref().is_some_and(|o| is_named(o, name));
        self.files
            .iter()
            .find(declares)
            .map(|file| file.file.to_string())
    }
}

fn all_documents(files: &[Compact], applied: &BTreeMap<ObjectRef, Compact>) -> Vec<Document> {
    let applied = shadow::own(files, applied);
    let all = files.iter().chain(applied);
    all.filter_map(Compact::document).collect()
}

fn is_named(object: &ObjectRef, name: &ObjectName) -> bool {
    object.kind.eq_ignore_ascii_case(&name.kind)
        && object.namespace == name.namespace
        && object.name == name.name
}

fn read_store(store: &Store) -> Result<BTreeMap<ObjectRef, Compact>, StoreError> {
    let manifests = store.manifests()?.into_iter();
    Ok(manifests
        .map(|(object, m)| (object.clone(), Compact::from_stored(object, m)))
        .collect())
}

/// Documents in rounds, so that no round has two versions of one object: there is one at least.
fn rounds(documents: Vec<(ObjectRef, Document)>) -> Vec<Vec<(ObjectRef, Document)>> {
    let mut versions: BTreeMap<ObjectRef, usize> = BTreeMap::new();
    let mut rounds = vec![Vec::new()];
    for (object, document) in documents {
        let version = versions.entry(object.clone()).or_default();
        if rounds.len() == *version {
            rounds.push(Vec::new());
        }
        rounds[*version].push((object, document));
        *version += 1;
    }
    rounds
}

/// The documents of a request with the objects that they declare.
fn parse(request: &ApplyRequest) -> (Vec<(ObjectRef, Document)>, Vec<Problem>) {
    let problems = Problems::new(request.is_strict);
    let mut objects = Vec::new();
    for source in &request.sources {
        let folder = Arc::new(source.folder.clone());
        let (documents, faults) =
            zeron_manifest::parse(&Arc::from(source.name.as_str()), &folder, &source.text);
        faults.into_iter().for_each(|fault| problems.push(fault));
        for document in documents {
            let header = Header::read(&document, &problems);
            objects.extend(header.map(|header| (header.object, document)));
        }
    }
    let errors = problems.into_sorted();
    (
        objects,
        errors
            .iter()
            .filter(|p| p.is_error())
            .map(Problem::from)
            .collect(),
    )
}

fn action_of(known: Option<&Compact>, new: &Compact) -> ApplyAction {
    match known {
        None => ApplyAction::Created,
        Some(known) if known.is_same(new) => ApplyAction::Unchanged,
        Some(_) => ApplyAction::Configured,
    }
}
