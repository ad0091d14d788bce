//! Whole-system tests: real processes, loopback, a real broker.
//!
//! A test declares functions ([`manifest`]), brings `zeron` up with them ([`Zeron`]), speaks to it byte by byte ([`raw`],
//! [`frames`]) or by admin API, and waits for conditions ([`wait`]).

mod binary;
pub mod broker;
pub mod canary;
pub mod clock;
pub mod cluster;
pub mod external;
pub mod frames;
pub mod h2c;
mod keeper;
pub mod knative;
pub mod load;
pub mod manifest;
mod ports;
pub mod process;
pub mod raw;
mod response;
pub mod servers;
pub mod soak;
pub mod topic;
pub mod wait;
mod zeron;

pub use manifest::Service;
pub use ports::{free_address, free_address_of};
pub use raw::Raw;
pub use response::{End, Response};
pub use wait::{PATIENCE, until};
pub use zeron::{Output, Setup, Zeron, command, program};
