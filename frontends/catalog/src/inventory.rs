//! Every document read by its kind: first what others take values from, then the rest.

use std::collections::BTreeMap;

use zeron_core::{FunctionId, ObjectRef};
use zeron_frontend_keda::{
    Authentications, Dialect, HttpObject, HttpScaledObject, InterceptorRoute, ScaledJob,
    ScaledObject, TriggerAuthentication,
};
use zeron_frontend_knative::{AutoscalerConfig, Service};
use zeron_manifest::{
    ConfigSet, CoreService, Deployment, Document, Header, Location, Platform, Problems, Replicated,
    Scope,
};

use super::kind::{self, Kind, KindError};
use super::opted::ActivatorPorts;
use super::target::Target;

/// Where Knative keeps its settings.
const KNATIVE_NAMESPACE: &str = "knative-serving";

/// Something that was read, and the document that it stands in.
#[derive(Debug)]
pub(super) struct Read<'d, T> {
    pub(super) document: &'d Document,
    pub(super) object: ObjectRef,
    pub(super) value: T,
}

/// All objects of a set.
#[derive(Debug)]
pub(super) struct Inventory<'d> {
    pub(super) problems: &'d Problems,
    pub(super) objects: Vec<ObjectRef>,
    pub(super) config: AutoscalerConfig,
    pub(super) authentications: Authentications,
    pub(super) core_services: Vec<Read<'d, CoreService>>,
    /// Services whose callers all go through the data plane, with their ports there.
    pub(super) opted: Vec<(Read<'d, CoreService>, ActivatorPorts)>,
    pub(super) targets: Vec<Read<'d, Target>>,
    pub(super) services: Vec<Read<'d, Service>>,
    pub(super) scaled_objects: Vec<Read<'d, ScaledObject>>,
    pub(super) scaled_jobs: Vec<Read<'d, ScaledJob>>,
    pub(super) http_scaled_objects: Vec<Read<'d, HttpScaledObject>>,
    pub(super) interceptor_routes: Vec<Read<'d, InterceptorRoute>>,
    /// Deployments and Services that are declared, but wrong: what refers to them is not at fault.
    broken: Vec<ObjectRef>,
}

/// A document whose object and kind are known.
#[derive(Debug)]
struct Entry<'d> {
    document: &'d Document,
    header: Header,
    kind: Kind,
}

impl<T> Read<'_, T> {
    /// Where its problems go.
    pub(super) fn scope<'s>(&'s self, problems: &'s Problems) -> Scope<'s> {
        Scope::new(self.document, problems, Some(self.object.clone()))
    }
}

impl<'d> Inventory<'d> {
    /// Reads all documents. Values of their Secrets and ConfigMaps are added to `config_set`.
    pub(super) fn read(
        documents: &'d [Document],
        problems: &'d Problems,
        mut config_set: ConfigSet,
    ) -> Self {
        let entries = entries(documents, problems);
        add_config(&mut config_set, &entries, problems);
        let mut inventory = Self {
            problems,
            objects: entries
                .iter()
                .map(|entry| entry.header.object.clone())
                .collect(),
            config: autoscaler_config(&entries, &config_set, problems),
            authentications: Authentications::default(),
            core_services: Vec::new(),
            opted: Vec::new(),
            targets: Vec::new(),
            services: Vec::new(),
            scaled_objects: Vec::new(),
            scaled_jobs: Vec::new(),
            http_scaled_objects: Vec::new(),
            interceptor_routes: Vec::new(),
            broken: Vec::new(),
        };
        inventory.objects.sort();
        inventory.objects.dedup();
        for entry in &entries {
            inventory.add(entry, &config_set);
        }
        inventory
    }

    fn add(&mut self, entry: &Entry<'d>, config: &ConfigSet) {
        let (document, header) = (entry.document, &entry.header);
        let scope = Scope::new(document, self.problems, Some(header.object.clone()));
        match entry.kind {
            // These were read before all others.
            Kind::Secret | Kind::ConfigMap | Kind::Irrelevant => {}
            Kind::CoreService => self.add_service(entry, &scope),
            Kind::Deployment => match Deployment::read(&scope, header, config) {
                Some(found) => self.targets.push(read(entry, found.into())),
                None => self.broken.push(header.object.clone()),
            },
            Kind::Other => {
                let found = Replicated::read(document, header, config);
                self.targets.push(read(entry, found.into()));
            }
            Kind::KnativeService => match Service::read(&scope, header, config, &self.config) {
                Some(found) => self.services.push(read(entry, found)),
                None => self.broken.push(header.object.clone()),
            },
            Kind::TriggerAuthentication => {
                let found = TriggerAuthentication::read(&scope, header, config);
                self.authentications.add(header, found);
            }
            Kind::ScaledObject | Kind::OldScaledObject => {
                let is_old = entry.kind == Kind::OldScaledObject;
                let dialect = if is_old {
                    Dialect::Keda1
                } else {
                    Dialect::Keda2
                };
                let found = ScaledObject::read(&scope, header, dialect);
                self.scaled_objects
                    .extend(found.map(|found| read(entry, found)));
            }
            Kind::ScaledJob if scope.platform() == Platform::Machine => scope.without_effect(
                "kind",
                "a ScaledJob needs Kubernetes: Jobs are created there alone; on one machine a Deployment with a \
                 ScaledObject does such work",
            ),
            Kind::ScaledJob => {
                let found = ScaledJob::read(&scope, header, config);
                self.scaled_jobs
                    .extend(found.map(|found| read(entry, found)));
            }
            Kind::HttpScaledObject => {
                let found = HttpScaledObject::read(&scope, header);
                self.http_scaled_objects
                    .extend(found.map(|found| read(entry, found)));
            }
            Kind::InterceptorRoute => {
                let found = InterceptorRoute::read(&scope, header, config);
                self.interceptor_routes
                    .extend(found.map(|found| read(entry, found)));
            }
        }
    }

    fn add_service(&mut self, entry: &Entry<'d>, scope: &Scope<'_>) {
        if scope.platform() == Platform::Machine {
            let found = CoreService::read(scope, &entry.header);
            return self.core_services.push(read(entry, found));
        }
        // What the cluster has accepted is not judged here.
        let muted = Problems::muted(Platform::Cluster);
        let quiet = Scope::new(entry.document, &muted, None);
        let found = CoreService::read(&quiet, &entry.header);
        if let Some(ports) = ActivatorPorts::read(scope, &entry.header) {
            self.opted.push((read(entry, found.clone()), ports));
        }
        self.core_services.push(read(entry, found));
    }

    /// What holds the replicas of a function.
    pub(super) fn target(&self, function: &FunctionId) -> Option<&Target> {
        let found = self.targets.iter().find(|t| t.value.id == *function);
        found.map(|read| &read.value)
    }

    /// A Deployment by its name.
    pub(super) fn deployment(&self, namespace: &str, name: &str) -> Option<&Target> {
        let is_it = |t: &&Read<'_, Target>| t.value.is_deployment(namespace, name);
        self.targets.iter().find(is_it).map(|read| &read.value)
    }

    /// A Knative Service by its name: the newest of its edits.
    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        let is_it =
            |s: &&Read<'_, Service>| s.object.namespace == namespace && s.object.name == name;
        self.services
            .iter()
            .rev()
            .find(is_it)
            .map(|read| &read.value)
    }

    /// Whether an object is declared, but wrong.
    pub(super) fn is_broken(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.broken
            .iter()
            .any(|o| o.kind == kind && o.namespace == namespace && o.name == name)
    }

    /// What the HTTP add-on's objects want per replica.
    pub(super) fn http_targets(&self) -> BTreeMap<HttpObject, zeron_core::policy::HttpTargets> {
        let key = |object: &ObjectRef| HttpObject {
            kind: object.kind.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        let routes = self
            .interceptor_routes
            .iter()
            .map(|r| (key(&r.object), r.value.targets));
        let scaled = self
            .http_scaled_objects
            .iter()
            .map(|h| (key(&h.object), h.value.targets));
        routes.chain(scaled).collect()
    }
}

fn read<'d, T>(entry: &Entry<'d>, value: T) -> Read<'d, T> {
    Read {
        document: entry.document,
        object: entry.header.object.clone(),
        value,
    }
}

/// The documents whose kind is read, without those that declare an object again.
fn entries<'d>(documents: &'d [Document], problems: &Problems) -> Vec<Entry<'d>> {
    let mut first: BTreeMap<(String, ObjectRef), Location> = BTreeMap::new();
    let mut entries = Vec::new();
    for document in documents {
        let Some(header) = Header::read(document, problems) else {
            continue;
        };
        let scope = Scope::new(document, problems, Some(header.object.clone()));
        let found = match problems.platform() {
            Platform::Machine => Kind::of(&header.object),
            Platform::Cluster => Ok(Kind::in_cluster(&header.object)),
        };
        let kind = match found {
            Ok(kind) => kind,
            Err(KindError::Unsupported) => {
                let message = format!(
                    "{} {} is not supported here and has no effect",
                    header.object.api_version, header.object.kind
                );
                scope.without_effect("kind", message);
                continue;
            }
            Err(KindError::OtherVersion(version)) => {
                scope.error(
                    "apiVersion",
                    format!("{:?}: must be {version}", header.object.api_version),
                );
                continue;
            }
        };
        let place = document.location("metadata.name");
        let known = first
            .entry(identity(&header.object))
            .or_insert_with(|| place.clone());
        // Several documents of one Knative Service in one file are edits of it, in that order.
        let is_edit = kind == Kind::KnativeService && known.file == place.file;
        if *known != place && !is_edit {
            scope.error("metadata.name", format!("is declared already at {known}"));
            continue;
        }
        entries.push(Entry {
            document,
            header,
            kind,
        });
    }
    entries
}

/// An object whatever version it is written in.
fn identity(object: &ObjectRef) -> (String, ObjectRef) {
    let group = kind::group(&object.api_version).to_owned();
    (
        group,
        ObjectRef {
            api_version: String::new(),
            ..object.clone()
        },
    )
}

fn add_config(set: &mut ConfigSet, entries: &[Entry<'_>], problems: &Problems) {
    for entry in entries {
        let scope = Scope::new(entry.document, problems, Some(entry.header.object.clone()));
        match entry.kind {
            Kind::Secret => {
                set.add_secret(&scope, &entry.header);
            }
            Kind::ConfigMap => {
                set.add_config_map(&scope, &entry.header);
            }
            Kind::CoreService
            | Kind::Deployment
            | Kind::KnativeService
            | Kind::ScaledObject
            | Kind::OldScaledObject
            | Kind::TriggerAuthentication
            | Kind::HttpScaledObject
            | Kind::InterceptorRoute
            | Kind::ScaledJob
            | Kind::Other
            | Kind::Irrelevant => {}
        }
    }
}

/// Reads `config-autoscaler`; names Knative's other ConfigMaps, which have no effect here.
fn autoscaler_config(
    entries: &[Entry<'_>],
    set: &ConfigSet,
    problems: &Problems,
) -> AutoscalerConfig {
    let mut config = AutoscalerConfig::default();
    let is_setting = |e: &&Entry<'_>| {
        e.kind == Kind::ConfigMap && e.header.object.namespace == KNATIVE_NAMESPACE
    };
    for entry in entries.iter().filter(is_setting) {
        let object = &entry.header.object;
        let scope = Scope::new(entry.document, problems, Some(object.clone()));
        if object.name != "config-autoscaler" {
            scope.without_effect(
                "metadata.name",
                format!("{} is not supported here and has no effect", object.name),
            );
            continue;
        }
        let Some(data) = set.config_map_data(KNATIVE_NAMESPACE, &object.name) else {
            continue;
        };
        let (found, faults) = AutoscalerConfig::parse(data);
        config = found;
        for fault in faults {
            let path = format!("data.{}", fault.key);
            match fault.is_without_effect {
                true => scope.without_effect(&path, fault.message),
                false => scope.error(&path, fault.message),
            }
        }
    }
    config
}
