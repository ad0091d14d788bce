//! What was read of vaults and files, for as long as it counts as fresh.

use std::path::PathBuf;
use std::time::Duration;

use moka::future::Cache as Moka;
use zeron_core::metric::Unknown;
use zeron_core::policy::RemoteParameters;

use super::{Values, file, vault::Vaults};
use crate::address::AddressPolicy;

/// More sets of parameters than this are read again sooner.
const CAPACITY: u64 = 10_000;

/// Reads each set of parameters once while it is fresh, however many triggers use it.
#[derive(Debug)]
pub(super) struct Cache {
    values: Moka<RemoteParameters, Values>,
    vaults: Vaults,
    file_root: Option<PathBuf>,
}

impl Cache {
    /// What was read counts for `fresh_for`.
    pub(super) fn new(
        fresh_for: Duration,
        addresses: AddressPolicy,
        file_root: Option<PathBuf>,
    ) -> Self {
        Self {
            values: Moka::builder()
                .max_capacity(CAPACITY)
                .time_to_live(fresh_for)
                .build(),
            vaults: Vaults::new(addresses),
            file_root,
        }
    }

    /// The parameters, fresh. Failures are not kept.
    pub(super) async fn get(
        &self,
        remote: &RemoteParameters,
        timeout: Duration,
    ) -> Result<Values, Unknown> {
        let read = async {
            match remote {
                RemoteParameters::Vault(vault) => self.vaults.read(vault, timeout).await,
                RemoteParameters::File { path } => {
                    file::read(self.file_root.as_deref(), path).await
                }
            }
        };
        let read = self.values.try_get_with_by_ref(remote, read).await;
        read.map_err(|failure| (*failure).clone())
    }
}
