//! Which activators may report to an autoscaler.

use zeron_core::roles::BoxFuture;
use zeron_wire::server::{Authenticate, Identity, Refused};

/// Whoever connects, without a token: where only friends can reach the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anybody;

impl Authenticate for Anybody {
    fn check<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Identity, Refused>> {
        let anybody = Identity {
            subject: "anybody".to_owned(),
            name: None,
            uid: None,
        };
        Box::pin(async { Ok(anybody) })
    }
}
