//! Parameters of `external` and `external-push`.

use crate::parameters::Parameter;
use crate::tls;

pub(super) const SCALER_ADDRESS: Parameter =
    Parameter::text("scalerAddress", "host:port of the scaler").required();
pub(super) const ENABLE_TLS: Parameter = Parameter::flag(
    "enableTLS",
    "whether TLS is used; a certificate in the authentication means it too",
);
pub(super) const UNSAFE_SSL: Parameter = tls::UNSAFE_SSL;
pub(super) const CA_CERT: Parameter =
    Parameter::secret("caCert", "CA certificate beside the system's, PEM");
pub(super) const TLS_CLIENT_CERT: Parameter =
    Parameter::secret("tlsClientCert", "client certificate, PEM");
pub(super) const TLS_CLIENT_KEY: Parameter =
    Parameter::secret("tlsClientKey", "key of the client certificate, PEM");

/// Of both types. Every other key of the metadata is the scaler's own.
pub(super) const PARAMETERS: &[Parameter] = &[
    SCALER_ADDRESS,
    ENABLE_TLS,
    UNSAFE_SSL,
    CA_CERT,
    TLS_CLIENT_CERT,
    TLS_CLIENT_KEY,
];
