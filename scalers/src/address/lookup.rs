//! Names to addresses, by the system: one question at a time about each name, however many ask it.
//!
//! The system's resolver blocks a thread, for a minute perhaps where a zone's servers are silent, and whoever asked may
//! have given up long before. So the threads of a name that does not resolve are one, and not one per evaluation; and
//! each tenant has its share of them, and no more: the process has only so many, and other names need them too.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;

/// Questions under way at once, each on a thread of its own.
const MOST: usize = 128;
/// Those of one tenant.
const MOST_OF_A_TENANT: usize = 16;

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
    room: Arc<Semaphore>,
    /// Shares of tenants that ask just now.
    shares: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Those of this process.
pub(super) static LOOKUPS: LazyLock<Lookups> = LazyLock::new(|| Lookups::new(by_system));

/// A question that is under way until this is dropped.
struct Asked {
    host: String,
    under_way: Arc<Mutex<HashMap<String, Answer>>>,
    answer: watch::Sender<Option<Found>>,
    _place: Place,
}

/// A thread of a tenant's share.
struct Place {
    _room: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
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
            room: Arc::new(Semaphore::new(MOST)),
            shares: Mutex::default(),
        }
    }

    /// The addresses of a name, asked for by a tenant, where there are some. Whoever does not wait for them
    /// leaves the question to the next.
    pub(super) async fn find(&self, host: &str, tenant: Option<&str>) -> Found {
        loop {
            let under_way = self.under_way.lock().get(host).cloned();
            let mut answer = match under_way {
                Some(answer) => answer,
                None => self.answer(host, self.place(tenant).await),
            };
            let found = answer.wait_for(Option::is_some).await;
            if let Ok(found) = found.map(|it| it.clone())
                && let Some(found) = found
            {
                return found;
            }
            // The runtime on which it was asked has ended.
        }
    }

    /// Waits for a thread: first for one of the tenant's share, so that nobody waits behind what a tenant may not have.
    async fn place(&self, tenant: Option<&str>) -> Place {
        let share = match tenant {
            Some(tenant) => Some(take(self.share(tenant)).await),
            None => None,
        };
        Place {
            _room: take(Arc::clone(&self.room)).await,
            _share: share,
        }
    }

    fn share(&self, tenant: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock();
        shares.retain(|_, share| share.strong_count() > 0);
        if let Some(share) = shares.get(tenant).and_then(Weak::upgrade) {
            return share;
        }
        let share = Arc::new(Semaphore::new(MOST_OF_A_TENANT));
        shares.insert(tenant.to_owned(), Arc::downgrade(&share));
        share
    }

    fn answer(&self, host: &str, place: Place) -> Answer {
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
            _place: place,
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

async fn take(of: Arc<Semaphore>) -> OwnedSemaphorePermit {
    let taken = of.acquire_owned().await;
    taken.expect("the semaphore is never closed")
}

fn by_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    Ok(found.map(|it| it.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::{join, join_all};

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
            let asked = join_all((0..20).map(|_| lookups.find("silent.test", None)));
            let waited = tokio::time::timeout(Duration::from_millis(20), asked).await;
            assert!(waited.is_err());
        }
        assert!(ASKED.load(Ordering::SeqCst) <= 1);
        // It waits for the question that is under way, before that one is answered.
        let waiting = lookups.find("silent.test", None);
        let (found, ()) = join(waiting, async { drop(silence) }).await;
        assert_eq!(found.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
        until_free(&lookups).await;
        lookups.find("silent.test", None).await.unwrap();
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
    }

    static WALL: Mutex<()> = Mutex::new(());

    /// Says nothing of names of walls until it may.
    fn walled(host: &str) -> io::Result<Vec<IpAddr>> {
        if host.starts_with("wall") {
            drop(WALL.lock());
        }
        Ok(vec![[192, 0, 2, 1].into()])
    }

    #[tokio::test]
    #[allow(clippy::await_holding_lock)]
    async fn a_tenant_whose_names_do_not_resolve_waits_for_itself_alone() {
        let lookups = Lookups::new(walled);
        let wall = WALL.lock();
        let names: Vec<_> = (0..3 * MOST).map(|n| format!("wall{n}.test")).collect();
        let mut silent = Box::pin(join_all(
            names.iter().map(|it| lookups.find(it, Some("shop"))),
        ));
        assert!(futures_util::poll!(&mut silent).is_pending());
        assert_eq!(lookups.under_way.lock().len(), MOST_OF_A_TENANT);
        let mut own = Box::pin(lookups.find("quick.test", Some("shop")));
        assert!(futures_util::poll!(&mut own).is_pending());
        lookups.find("quick.test", Some("bank")).await.unwrap();
        drop(wall);
        let (own, silent) = tokio::join!(own, silent);
        own.unwrap();
        assert!(silent.iter().all(Result::is_ok));
        until_free(&lookups).await;
        assert_eq!(lookups.room.available_permits(), MOST);
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
