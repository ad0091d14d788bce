//! Addresses for processes that are told where to listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the kernel's own choice (from 32768) and below node ports (from 30000): no outgoing
/// connection and no `bind` to port 0 takes one between its choice and its use.
const FIRST: u32 = 11_000;
const COUNT: u32 = 18_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An address on loopback where nobody listens. No two calls in a process give the same one.
///
/// # Panics
/// When the machine has none.
pub fn free_address() -> SocketAddr {
    free_address_of(Ipv4Addr::LOCALHOST.into())
}

/// As [`free_address`], on another address of this machine.
///
/// # Panics
/// When the machine has none.
pub fn free_address_of(ip: IpAddr) -> SocketAddr {
    // Processes beside each other begin far from each other.
    let start = std::process::id().wrapping_mul(611);
    (0..COUNT)
        .map(|_| start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
        .filter_map(|number| u16::try_from(FIRST + number % COUNT).ok())
        .map(|port| SocketAddr::new(ip, port))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("there is a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_twice_or_while_somebody_listens() {
        let first = free_address();
        let _held = TcpListener::bind(first).expect("it was free");
        let others: Vec<_> = (0..COUNT / 4).map(|_| free_address()).collect();
        let distinct: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len());
        assert!(!others.contains(&first));
        assert!(others.iter().all(|address| address.port() < 30_000));
    }
}
