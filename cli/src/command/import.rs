//! `import`: takes the objects of KEDA and of its HTTP add-on over, or says what that would do.

use std::process::ExitCode;

use clap::Args;
use zeron_controller::takeover::{self, Request};

use super::Failure;
use super::takeover::{ClusterOptions, Direction, Whose};
use crate::args::GlobalArgs;

/// Arguments of `import`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// Whose objects; those of the HTTP add-on come along with KEDA's, because it scales them
    #[arg(value_enum)]
    pub(crate) whose: Whose,
    /// Do it; otherwise it only says what it would do and what will differ
    #[arg(long)]
    pub(crate) apply: bool,
    /// Only say what it would do: this is what happens without --apply, too
    #[arg(
        long,
        value_name = "client",
        value_parser = ["client"],
        num_args = 0..=1,
        default_missing_value = "client",
        conflicts_with = "apply"
    )]
    pub(crate) dry_run: Option<String>,
    /// Scale KEDA's operator and the HTTP add-on's parts to 0 instead of waiting for you to do it
    #[arg(long, conflicts_with = "beside")]
    pub(crate) stop_keda: bool,
    /// Leave KEDA running with what it keeps: objects taken over are labelled
    /// zeron.dev/manage=true, and KEDA must exclude that label
    #[arg(long)]
    pub(crate) beside: bool,
    /// Go on although nobody will scale objects whose triggers are not built in
    #[arg(long)]
    pub(crate) accept_unscaled: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
}

pub(super) async fn run(global: &GlobalArgs, args: &ImportArgs) -> Result<ExitCode, Failure> {
    let request = Request {
        origin: args.whose.into(),
        namespace: global.namespace.clone(),
        is_beside: args.beside,
        scales_parts: args.stop_keda,
        accepts_unscaled: args.accept_unscaled,
        is_proof_needed: args.apply,
    };
    let scalers = zeron_scalers::Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
    let is_built_in = |kind: &str| scalers.types().any(|it| it.name == kind);
    let plan = |survey: &takeover::Survey| takeover::import(survey, &request, &is_built_in);
    let direction = Direction {
        verb: "import",
        done: "zeron scales these objects now; KEDA's manifests can be removed as \
               docs/from-keda.md says",
        plan: &plan,
        scales_parts: args.stop_keda,
        is_beside: args.beside,
    };
    direction.run(global, &args.cluster, args.apply).await
}
