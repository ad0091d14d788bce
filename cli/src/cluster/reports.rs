//! Which activators may report to an autoscaler.

use zeron_backend_kubernetes::token::{TokenError, TokenReviewer};
use zeron_core::roles::BoxFuture;
use zeron_wire::server::{Authenticate, Identity, Refused};

/// Whoever connects, without a token: where only friends can reach the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anybody;

/// Pods of accounts that may report, by the bound tokens that the platform gave them.
#[derive(Debug)]
pub(super) struct BoundTokens(pub(super) TokenReviewer);

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

impl Authenticate for BoundTokens {
    fn check<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Identity, Refused>> {
        Box::pin(async move {
            let Some(token) = token else {
                return Err(Refused::Unauthenticated("no token".to_owned()));
            };
            let identity = self.0.authenticate(token).await.map_err(refused)?;
            Ok(Identity {
                subject: format!(
                    "system:serviceaccount:{}:{}",
                    identity.namespace, identity.account
                ),
                name: identity.pod,
                uid: None,
            })
        })
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it
fn refused(error: TokenError) -> Refused {
    match error {
        TokenError::Malformed | TokenError::Rejected(_) | TokenError::Audience(_) => {
            Refused::Unauthenticated(error.to_string())
        }
        TokenError::Account(_) => Refused::Forbidden(error.to_string()),
        TokenError::Call(_) => Refused::Unavailable(zeron_core::Chain(&error).to_string()),
    }
}
