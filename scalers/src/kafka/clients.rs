//! The clients of one cluster: one for everybody, and one per group while there are few.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientConfig;

use super::client::Client;
use super::error::ReadError;

/// Clients of groups that stay connected; a group beyond gets one for each reading.
///
/// Each costs about four threads of librdkafka, 400 KiB and two connections; making one, some 30 ms.
const MAX_GROUP_CLIENTS: usize = 256;

/// The clients of one cluster, made on first use. Making and dropping one blocks for a moment.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    shared: Mutex<Option<Arc<Client>>>,
    pub(crate) groups: Mutex<HashMap<String, Arc<Client>>>,
}

impl Clients {
    /// The client for metadata and log-end offsets.
    pub(crate) fn shared(
        &self,
        servers: &Arc<str>,
        config: &ClientConfig,
    ) -> Result<Arc<Client>, ReadError> {
        let mut shared = self.shared.lock();
        if let Some(client) = shared.as_ref() {
            return Ok(client.clone());
        }
        let client = Arc::new(Client::new(servers, config)?);
        *shared = Some(client.clone());
        Ok(client)
    }

    /// The client for the committed offsets of `group`.
    pub(crate) fn of_group(
        &self,
        group: &str,
        servers: &Arc<str>,
        mut config: ClientConfig,
    ) -> Result<Arc<Client>, ReadError> {
        if let Some(client) = self.groups.lock().get(group) {
            return Ok(client.clone());
        }
        config.set("group.id", group);
        let client = Arc::new(Client::new(servers, &config)?);
        let mut groups = self.groups.lock();
        if groups.len() < MAX_GROUP_CLIENTS || groups.contains_key(group) {
            // Somebody else may have made one meanwhile: theirs stays.
            return Ok(groups.entry(group.to_owned()).or_insert(client).clone());
        }
        Ok(client)
    }

    /// Whether the last reading of `group` failed.
    pub(crate) fn is_failing(&self, group: &str) -> bool {
        self.groups
            .lock()
            .get(group)
            .is_some_and(|client| client.is_failing())
    }
}
