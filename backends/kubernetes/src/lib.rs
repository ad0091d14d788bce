//! Replicas as pods: watches, scale writes, leases.
