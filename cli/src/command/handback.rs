//! `handback`: gives objects back to KEDA and its HTTP add-on, or says what that would do.

use std::process::ExitCode;

use clap::Args;
use zeron_controller::takeover::{self, Request};

use super::Failure;
use super::takeover::{ClusterOptions, Direction, Whose};
use crate::args::GlobalArgs;

/// Arguments of `handback`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HandbackArgs {
    /// Whose objects they were
    #[arg(value_enum, default_value = "keda")]
    pub(crate) whose: Whose,
    /// Do it; otherwise it only says what it would do
    #[arg(long)]
    pub(crate) apply: bool,
    /// Scale KEDA's operator and the HTTP add-on's parts up again instead of waiting for you to
    /// do it
    #[arg(long)]
    pub(crate) start_keda: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
}

pub(super) async fn run(global: &GlobalArgs, args: &HandbackArgs) -> Result<ExitCode, Failure> {
    let request = Request {
        origin: args.whose.into(),
        namespace: global.namespace.clone(),
        is_beside: false,
        scales_parts: args.start_keda,
        accepts_unscaled: true,
        is_proof_needed: false,
    };
    let plan = |survey: &takeover::Survey| takeover::handback(survey, &request);
    let direction = Direction {
        verb: "handback",
        done: "KEDA scales these objects again; zeron leaves them alone (zeron.dev/handed-back)",
        plan: &plan,
        scales_parts: args.start_keda,
        // KEDA may be alive already.
        is_beside: true,
    };
    direction.run(global, &args.cluster, args.apply).await
}
