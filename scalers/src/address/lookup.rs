//! Names to addresses, by the system: one question at a time about each name, however many ask it.
//!
//! The system's resolver blocks a thread, for a minute perhaps where a zone's servers are silent, and whoever asked may
//! have given up long before. So the threads of a name that does not resolve are one, and not one per evaluation:
//! the process has only so many, and other names need them too.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// Addresses, or the resolver's words.
pub(super) type Found = Result<Vec<IpAddr>, Arc<str>>;

type Answer = watch::Receiver<Option<Found>>;

/// Asks the system; blocks.
type Ask = fn(&str) -> io::Result<Vec<IpAddr>>;

/// Questions that are not answered yet.
#[derive(Debug)]
pub(super) struct Lookups {
    ask: Ask,
    under_way: Arc<Mutex<HashMap<String, Answer>>>,
}

/// Those of this process.
pub(super) static LOOKUPS: LazyLock<Lookups> = LazyLock::new(|| Lookups::new(by_system));

/// A question that is under way until this is dropped.
struct Asked {
    host: String,
    under_way: Arc<Mutex<HashMap<String, Answer>>>,
    answer: watch::Sender<Option<Found>>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.host);
    }
}

impl Lookups {
    fn new(ask: Ask) -> Self {
        Self {
            ask,
            under_way: Arc::default(),
        }
    }

    /// The addresses of a name. Whoever does not wait for them leaves the question to the next.
    pub(super) async fn find(&self, host: &str) -> Found {
        loop {
            let mut answer = self.answer(host);
            let found = answer.wait_for(Option::is_some).await;
            if let Ok(found) = found.map(|it| it.clone())
                && let Some(found) = found
            {
                return found;
            }
            // The runtime on which it was asked has ended.
        }
    }

    fn answer(&self, host: &str) -> Answer {
        let mut under_way = self.under_way.lock();
        if let Some(answer) = under_way.get(host) {
            return answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        under_way.insert(host.to_owned(), answer.clone());
        let asked = Asked {
            host: host.to_owned(),
            under_way: Arc::clone(&self.under_way),
            answer: sender,
        };
        let ask = self.ask;
        drop(under_way);
        spawn_blocking(move || {
            let found = ask(&asked.host).map_err(|error| error.to_string().into());
            asked.answer.send_replace(Some(found));
        });
        answer
    }
}

fn by_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    Ok(found.map(|it| it.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static SILENT: Mutex<()> = Mutex::new(());

    /// Knows every name, and says nothing of it until it may.
    fn silent(_: &str) -> io::Result<Vec<IpAddr>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        drop(SILENT.lock());
        Ok(vec![[192, 0, 2, 1].into()])
    }

    #[tokio::test]
    #[allow(clippy::await_holding_lock)]
    async fn a_name_that_does_not_resolve_takes_one_thread_however_often_it_is_asked_for() {
        let lookups = Lookups::new(silent);
        let silence = SILENT.lock();
        for _ in 0..3 {
            let asked = join_all((0..20).map(|_| lookups.find("silent.test")));
            let waited = tokio::time::timeout(Duration::from_millis(20), asked).await;
            assert!(waited.is_err());
        }
        assert!(ASKED.load(Ordering::SeqCst) <= 1);
        drop(silence);
        let found = lookups.find("silent.test").await.unwrap();
        assert_eq!(found, [IpAddr::from([192, 0, 2, 1])]);
        until_free(&lookups).await;
        lookups.find("silent.test").await.unwrap();
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    }

    /// Waits until no question is under way.
    async fn until_free(lookups: &Lookups) {
        let free = async {
            while !lookups.under_way.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), free)
            .await
            .unwrap();
    }
}
