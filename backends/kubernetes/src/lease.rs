//! Who leads: elections on `coordination.k8s.io` Leases.
//!
//! No clock is compared with another machine's. Who holds a Lease counts from *before* its renewal
//! was sent; who waits counts from *after* a change of the record was seen. So a holder gives up
//! before anybody else may take over, whatever the clocks say.

mod campaign;
mod hold;
mod record;
mod watch;

pub use campaign::{Campaign, Leadership, Lease, LeaseConfig};
pub(crate) use hold::{Hold, collection};
pub(crate) use record::{LeaseObject, Observed};
pub(crate) use watch::{LeaseWatch, Shown};

#[cfg(test)]
pub(crate) mod testing;
