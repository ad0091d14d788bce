//! The names and ports, as the add-on's manifests give them.

use std::num::NonZeroU16;

/// Where a port leads on an activator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Requests of functions.
    Http,
    /// The same over TLS; left out where activators have no certificate.
    Https,
    /// Health and metrics.
    Health,
}

/// One port of an alias.
#[derive(Clone, Copy, Debug)]
pub struct AliasPort {
    /// Its name.
    pub name: &'static str,
    /// Its number.
    pub number: u16,
    /// Where it leads.
    pub lead: Lead,
}

/// One Service of the add-on.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// Its name.
    pub name: &'static str,
    /// Its ports.
    pub ports: &'static [AliasPort],
}

const fn port(name: &'static str, number: u16, lead: Lead) -> AliasPort {
    AliasPort { name, number, lead }
}

/// Source: kedacore/http-add-on, `config/interceptor`.
pub const ALIASES: [Alias; 3] = [
    Alias {
        name: "keda-add-ons-http-interceptor-proxy",
        ports: &[
            port("proxy", 8080, Lead::Http),
            port("proxy-tls", 8443, Lead::Https),
        ],
    },
    Alias {
        name: "keda-add-ons-http-interceptor-admin",
        ports: &[port("admin", 9090, Lead::Health)],
    },
    Alias {
        name: "keda-add-ons-http-interceptor-metrics",
        ports: &[port("metrics", 2223, Lead::Health)],
    },
];

/// Ports of activator pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivatorPorts {
    pub(super) http: NonZeroU16,
    pub(super) https: Option<NonZeroU16>,
    pub(super) health: NonZeroU16,
}

impl ActivatorPorts {
    pub(super) fn of(&self, lead: Lead) -> Option<NonZeroU16> {
        match lead {
            Lead::Http => Some(self.http),
            Lead::Https => self.https,
            Lead::Health => Some(self.health),
        }
    }
}
