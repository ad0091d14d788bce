//! Whoever acts on shards, and how it lets them go.

use tokio::sync::watch;

use super::ShardSet;

/// On which shards somebody acts, at most; `None`: nobody says.
pub(super) type Acting = Option<ShardSet>;

/// Calls `hold` with what is held, whenever that changes. What is not held any more is acted on
/// until `settled`.
pub(super) async fn follow<F: Future<Output = ()>>(
    mut held: watch::Receiver<ShardSet>,
    acting: watch::Sender<Acting>,
    mut hold: impl FnMut(&ShardSet),
    settled: impl Fn() -> F,
) {
    let mut acted = ShardSet::new();
    loop {
        let now = held.borrow_and_update().clone();
        acted.extend(&now);
        acting.send_replace(Some(acted.clone()));
        // Who takes a shard away looks at what is acted on afterwards: one of both sees the other.
        if held.has_changed().unwrap_or_default() {
            continue;
        }
        hold(&now);
        tokio::select! {
            biased;
            changed = held.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = settled() => {}
        }
        acting.send_replace(Some(now.clone()));
        acted = now;
        if held.changed().await.is_err() {
            return;
        }
    }
}
