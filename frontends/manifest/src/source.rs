//! Which files a set of manifests is: files, folders, standard input.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::document::{Document, Location};
use crate::problem::{Problem, Severity};
use crate::yaml;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 8 << 20;
/// Files of one set.
const MAX_FILES: usize = 10_000;
/// Folders are followed so deep.
const MAX_FOLDER_DEPTH: usize = 8;

/// Makes a folder one of kustomize's: its files are parts, which mean nothing without it.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// What a set of paths holds.
#[derive(Debug, Default)]
pub struct Sources {
    /// All documents, by file and position.
    pub documents: Vec<Document>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// The files that were read: what to watch.
    pub files: Vec<PathBuf>,
}

/// Reads files, folders (`*.yaml`, `*.yml`, `*.json`, with their subfolders; hidden ones, `target`,
/// `node_modules` and those with a `kustomization.yaml` are left out) and `-` for standard input.
pub fn read_paths(paths: &[PathBuf]) -> Sources {
    let mut sources = Sources::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let folder = std::env::current_dir().unwrap_or_default();
            sources.read(&mut std::io::stdin().lock(), "stdin", folder);
        } else if path.is_dir() {
            sources.read_folder(path, 0);
        } else {
            sources.read_file(path);
        }
    }
    sources
}

impl Sources {
    fn read_folder(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_FOLDER_DEPTH {
            return self.refuse(folder, "folders are followed 8 levels deep at most");
        }
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(folder, &format!("cannot be read: {error}")),
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                let is_left_out = name.starts_with('.')
                    || name == "target"
                    || name == "node_modules"
                    || path.join(KUSTOMIZATION).exists();
                if !is_left_out {
                    self.read_folder(&path, depth + 1);
                }
            } else if !name.starts_with('.') && is_manifest(&path) {
                self.read_file(&path);
            }
        }
    }

    fn read_file(&mut self, path: &Path) {
        if self.files.len() >= MAX_FILES {
            return self.refuse(path, "too many files: at most 10000 are read");
        }
        self.files.push(path.to_owned());
        match fs::File::open(path) {
            Ok(mut file) => {
                let folder = path
                    .parent()
                    .filter(|p| !p.as_os_str().is_empty())
                    .unwrap_or(Path::new("."));
                let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
                self.read(&mut file, &path.to_string_lossy(), folder);
            }
            Err(error) => self.refuse(path, &format!("cannot be read: {error}")),
        }
    }

    fn read(&mut self, input: &mut dyn Read, name: &str, folder: PathBuf) {
        let mut bytes = Vec::new();
        if let Err(error) = input.take(MAX_BYTES + 1).read_to_end(&mut bytes) {
            return self.refuse(Path::new(name), &format!("cannot be read: {error}"));
        }
        if bytes.len() as u64 > MAX_BYTES {
            return self.refuse(Path::new(name), "too large: at most 8 MiB are read");
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return self.refuse(Path::new(name), "not UTF-8 text");
        };
        let (documents, problems) = yaml::parse(&Arc::from(name), &Arc::new(folder), &text);
        self.documents.extend(documents);
        self.problems.extend(problems);
    }

    fn refuse(&mut self, path: &Path, message: &str) {
        self.problems.push(Problem {
            severity: Severity::Error,
            location: Location {
                file: path.to_string_lossy().into(),
                line: 1,
                column: 1,
            },
            object: None,
            field: String::new(),
            message: message.to_owned(),
        });
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
}
