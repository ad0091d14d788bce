//! Data plane: accept, route, admit or hold, balance, forward; counts what is in flight.
//!
//! [`stack`] is the path of a request on one page. Modules in the order in which a request meets
//! them: [`listen`] binds ([`ports`] while everything runs), a [`worker`] accepts, a [`connection`]
//! speaks HTTP with its [`peer`] through [`io`], which [`framing`] keeps strict,
//! [`stack`] leads through [`head`], [`route`], [`function`] (which holds the queue and asks
//! [`balance`] and [`wake`]; [`admit`] is the wait for it) and [`attempt`] over
//! an [`upstream`] connection to an answer, whose [`outcome`] is counted.
//!
//! Beside it: [`probe`] finds out which replicas are ready. With several activators a [`ring`] says
//! who owns which replica, a [`hop`] brings a request to the owner, and [`claims`] keep limits while
//! replicas change hands. [`knative`] is what differs where this activator takes the place of
//! Knative's.

mod activator;
mod admit;
mod attempt;
mod balance;
mod body;
mod budget;
mod cause;
mod claims;
mod clock;
mod config;
mod connection;
mod control;
mod framing;
mod function;
mod head;
mod hop;
mod house;
mod io;
mod knative;
mod listen;
mod load;
mod metrics;
mod outcome;
mod peer;
mod pool;
mod ports;
mod probe;
mod proxy_protocol;
mod queue_tls;
mod refusal;
mod registry;
mod replica;
mod ring;
mod route;
mod stack;
mod tls;
mod tunnel;
mod upstream;
mod wake;
mod worker;

pub use activator::{Activator, ActivatorHandle, StartError};
pub use cause::Cause;
pub use config::{Config, Dialect, Knative, Limits, PlatformReason, TlsListener};
pub use knative::request_log::{TemplateError, WriteLine};
pub use load::Load;
pub use ring::Peer;
pub use tls::TlsError;
