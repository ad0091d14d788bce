//! Every function's state by name, kept over route snapshots.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use zeron_core::function::Protocol;
use zeron_core::route::RouteSnapshot;
use zeron_core::{EndpointSink, EndpointSnapshot, FunctionId};

use crate::config::Dialect;
use crate::function::FunctionState;
use crate::house::House;
use crate::route::RouteTable;

/// All functions that routes or the back end know.
#[derive(Debug)]
pub(crate) struct Registry {
    house: Arc<House>,
    functions: Mutex<HashMap<FunctionId, Known>>,
}

/// A function goes when neither a route snapshot nor the back end knows it.
#[derive(Debug)]
struct Known {
    state: Arc<FunctionState>,
    is_routed: bool,
    has_replicas: bool,
}

impl Registry {
    pub(crate) fn new(house: Arc<House>) -> Self {
        Self {
            house,
            functions: Mutex::default(),
        }
    }

    pub(crate) fn house(&self) -> &Arc<House> {
        &self.house
    }

    pub(crate) fn get(&self, id: &FunctionId) -> Option<Arc<FunctionState>> {
        let functions = self.functions.lock();
        let known = functions.get(id).filter(|known| known.is_routed)?;
        Some(Arc::clone(&known.state))
    }

    pub(crate) fn all(&self) -> Vec<Arc<FunctionState>> {
        let functions = self.functions.lock();
        functions.values().map(|f| Arc::clone(&f.state)).collect()
    }

    /// Takes over `snapshot` and compiles its routes.
    pub(crate) fn publish(
        &self,
        snapshot: &RouteSnapshot,
        dialect: &Dialect,
        now: Instant,
    ) -> RouteTable {
        let mut functions = self.functions.lock();
        for known in functions.values_mut() {
            known.is_routed = false;
        }
        for routed in &snapshot.functions {
            if routed.function.protocol == Protocol::None {
                continue;
            }
            let known = self.known(&mut functions, &routed.function.id, now);
            known.is_routed = true;
            known.state.configure(routed, now);
        }
        for known in functions.values().filter(|known| !known.is_routed) {
            known.state.retire(now);
        }
        functions.retain(|_, known| known.is_routed || known.has_replicas);
        RouteTable::compile(snapshot, dialect, |id| {
            functions.get(id).map(|known| Arc::clone(&known.state))
        })
    }

    fn known<'a>(
        &self,
        functions: &'a mut HashMap<FunctionId, Known>,
        id: &FunctionId,
        now: Instant,
    ) -> &'a mut Known {
        functions.entry(id.clone()).or_insert_with(|| Known {
            state: FunctionState::new(id.clone(), Arc::clone(&self.house), now),
            is_routed: false,
            has_replicas: false,
        })
    }
}

impl EndpointSink for Registry {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let now = Instant::now();
        let state = {
            let mut functions = self.functions.lock();
            let known = self.known(&mut functions, function, now);
            known.has_replicas = snapshot.is_some();
            let state = Arc::clone(&known.state);
            if !known.has_replicas && !known.is_routed {
                functions.remove(function);
            }
            state
        };
        match snapshot {
            Some(snapshot) => state.observe(&snapshot, now),
            None => state.observe(&EndpointSnapshot::default(), now),
        }
    }
}
