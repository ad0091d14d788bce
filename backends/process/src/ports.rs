//! Which port each replica listens on: never the same for two that live.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use zeron_core::EndpointId;

/// Ports that a block holds; its first one is the lock.
const BLOCK: u16 = 128;

/// Below the kernel's usual ephemeral range (32768..), so that no outgoing connection takes an
/// assigned port as its source, and a probe cannot connect to itself.
const RANGE: Range<u16> = 20_000..32_672;

/// Why a replica got no port.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PortError {
    /// Every port of the range is in use.
    #[error("no free port between {} and {}", RANGE.start, RANGE.end)]
    Exhausted,
    /// Another replica of ours has it.
    #[error("port {port} is in use by replica {holder}")]
    Held { port: u16, holder: EndpointId },
    /// Somebody else listens there.
    #[error("port {port} is in use by another process")]
    Taken { port: u16 },
}

/// Gives out ports from blocks. A block is owned by whoever has its first port bound, so that two
/// back ends on one machine never use the same block; that a port is free of strangers is checked
/// by binding it before it is given out.
#[derive(Debug)]
pub(crate) struct Ports {
    ip: IpAddr,
    blocks: Vec<Block>,
    /// Where the search for the next port begins: a port is used again as late as possible.
    cursor: usize,
    /// Where the search for the next block begins, different in each process.
    next_block: u16,
    held: HashMap<u16, EndpointId>,
}

#[derive(Debug)]
struct Block {
    base: u16,
    /// Bound and never listened on.
    _lock: OwnedFd,
}

impl Ports {
    pub(crate) fn new(ip: IpAddr, seed: u64) -> Self {
        let blocks = u64::from(RANGE.end.abs_diff(RANGE.start) / BLOCK);
        Self {
            ip,
            blocks: Vec::new(),
            cursor: 0,
            next_block: u16::try_from(seed % blocks).unwrap_or(0),
            held: HashMap::new(),
        }
    }

    /// A free port for `replica`.
    pub(crate) fn assign(&mut self, replica: EndpointId) -> Result<u16, PortError> {
        // A quarter of each block stays free, so that ports rest before they are used again.
        let usable = self.blocks.len() * usize::from(BLOCK - BLOCK / 4);
        if self.held.len() >= usable {
            self.claim_block();
        }
        loop {
            if let Some(port) = self.search() {
                self.held.insert(port, replica);
                return Ok(port);
            }
            if !self.claim_block() {
                return Err(PortError::Exhausted);
            }
        }
    }

    /// Reserves the port that a program insists on.
    pub(crate) fn reserve(&mut self, replica: EndpointId, port: u16) -> Result<(), PortError> {
        if let Some(&holder) = self.held.get(&port) {
            return Err(PortError::Held { port, holder });
        }
        if has_listener(SocketAddr::new(self.ip, port)) {
            return Err(PortError::Taken { port });
        }
        self.held.insert(port, replica);
        Ok(())
    }

    /// Gives a port back once every process of the replica is gone. `true`: somebody listens
    /// there all the same, so a replica that never did had lost the race for it.
    pub(crate) fn release(&mut self, port: u16) -> bool {
        self.held.remove(&port);
        has_listener(SocketAddr::new(self.ip, port))
    }

    fn search(&mut self) -> Option<u16> {
        let total = self.blocks.len() * usize::from(BLOCK);
        for _ in 0..total {
            self.cursor = (self.cursor + 1) % total;
            let block = &self.blocks[self.cursor / usize::from(BLOCK)];
            let offset = u16::try_from(self.cursor % usize::from(BLOCK)).unwrap_or(0);
            let port = block.base + offset;
            let is_ours = offset == 0 || self.held.contains_key(&port);
            if !is_ours && bind_everywhere(port).is_some() {
                return Some(port);
            }
        }
        None
    }

    fn claim_block(&mut self) -> bool {
        let blocks = (RANGE.end - RANGE.start) / BLOCK;
        for _ in 0..blocks {
            let base = RANGE.start + self.next_block * BLOCK;
            self.next_block = (self.next_block + 1) % blocks;
            if self.blocks.iter().any(|block| block.base == base) {
                continue;
            }
            if let Some(lock) = bind_everywhere(base) {
                // The search goes on in the new block.
                self.cursor = self.blocks.len() * usize::from(BLOCK);
                self.blocks.push(Block { base, _lock: lock });
                return true;
            }
        }
        false
    }
}

/// Binds `port` on every address without sharing it: fails when anybody has it anywhere, even in
/// TIME_WAIT, which a program that does not set SO_REUSEADDR would trip over.
fn bind_everywhere(port: u16) -> Option<OwnedFd> {
    let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    match bind_socket(any, false) {
        Ok(socket) => Some(socket),
        Err(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL) => {
            let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
            bind_socket(any, false).ok()
        }
        Err(_) => None,
    }
}

/// Whether anybody listens there; connections in TIME_WAIT do not count.
fn has_listener(address: SocketAddr) -> bool {
    matches!(
        bind_socket(address, true),
        Err(rustix::io::Errno::ADDRINUSE)
    )
}

fn bind_socket(address: SocketAddr, reuse: bool) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )?;
    sockopt::set_socket_reuseaddr(&socket, reuse)?;
    if matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified()) {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn ports(seed: u64) -> Ports {
        Ports::new(IpAddr::V4(Ipv4Addr::LOCALHOST), seed)
    }

    #[test]
    fn no_two_replicas_of_two_back_ends_share_a_port() {
        let (mut one, mut two) = (ports(7), ports(7));
        let mut seen = HashSet::new();
        for n in 0..300 {
            assert!(seen.insert(one.assign(EndpointId(n)).unwrap()));
            assert!(seen.insert(two.assign(EndpointId(n)).unwrap()));
        }
    }

    #[test]
    fn a_released_port_rests_before_it_is_used_again() {
        let mut ports = ports(11);
        let first = ports.assign(EndpointId(1)).unwrap();
        assert!(!ports.release(first));
        assert_ne!(ports.assign(EndpointId(2)).unwrap(), first);
    }

    #[test]
    fn a_port_that_a_stranger_took_is_told_and_given_to_nobody() {
        let mut ports = ports(13);
        let port = ports.assign(EndpointId(1)).unwrap();
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(ports.release(port));
        for n in 0..200 {
            assert_ne!(ports.assign(EndpointId(n)).unwrap(), port);
        }
        drop(stranger);
    }

    #[test]
    fn a_fixed_port_is_refused_while_anybody_has_it() {
        let mut ports = ports(17);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(
            ports.reserve(EndpointId(1), port),
            Err(PortError::Taken { port })
        );
        drop(listener);
        assert_eq!(ports.reserve(EndpointId(1), port), Ok(()));
        let holder = EndpointId(1);
        assert_eq!(
            ports.reserve(EndpointId(2), port),
            Err(PortError::Held { port, holder })
        );
    }
}
