//! Why there is no answer, in words without URLs.

use std::error::Error;
use std::io;

use rustls::AlertDescription;
use zeron_core::metric::{Unknown, UnknownKind};

use super::resolver::Refused;
use crate::source::unknown;

/// What `error` means for `server`.
pub(super) fn of(server: &str, error: &reqwest::Error) -> Unknown {
    if let Some(Refused(reason)) = chain(error).find_map(|it| it.downcast_ref::<Refused>()) {
        return reason.clone();
    }
    if error.is_timeout() {
        let message = format!("{server} cannot be connected in time");
        return unknown(UnknownKind::Timeout, message);
    }
    let what = if error.is_connect() {
        "cannot be connected"
    } else {
        "did not answer in full"
    };
    let kind = match chain(error).any(is_refused_certificate) {
        true => UnknownKind::Authentication,
        false => UnknownKind::Transport,
    };
    unknown(kind, format!("{server} {what}: {}", cause(error)))
}

/// The innermost reason: those around it repeat the URL or say less.
pub(super) fn cause(error: &reqwest::Error) -> String {
    match chain(error).skip(1).last() {
        Some(cause) => cause.to_string(),
        None if error.is_builder() => "the request is not allowed".to_owned(),
        None => "unknown reason".to_owned(),
    }
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
}

/// Whether the server wants a client certificate, or another one.
fn is_refused_certificate(error: &(dyn Error + 'static)) -> bool {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let tls = match inner {
        Some(inner) => inner.downcast_ref::<rustls::Error>(),
        None => error.downcast_ref::<rustls::Error>(),
    };
    let Some(rustls::Error::AlertReceived(alert)) = tls else {
        return false;
    };
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}
