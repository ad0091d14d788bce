//! What `up` prints once it serves: where, and what to try.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::control::NodeControl;
use super::view::View;
use crate::address::AdminAddress;
use crate::args::UpArgs;

/// Functions that are listed by name.
const LISTED: usize = 20;
/// How long the first plan may take before the banner is printed without it.
const FIRST_PLAN: Duration = Duration::from_secs(10);

/// Prints addresses and commands to standard output.
pub(super) async fn print(
    args: &UpArgs,
    node: &NodeControl,
    admin: &AdminAddress,
    mut views: watch::Receiver<Arc<View>>,
) {
    // Without a first plan (a slow disk, say) the addresses are worth printing all the same.
    tokio::time::timeout(FIRST_PLAN, views.changed()).await.ok();
    let view = Arc::clone(&views.borrow_and_update());
    let text = render(args, node, admin, &view);
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason not to serve.
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .ok();
}

fn render(args: &UpArgs, node: &NodeControl, admin: &AdminAddress, view: &View) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let urls = node.urls(view);
    let mut line = |content: String| {
        writeln!(text, "{content}").expect("writing to a string cannot fail");
    };
    for address in node.parts.activator.addresses() {
        line(format!("requests  {address}"));
    }
    line(format!("admin     {admin}"));
    line(format!("functions {}", view.functions));
    for url in urls.iter().take(LISTED) {
        line(format!("  {url}"));
    }
    if urls.len() > LISTED {
        line(format!("  ... and {} more: zeron ls", urls.len() - LISTED));
    }
    for problem in &view.problems {
        line(problem.to_string());
    }
    if let Some(url) = urls
        .iter()
        .find(|u| u.contains("://hello."))
        .or(urls.first())
    {
        let admin = if args.admin_listen.to_string() == crate::args::DEFAULT_ADMIN {
            String::new()
        } else {
            format!(" --admin {admin}")
        };
        line(format!("try\n  curl {url}\n  zeron ls{admin}"));
    }
    text
}
