//! Commands that look: `ls`, `describe`, `why`, `timeline`, `logs`.

use std::io::{self, Write};

use super::{Failure, client, style};
use crate::admin::{DecisionList, FunctionList};
use crate::args::{GlobalArgs, LogsArgs, LsArgs, NameArgs, TimelineArgs, WhichCluster};
use crate::client::{
    Cluster, ClusterError, ClusterOptions, Listing, LogWish, Said, Scope, Source, Wishes,
    has_kubeconfig,
};
use crate::control::FunctionView;
use crate::explain;
use crate::output::{self, ListView, now, print, structured};
use crate::resolve::FunctionName;

/// Where zeron is in a cluster, unless it is said.
const ZERON_NAMESPACE: &str = "zeron-system";

pub(super) async fn ls(global: &GlobalArgs, args: &LsArgs) -> Result<(), Failure> {
    let source = source(global, &args.cluster).await?;
    let namespace = namespace(global, &args.cluster);
    let listing = source.list(namespace, true).await?;
    warn(&listing);
    let list = FunctionList {
        functions: listing.functions,
        shards: None,
    };
    let text = structured(global.output, &list)?.unwrap_or_else(|| {
        let how = ListView {
            format: global.output,
            style: style(global),
            now: now(),
            is_complete: args.all,
            has_namespaces: args.cluster.all_namespaces,
        };
        output::list(&list.functions, how)
    });
    print(&text).map_err(Failure::runtime)?;
    if list.functions.is_empty() {
        hint(&source);
    }
    // Beside the answer: a broken manifest changes nothing, and nobody would notice.
    for problem in &listing.problems {
        eprintln!("{problem}");
    }
    match listing.gap {
        Some(gap) => Err(Failure::Runtime(anyhow::anyhow!("{gap}"))),
        None => Ok(()),
    }
}

pub(super) async fn describe(global: &GlobalArgs, args: &NameArgs) -> Result<(), Failure> {
    let Found { listing, view, .. } = find(global, args).await?;
    let text = match structured(global.output, &view)? {
        Some(text) => text,
        None => {
            let decisions = listing.client(&view.status.id).decisions(&view).await?;
            output::describe(&view, &decisions.decisions, style(global), now())
        }
    };
    print(&text).map_err(Failure::runtime)
}

pub(super) async fn why(global: &GlobalArgs, args: &NameArgs) -> Result<(), Failure> {
    let Found { listing, view, .. } = find(global, args).await?;
    let decisions = listing.client(&view.status.id).decisions(&view).await?;
    let newest = decisions.decisions.last();
    let text = structured(global.output, &newest)?
        .unwrap_or_else(|| explain::why(&view, newest.map(AsRef::as_ref), style(global), now()));
    print(&text).map_err(Failure::runtime)
}

pub(super) async fn timeline(global: &GlobalArgs, args: &TimelineArgs) -> Result<(), Failure> {
    let Found { listing, view, .. } = find(global, &args.name).await?;
    let scope = if args.all {
        explain::Scope::All
    } else {
        explain::Scope::Changes
    };
    let client = listing.client(&view.status.id);
    let mut decisions = client.decisions(&view).await?.decisions;
    decisions.retain(|decision| scope.includes(decision));
    let list = DecisionList { decisions };
    let text = structured(global.output, &list)?
        .unwrap_or_else(|| explain::timeline(&list.decisions, scope, style(global)));
    print(&text).map_err(Failure::runtime)
}

pub(super) async fn logs(global: &GlobalArgs, args: &LogsArgs) -> Result<(), Failure> {
    let Found {
        source,
        listing,
        view,
    } = find(global, &args.name).await?;
    if let Source::Cluster(cluster) = &source {
        return cluster_logs(cluster, listing, &view, args).await;
    }
    let mut query = Vec::new();
    for (key, is_set) in [("follow", args.follow), ("timestamps", args.timestamps)] {
        if is_set {
            query.push((key, "true".to_owned()));
        }
    }
    query.extend(args.tail.map(|lines| ("tail", lines.to_string())));
    query.extend(args.replica.clone().map(|name| ("replica", name)));
    let client = listing.client(&view.status.id);
    match client.logs(&view, &query, write).await? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(error)),
        _ => Ok(()),
    }
}

async fn cluster_logs(
    cluster: &Cluster,
    listing: Listing,
    view: &FunctionView,
    args: &LogsArgs,
) -> Result<(), Failure> {
    let wish = LogWish {
        follow: args.follow,
        tail: args.tail,
        replica: args.replica.clone(),
        timestamps: args.timestamps,
        container: args.container.clone(),
    };
    let id = &view.status.id;
    // Only where there is nothing to show it is worth a question.
    let absence = match view.replicas.is_empty() {
        true => {
            let decisions = listing.client(id).decisions(view).await?.decisions;
            explain::absence(view, decisions.last().map(AsRef::as_ref), now())
        }
        false => String::new(),
    };
    let show = |said| match said {
        Said::Lines(lines) => write(&lines),
        Said::Note(text) => {
            eprintln!("{text}");
            Ok(())
        }
    };
    match cluster.logs(listing, id, &wish, &absence, show).await {
        Err(ClusterError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn write(chunk: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(chunk).and_then(|()| out.flush())
}

/// Whom to ask: see `docs/cli.md`.
async fn source(global: &GlobalArgs, which: &WhichCluster) -> Result<Source, Failure> {
    let wishes = Wishes {
        is_admin_given: global.is_admin_given,
        is_admin_set: global.admin.is_some(),
        is_cluster_given: which.kubeconfig.is_some()
            || which.context.is_some()
            || which.zeron_namespace.is_some(),
        has_kubeconfig: has_kubeconfig(),
    };
    let cluster = ClusterOptions {
        kubeconfig: which.kubeconfig.clone(),
        context: which.context.clone(),
        zeron: which
            .zeron_namespace
            .clone()
            .unwrap_or_else(|| ZERON_NAMESPACE.to_owned()),
        scope: match namespace(global, which) {
            Some(namespace) => Scope::Namespace(namespace.to_owned()),
            None if which.all_namespaces => Scope::All,
            None => Scope::Context,
        },
    };
    let tell = |text: &str| eprintln!("{text}");
    let (client, address) = (client(global)?, global.admin());
    Ok(Source::open(wishes, client, &address, cluster, tell).await?)
}

/// The namespace that was named; `-A` wins over it.
fn namespace<'g>(global: &'g GlobalArgs, which: &WhichCluster) -> Option<&'g str> {
    let named = global.namespace.as_deref();
    named.filter(|_| !which.all_namespaces)
}

/// The one function that was named, and whom to ask about it.
struct Found {
    source: Source,
    listing: Listing,
    view: FunctionView,
}

async fn find(global: &GlobalArgs, args: &NameArgs) -> Result<Found, Failure> {
    let source = source(global, &args.cluster).await?;
    let namespace = namespace(global, &args.cluster);
    let listing = source.list(namespace, false).await?;
    let name = FunctionName::parse(&args.name, namespace);
    match name.resolve(&listing.functions).cloned() {
        Ok(view) => Ok(Found {
            source,
            listing,
            view,
        }),
        Err(error) => {
            // It may be with somebody who did not answer, or elsewhere.
            warn(&listing);
            if let Some(gap) = &listing.gap {
                eprintln!("warning: {gap}");
            }
            hint(&source);
            Err(Failure::runtime(error))
        }
    }
}

fn warn(listing: &Listing) {
    for warning in &listing.warnings {
        eprintln!("warning: {warning}");
    }
}

/// Where else to look, when only a namespace that nobody named was looked at.
fn hint(source: &Source) {
    if let Source::Cluster(cluster) = source
        && let Some(namespace) = cluster.implied_namespace()
    {
        eprintln!(
            "hint: only namespace {namespace} was looked at, that of the kubeconfig's context: -n NAMESPACE or -A looks elsewhere"
        );
    }
}
