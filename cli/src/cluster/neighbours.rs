//! What triggers of one namespace may reach of others: anything, as in KEDA, or by choice shared namespaces alone.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use zeron_backend_kubernetes::workload::Workloads;
use zeron_backend_kubernetes::{EndpointSlices, PodsConfig, Services, SlicedEndpoint};
use zeron_core::ScalerRegistry;
use zeron_core::metric::Unknown;
use zeron_core::roles::BoxFuture;
use zeron_scalers::{
    AddressOwners, AddressPolicy, EndpointLookup, PerNamespace, ReadyEndpoint, Registry, Resources,
    ServiceName, Territory,
};

use super::args::ClusterArgs;
use super::start;
use super::workload::WorkloadSource;

/// Which addresses of the cluster triggers may reach.
#[derive(Clone, Debug, Args)]
pub(crate) struct TriggerAddressArgs {
    /// Which Services and pods triggers may reach: any, or none of other namespaces than their own
    #[arg(
        long,
        value_enum,
        default_value = "any",
        value_name = "WHICH",
        env = "ZERON_TRIGGER_ADDRESSES"
    )]
    pub(crate) trigger_addresses: TriggerAddresses,
    /// Namespaces that triggers of all others may reach nonetheless, such as that of a shared broker
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        env = "ZERON_TRIGGER_ADDRESSES_OF"
    )]
    pub(crate) trigger_addresses_of: Vec<String>,
}

/// Which Services and pods triggers may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TriggerAddresses {
    /// Whatever this process reaches, as in KEDA.
    Any,
    /// Nothing of other namespaces.
    OwnNamespace,
}

/// Of the pod watch: whose an address is can be told where all namespaces' pods are known alone.
pub(super) fn pods(args: &ClusterArgs, addresses: &TriggerAddressArgs) -> PodsConfig {
    let watched = start::pods(args);
    match addresses.trigger_addresses {
        TriggerAddresses::Any => watched,
        TriggerAddresses::OwnNamespace => PodsConfig {
            namespaces: Vec::new(),
            ..watched
        },
    }
}

/// What the cluster itself is measured by.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) workloads: Workloads,
    pub(super) resources: Resources,
}

/// The event sources that are built in, by what they may reach; `services` where that is limited.
pub(super) fn registry(
    args: &ClusterArgs,
    addresses: &TriggerAddressArgs,
    measured: Measured,
    slices: EndpointSlices,
    services: Option<Services>,
) -> Arc<dyn ScalerRegistry> {
    let policy = start::addresses(args);
    let files = args.filepath_auth_root_path.clone();
    let slices: Arc<dyn EndpointLookup> = Arc::new(Slices(slices));
    let of = move |policy: AddressPolicy| {
        Registry::builtin(policy.clone())
            .with_file_root(policy.clone(), files.clone())
            .with_endpoints(policy, Arc::clone(&slices))
            .with(Box::new(WorkloadSource(measured.workloads.clone())))
            .with(Box::new(measured.resources.clone()))
    };
    let common = of(policy.clone());
    let Some(services) = services else {
        return Arc::new(common);
    };
    let owners: Arc<dyn AddressOwners> = Arc::new(Neighbours(services));
    let shared = addresses.trigger_addresses_of.iter().cloned();
    let shared: Arc<BTreeSet<String>> = Arc::new(shared.collect());
    Arc::new(PerNamespace::new(common, move |namespace| {
        let territory = Territory::new(namespace, Arc::clone(&shared), Arc::clone(&owners));
        of(policy.on_behalf_of(territory))
    }))
}

/// Namespaces as the cluster's Services and pods show them.
#[derive(Debug)]
struct Neighbours(Services);

impl AddressOwners for Neighbours {
    fn namespaces_of(&self, address: IpAddr) -> Result<Vec<Arc<str>>, Unknown> {
        self.0.namespaces_of(address)
    }
}

/// Endpoints as the cluster's EndpointSlices show them.
#[derive(Debug)]
struct Slices(EndpointSlices);

impl EndpointLookup for Slices {
    fn ready<'a>(
        &'a self,
        service: &'a ServiceName,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Vec<ReadyEndpoint>, Unknown>> {
        Box::pin(async move {
            let found = self.0.ready(&service.namespace, &service.name, timeout);
            let found = found.await?;
            let endpoint = |it: &SlicedEndpoint| ReadyEndpoint {
                address: it.address,
                ports: it.ports.clone(),
            };
            Ok(found.iter().map(endpoint).collect())
        })
    }
}
