//! A write under way, and whether it may still be called off.

use std::future::Future;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Shared by whoever carries a wish out and whoever may take it back: of sending it and calling it
/// off, one happens first.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    stage: Mutex<Stage>,
    called_off: CancellationToken,
}

#[derive(Debug, Default)]
struct Stage {
    /// The write is on its way to the API server, and may come about whatever happens here.
    is_sent: bool,
    is_called_off: bool,
}

impl Flight {
    /// Nothing more is sent from now on. `false`: something was, and may come about.
    pub(crate) fn call_off(&self) -> bool {
        let mut stage = self.stage.lock();
        stage.is_called_off = true;
        self.called_off.cancel();
        !stage.is_sent
    }

    /// To be asked right before the write leaves. `false`: it was called off.
    pub(crate) fn send(&self) -> bool {
        let mut stage = self.stage.lock();
        stage.is_sent = !stage.is_called_off;
        stage.is_sent
    }

    /// The API server refused what was sent: it did not come about.
    pub(crate) fn refused(&self) {
        self.stage.lock().is_sent = false;
    }

    /// Something was sent that was not refused.
    pub(crate) fn is_sent(&self) -> bool {
        self.stage.lock().is_sent
    }

    /// It was called off, and what was sent before may still come about.
    pub(crate) fn is_loose(&self) -> bool {
        let stage = self.stage.lock();
        stage.is_sent && stage.is_called_off
    }

    /// Works unless it is called off, which gives `None` at once.
    pub(crate) async fn unless_called_off<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.called_off.run_until_cancelled(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_called_off_is_not_sent_and_what_is_sent_is_loose_until_it_is_refused() {
        let early = Flight::default();
        assert!(early.call_off() && !early.send());
        assert_eq!(early.unless_called_off(std::future::ready(1)).await, None);
        let late = Flight::default();
        assert!(late.send() && !late.call_off() && late.is_loose());
        late.refused();
        assert!(!late.is_loose() && !late.send(), "no second attempt");
    }
}
