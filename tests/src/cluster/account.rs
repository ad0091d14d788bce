//! Kubeconfigs of service accounts, for roles that shall have no more rights than their manifests give them.

use std::path::{Path, PathBuf};

use kube::config::Kubeconfig;

use super::Namespace;

impl Namespace {
    /// Writes a kubeconfig with a token of a service account of this namespace into `folder`.
    ///
    /// # Panics
    /// When there is no such account.
    pub fn account(&self, name: &str, folder: &Path) -> PathBuf {
        let token = self.kubectl(&["create", "token", name, "--duration=1h"]);
        let admin = self.cluster().kubeconfig();
        let read = Kubeconfig::read_from(admin).expect("it was read before");
        let cluster = read
            .clusters
            .first()
            .and_then(|cluster| cluster.cluster.as_ref());
        let cluster = cluster.expect("it names a cluster");
        let server = cluster.server.as_deref().unwrap_or_default();
        let authority = match (
            &cluster.certificate_authority,
            &cluster.certificate_authority_data,
        ) {
            (Some(file), _) => format!("certificate-authority: {file}"),
            (None, Some(data)) => format!("certificate-authority-data: {data}"),
            (None, None) => "insecure-skip-tls-verify: true".to_owned(),
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n- name: test\n  cluster:\n    server: {server}\n    {authority}\n\
             users:\n- name: test\n  user:\n    token: {}\n\
             contexts:\n- name: test\n  context:\n    cluster: test\n    user: test\n",
            token.trim()
        );
        let file = folder.join(format!("{name}.kubeconfig"));
        std::fs::write(&file, text).expect("the folder is ours");
        file
    }
}
