//! Options of the external scaler that an autoscaler serves.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

const HEADING: &str = "For a KEDA beside us";

/// Where and to whom it answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExternalScalerArgs {
    /// Address at which KEDA asks for requests in flight, requests per second and queues of our
    /// functions, as of any external scaler; none when it is empty
    #[arg(long, value_name = "ADDRESS", help_heading = HEADING)]
    pub(crate) external_scaler_listen: Option<SocketAddr>,
    /// Certificate chain of that listener, PEM; without one it speaks plaintext
    #[arg(
        long,
        value_name = "FILE",
        requires_all = ["external_scaler_listen", "external_scaler_key"],
        help_heading = HEADING
    )]
    pub(crate) external_scaler_cert: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(
        long,
        value_name = "FILE",
        requires = "external_scaler_cert",
        help_heading = HEADING
    )]
    pub(crate) external_scaler_key: Option<PathBuf>,
    /// Who has no certificate of these authorities is refused
    #[arg(
        long,
        value_name = "FILE",
        requires = "external_scaler_cert",
        help_heading = HEADING
    )]
    pub(crate) external_scaler_client_ca: Option<PathBuf>,
}
