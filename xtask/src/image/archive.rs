//! An image: one layer, written as an OCI layout in a tar that `docker load` reads too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::libraries;

/// The user of every image: nobody on the machine.
const USER: &str = "65532:65532";

/// An image in the making.
#[derive(Debug)]
pub(crate) struct Image {
    tag: String,
    entrypoint: String,
    environment: Vec<String>,
    files: Vec<(PathBuf, String)>,
    level: &'static str,
}

impl Image {
    /// An empty image.
    pub(crate) fn new(tag: &str, entrypoint: &str) -> Self {
        Self {
            tag: tag.to_owned(),
            entrypoint: entrypoint.to_owned(),
            environment: Vec::new(),
            files: Vec::new(),
            level: "-9",
        }
    }

    /// Compresses in a hurry: for images that never leave the machine.
    pub(crate) fn set_quick(&mut self) {
        self.level = "-1";
    }

    /// Adds a file at an absolute path; its owner is root, and all may read (and run) it.
    pub(crate) fn add(&mut self, source: &Path, path: &str) {
        self.files.push((source.to_owned(), path.to_owned()));
    }

    /// Sets an environment variable, such as `NAME=value`.
    pub(crate) fn set(&mut self, variable: &str) {
        self.environment.push(variable.to_owned());
    }

    /// Its name and size, to be said.
    pub(crate) fn describe_size(&self, bytes: u64) -> String {
        let whole: u64 = self
            .files
            .iter()
            .filter_map(|(source, _)| fs::metadata(source).ok())
            .map(|file| file.len())
            .sum();
        format!(
            "{} with {} files, {}.{} MB compressed, {} MB as files",
            self.tag,
            self.files.len(),
            bytes / 1_000_000,
            bytes / 100_000 % 10,
            whole / 1_000_000
        )
    }

    /// Adds the shared libraries that a program needs, its loader among them, where it looks for them.
    pub(crate) fn add_libraries(&mut self, program: &Path) -> anyhow::Result<()> {
        for library in libraries::of(program)? {
            let path = library.display().to_string();
            self.add(&library, &path);
        }
        Ok(())
    }

    /// Writes the image and returns the layer's compressed bytes; `work` is a folder for what is on
    /// the way. The same files make the same bytes.
    pub(crate) fn write(&self, work: &Path, archive: &Path) -> anyhow::Result<u64> {
        let work = work.join("image");
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        let (root, layout) = (work.join("root"), work.join("layout"));
        fs::create_dir_all(layout.join("blobs/sha256"))?;
        fs::create_dir_all(&root)?;
        for (source, path) in &self.files {
            place(source, &root.join(path.trim_start_matches('/')))?;
        }
        let size = self.describe(&work, &root, &layout)?;
        tar(&layout, archive)?;
        fs::remove_dir_all(&work).context("cannot clean up")?;
        Ok(size)
    }

    /// Packs the layer and writes every document about it.
    fn describe(&self, work: &Path, root: &Path, layout: &Path) -> anyhow::Result<u64> {
        let layer = work.join("layer.tar");
        tar(root, &layer)?;
        let uncompressed = sha256(&layer)?;
        run("gzip", &["-n", self.level, &layer.display().to_string()])?;
        let layer = blob(layout, &work.join("layer.tar.gz"))?;

        let environment: Vec<_> = self
            .environment
            .iter()
            .map(|variable| format!("\"{variable}\""))
            .collect();
        let config = format!(
            r#"{{"architecture":"{}","os":"linux","created":"1970-01-01T00:00:00Z","config":{{"User":"{USER}","Env":[{}],"Entrypoint":["{}"],"WorkingDir":"/"}},"rootfs":{{"type":"layers","diff_ids":["sha256:{uncompressed}"]}},"history":[{{"created":"1970-01-01T00:00:00Z","created_by":"cargo xtask image"}}]}}"#,
            architecture(),
            environment.join(","),
            self.entrypoint
        );
        let config = text_blob(work, layout, &config)?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:{}","size":{}}}]}}"#,
            config.0, config.1, layer.0, layer.1
        );
        let manifest = text_blob(work, layout, &manifest)?;
        let tag = self.tag.rsplit(':').next().unwrap_or("latest");
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}","size":{},"annotations":{{"io.containerd.image.name":"{}","org.opencontainers.image.ref.name":"{tag}"}}}}]}}"#,
            manifest.0, manifest.1, self.tag
        );
        let docker = format!(
            r#"[{{"Config":"blobs/sha256/{}","RepoTags":["{}"],"Layers":["blobs/sha256/{}"]}}]"#,
            config.0, self.tag, layer.0
        );
        fs::write(layout.join("index.json"), index)?;
        fs::write(layout.join("manifest.json"), docker)?;
        fs::write(
            layout.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        Ok(layer.1)
    }
}

/// Copies a file into the tree of an image, readable by all.
fn place(source: &Path, target: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot put {} into an image", source.display());
    fs::create_dir_all(target.parent().unwrap_or(target)).with_context(context)?;
    fs::copy(source, target).with_context(context)?;
    let mode = fs::metadata(source)
        .with_context(context)?
        .permissions()
        .mode();
    let mode = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
    fs::set_permissions(target, fs::Permissions::from_mode(mode)).with_context(context)
}

/// Moves a file among the blobs and returns its digest and size.
fn blob(layout: &Path, file: &Path) -> anyhow::Result<(String, u64)> {
    let (digest, size) = (sha256(file)?, fs::metadata(file)?.len());
    fs::rename(file, layout.join("blobs/sha256").join(&digest))?;
    Ok((digest, size))
}

fn text_blob(work: &Path, layout: &Path, text: &str) -> anyhow::Result<(String, u64)> {
    let file = work.join("document.json");
    fs::write(&file, text)?;
    blob(layout, &file)
}

/// Packs a folder: sorted, without times and users.
fn tar(folder: &Path, archive: &Path) -> anyhow::Result<()> {
    let (folder, archive) = (folder.display().to_string(), archive.display().to_string());
    let mut arguments = vec!["--create", "--format=gnu", "--sort=name", "--mtime=@0"];
    arguments.extend([
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u=rwX,go=rX",
    ]);
    arguments.extend(["--file", &archive, "--directory", &folder]);
    let mut names: Vec<_> = fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    arguments.extend(names.iter().map(String::as_str));
    run("tar", &arguments).map(drop)
}

fn sha256(file: &Path) -> anyhow::Result<String> {
    let line = run("sha256sum", &[&file.display().to_string()])?;
    let digest = line.split_whitespace().next().unwrap_or_default();
    ensure!(digest.len() == 64, "sha256sum said {line:?}");
    Ok(digest.to_owned())
}

/// What a program printed; an error when it failed.
fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// This machine's architecture by the name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
