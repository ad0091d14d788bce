//! The channel to one scaler: made on first use, made anew when nothing comes back any more.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Uri};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_external_scaler_proto::client::ExternalScalerClient;

use super::address::Address;
use super::dial::Dialer;
use crate::AddressPolicy;
use crate::source::unknown;
use crate::tls::TlsSettings;

/// Bytes of one answer.
const LARGEST_ANSWER: usize = 256 << 10;
/// Servers written in Go end a connection that is pinged more often than every five minutes.
const PING_EVERY: Duration = Duration::from_secs(330);
/// Until a ping without an answer ends the connection.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// Evaluations in a row that ran out of time: then the connection is taken to be dead, as one is
/// whose other end vanished without a word.
const DEAD_AFTER: u32 = 3;

/// What tells two channels apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LinkKey {
    pub(super) address: Address,
    /// `None`: no TLS.
    pub(super) tls: Option<TlsSettings>,
}

/// A client on a channel.
pub(super) type Stub = ExternalScalerClient<Channel>;

/// The channel to one scaler.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    is_tls: bool,
    dialer: Result<Dialer, Unknown>,
    state: Mutex<State>,
    /// Counts channels: streams on an older one are opened again.
    generation: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    channel: Option<Channel>,
    timeouts: u32,
}

impl Link {
    /// Not connected yet.
    pub(super) fn new(key: &LinkKey, policy: AddressPolicy) -> Self {
        Self {
            address: key.address.clone(),
            is_tls: key.tls.is_some(),
            dialer: Dialer::new(key, policy),
            state: Mutex::default(),
            generation: watch::Sender::new(0),
        }
    }

    /// Where the scaler is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// A client, and the end of its channel's time. Within a runtime.
    pub(super) fn stub(&self) -> Result<Stub, Unknown> {
        let mut state = self.state.lock();
        let channel = match &state.channel {
            Some(channel) => channel.clone(),
            None => {
                let made = self.make()?;
                state.channel = Some(made.clone());
                made
            }
        };
        Ok(Stub::new(channel).max_decoding_message_size(LARGEST_ANSWER))
    }

    /// Ends when the channel of now is given up.
    pub(super) fn given_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut generation = self.generation.subscribe();
        generation.mark_unchanged();
        // The sender lives as long as this link: who is gone gives nothing up.
        async move {
            if generation.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why nobody answers, where that is because of the way there.
    pub(super) fn failure(&self) -> Option<Unknown> {
        match &self.dialer {
            Ok(dialer) => dialer.failure(),
            Err(reason) => Some(reason.clone()),
        }
    }

    /// Somebody answered.
    pub(super) fn answered(&self) {
        self.state.lock().timeouts = 0;
    }

    /// An evaluation ran out of time.
    pub(super) fn timed_out(&self) {
        let mut state = self.state.lock();
        state.timeouts += 1;
        if state.timeouts >= DEAD_AFTER {
            *state = State::default();
            drop(state);
            self.generation.send_modify(|number| *number += 1);
        }
    }

    /// TLS is the dialer's, so that the address that was checked is the one that is dialled.
    fn make(&self) -> Result<Channel, Unknown> {
        let dialer = self.dialer.clone()?;
        let uri = |scheme: &str| {
            let uri = format!("{scheme}://{}", self.address).parse::<Uri>();
            uri.map_err(|_| {
                let message = format!("{} is no address", self.address);
                unknown(UnknownKind::Configuration, message)
            })
        };
        let origin = uri(if self.is_tls { "https" } else { "http" })?;
        let endpoint = Endpoint::from(uri("http")?)
            .origin(origin)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN);
        Ok(endpoint.connect_with_connector_lazy(dialer))
    }
}
