//! Commands that look: `ls`, `describe`, `why`, `timeline`, `logs`.

use std::io::{self, Write};

use super::{Failure, client, style};
use crate::admin::{DecisionList, FunctionList};
use crate::args::{GlobalArgs, LogsArgs, LsArgs, NameArgs, TimelineArgs};
use crate::client::Client;
use crate::control::FunctionView;
use crate::explain::{self, Scope};
use crate::output::{self, ListView, now, print, structured};
use crate::resolve::FunctionName;

pub(super) async fn ls(global: &GlobalArgs, args: &LsArgs) -> Result<(), Failure> {
    let client = client(global)?;
    let functions = client.functions(global.namespace.as_deref()).await?;
    let list = FunctionList { functions };
    let text = structured(global.output, &list)?.unwrap_or_else(|| {
        let how = ListView {
            format: global.output,
            style: style(global),
            now: now(),
            is_complete: args.all,
        };
        output::list(&list.functions, how)
    });
    print(&text).map_err(Failure::runtime)?;
    // Beside the answer: a broken manifest changes nothing, and nobody would notice.
    for problem in client.problems().await? {
        eprintln!("{problem}");
    }
    Ok(())
}

pub(super) async fn describe(global: &GlobalArgs, args: &NameArgs) -> Result<(), Failure> {
    let client = client(global)?;
    let view = find(&client, global, args).await?;
    let text = match structured(global.output, &view)? {
        Some(text) => text,
        None => {
            let decisions = client.decisions(&view).await?.decisions;
            output::describe(&view, &decisions, style(global), now())
        }
    };
    print(&text).map_err(Failure::runtime)
}

pub(super) async fn why(global: &GlobalArgs, args: &NameArgs) -> Result<(), Failure> {
    let client = client(global)?;
    let view = find(&client, global, args).await?;
    let decisions = client.decisions(&view).await?.decisions;
    let newest = decisions.last();
    let text = structured(global.output, &newest)?
        .unwrap_or_else(|| explain::why(&view, newest.map(AsRef::as_ref), style(global), now()));
    print(&text).map_err(Failure::runtime)
}

pub(super) async fn timeline(global: &GlobalArgs, args: &TimelineArgs) -> Result<(), Failure> {
    let client = client(global)?;
    let view = find(&client, global, &args.name).await?;
    let scope = if args.all { Scope::All } else { Scope::Changes };
    let mut decisions = client.decisions(&view).await?.decisions;
    decisions.retain(|decision| scope.includes(decision));
    let list = DecisionList { decisions };
    let text = structured(global.output, &list)?
        .unwrap_or_else(|| explain::timeline(&list.decisions, scope, style(global)));
    print(&text).map_err(Failure::runtime)
}

pub(super) async fn logs(global: &GlobalArgs, args: &LogsArgs) -> Result<(), Failure> {
    let client = client(global)?;
    let view = find(&client, global, &args.name).await?;
    let mut query = Vec::new();
    for (key, is_set) in [("follow", args.follow), ("timestamps", args.timestamps)] {
        if is_set {
            query.push((key, "true".to_owned()));
        }
    }
    query.extend(args.tail.map(|lines| ("tail", lines.to_string())));
    query.extend(args.replica.clone().map(|name| ("replica", name)));
    let mut out = io::stdout();
    let write = |chunk: &[u8]| out.write_all(chunk).and_then(|()| out.flush());
    match client.logs(&view, &query, write).await? {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(error)),
        _ => Ok(()),
    }
}

/// The one function that was named.
async fn find(
    client: &Client,
    global: &GlobalArgs,
    args: &NameArgs,
) -> Result<FunctionView, Failure> {
    let views = client.functions(global.namespace.as_deref()).await?;
    let name = FunctionName::parse(&args.name, global.namespace.as_deref());
    name.resolve(&views).cloned().map_err(Failure::runtime)
}
