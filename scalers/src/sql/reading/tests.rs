use parking_lot::Mutex;
use zeron_core::metric::UnknownKind;

use super::*;
use crate::source::unknown;

const TIMEOUT: Duration = Duration::from_secs(3);

/// Answers by the words of a query: `7` is that number, `7 after 200` takes so many milliseconds,
/// `broken` fails, `deadly` breaks the connection, `silent` never comes back and is not cut off.
#[derive(Debug, Default)]
struct Fake {
    connections: AtomicUsize,
    is_down: std::sync::atomic::AtomicBool,
    /// Milliseconds that connecting takes.
    connecting: std::sync::atomic::AtomicU64,
    /// Connections up to this number are dead.
    dead: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Database for Fake {
    type Session = usize;

    fn connect(&self) -> BoxFuture<'_, Result<usize, Unknown>> {
        Box::pin(async {
            let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
            let takes = Duration::from_millis(self.connecting.load(Ordering::Relaxed));
            tokio::time::sleep(takes).await;
            if self.is_down.load(Ordering::Relaxed) {
                return Err(unknown(UnknownKind::Transport, "refused"));
            }
            Ok(number)
        })
    }

    fn ask<'a>(
        &'a self,
        session: &'a mut usize,
        queries: &'a [Arc<str>],
        limit: Duration,
        answers: &'a mut Vec<Answer>,
    ) -> BoxFuture<'a, Result<(), Unknown>> {
        Box::pin(async move {
            for query in queries {
                if *session <= self.dead.load(Ordering::Relaxed) {
                    return Err(unknown(UnknownKind::Transport, "reset"));
                }
                self.asked.lock().push(query.to_string());
                answers.push(one(query, limit).await?);
            }
            Ok(())
        })
    }
}

async fn one(query: &str, limit: Duration) -> Result<Answer, Unknown> {
    let (number, milliseconds) = query.split_once(" after ").unwrap_or((query, "1"));
    let takes = Duration::from_millis(milliseconds.parse().unwrap());
    match number {
        "deadly" => return Err(unknown(UnknownKind::Transport, "reset")),
        "silent" => std::future::pending().await,
        "broken" => {
            return Ok(Answer::Failed(unknown(
                UnknownKind::Missing,
                "no such table",
            )));
        }
        _ => {}
    }
    tokio::time::sleep(takes.min(limit)).await;
    if takes > limit {
        return Ok(Answer::Slow);
    }
    Ok(Answer::Number(number.parse().unwrap()))
}

fn client() -> (Arc<Fake>, SqlClient<Fake>) {
    let fake = Arc::new(Fake::default());
    let client = SqlClient::new(Arc::clone(&fake), "db:5432", None);
    (fake, client)
}

fn triggers(queries: &[&str]) -> Vec<Arc<QueryTrigger>> {
    let trigger = |query: &&str| QueryTrigger::new(query, 5.0, 0.0, "metric".to_owned());
    queries.iter().map(trigger).map(Arc::new).collect()
}

/// The values, or the kinds of failure.
async fn read(
    client: &SqlClient<Fake>,
    triggers: &[Arc<QueryTrigger>],
) -> Vec<Result<f64, UnknownKind>> {
    let read = client.read(triggers, TIMEOUT).await;
    let value = |it: Readings| it.map(|it| it[0].value).map_err(|it| it.kind);
    read.into_iter().map(value).collect()
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_order_of_the_triggers_and_equal_queries_are_asked_once() {
    let (fake, client) = client();
    let triggers = triggers(&["1", "2", "1", "3", "2", "1"]);
    for _ in 0..3 {
        let expected = [1.0, 2.0, 1.0, 3.0, 2.0, 1.0].map(Ok);
        assert_eq!(read(&client, &triggers).await, expected);
    }
    assert_eq!(fake.asked.lock().len(), 9);
    assert_eq!(fake.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_query_answers_and_delays_the_quick_ones_once_by_the_patience() {
    let (fake, client) = client();
    let all = triggers(&["7 after 1500", "1", "2"]);
    assert_eq!(read(&client, &all).await, [Ok(7.0), Ok(1.0), Ok(2.0)]);
    assert!(all[0].is_slow() && !all[1].is_slow());
    // Known as slow, it is not asked among the others any more.
    fake.asked.lock().clear();
    assert_eq!(read(&client, &all).await, [Ok(7.0), Ok(1.0), Ok(2.0)]);
    assert_eq!(
        fake.asked
            .lock()
            .iter()
            .filter(|it| it.starts_with('7'))
            .count(),
        1
    );
    assert_eq!(fake.connections.load(Ordering::Relaxed), 2);
    // Others that are read beside it are not delayed at all.
    let began = Instant::now();
    let quick = triggers(&["4", "5"]);
    let (_, values) = tokio::join!(read(&client, &all[..1]), async {
        let values = read(&client, &quick).await;
        assert!(
            began.elapsed() < Duration::from_millis(50),
            "{:?}",
            began.elapsed()
        );
        values
    });
    assert_eq!(values, [Ok(4.0), Ok(5.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_became_quick_goes_back_to_the_others() {
    let (_, client) = client();
    let trigger = triggers(&["7 after 10"]);
    trigger[0].set_slow(true);
    assert_eq!(read(&client, &trigger).await, [Ok(7.0)]);
    assert!(!trigger[0].is_slow());
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_too_long_is_late_alone_and_in_time() {
    let (_, client) = client();
    let all = triggers(&["7 after 60000", "1"]);
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(
            read(&client, &all).await,
            [Err(UnknownKind::Timeout), Ok(1.0)]
        );
        assert!(began.elapsed() <= TIMEOUT, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn many_slow_queries_take_turns_on_few_connections() {
    let (fake, client) = client();
    let names: Vec<_> = (0..9)
        .map(|number| format!("{number} after 2000"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let all = triggers(&names);
    let mut answered = [false; 9];
    for _ in 0..10 {
        for (answered, value) in answered.iter_mut().zip(read(&client, &all).await) {
            *answered |= value.is_ok();
        }
    }
    assert_eq!(answered, [true; 9]);
    // Those that the server did not cut in time cost their connection.
    assert!(fake.connections.load(Ordering::Relaxed) <= 10 * (1 + SLOW_CONNECTIONS));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_fails_fails_alone() {
    let (fake, client) = client();
    let all = triggers(&["1", "broken", "2"]);
    let expected = [Ok(1.0), Err(UnknownKind::Missing), Ok(2.0)];
    assert_eq!(read(&client, &all).await, expected);
    assert_eq!(fake.connections.load(Ordering::Relaxed), 1);
    let answers = client.read(&all, TIMEOUT).await;
    assert_eq!(
        answers[1].as_ref().unwrap_err().message,
        "db:5432: no such table"
    );
}

#[tokio::test(start_paused = true)]
async fn a_query_that_breaks_its_connection_fails_alone_and_goes_apart() {
    let (fake, client) = client();
    let all = triggers(&["1", "deadly", "2"]);
    for _ in 0..4 {
        let expected = [Ok(1.0), Err(UnknownKind::Transport), Ok(2.0)];
        assert_eq!(read(&client, &all).await, expected);
    }
    assert!(all[1].is_slow());
    fake.asked.lock().clear();
    let connections = fake.connections.load(Ordering::Relaxed);
    read(&client, &[Arc::clone(&all[0]), Arc::clone(&all[2])]).await;
    assert_eq!(fake.connections.load(Ordering::Relaxed), connections);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_meanwhile_is_dialled_anew_at_once() {
    let (fake, client) = client();
    let all = triggers(&["1", "2"]);
    read(&client, &all).await;
    fake.dead.store(1, Ordering::Relaxed);
    assert_eq!(read(&client, &all).await, [Ok(1.0), Ok(2.0)]);
    assert_eq!(fake.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_dialled_less_and_less_often() {
    let (fake, client) = client();
    fake.is_down.store(true, Ordering::Relaxed);
    let all = triggers(&["1", "2"]);
    for _ in 0..200 {
        let expected = [Err(UnknownKind::Transport), Err(UnknownKind::Transport)];
        assert_eq!(read(&client, &all).await, expected);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tried = fake.connections.load(Ordering::Relaxed);
    assert!((6..=10).contains(&tried), "{tried}");
    fake.is_down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(read(&client, &all).await, [Ok(1.0), Ok(2.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_late_in_time_and_its_connection_given_up() {
    let (fake, client) = client();
    let all = triggers(&["1", "silent", "2"]);
    let began = Instant::now();
    let read = read(&client, &all).await;
    assert!(began.elapsed() <= TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(
        read,
        [
            Ok(1.0),
            Err(UnknownKind::Timeout),
            Err(UnknownKind::Timeout)
        ]
    );
    client.read(&triggers(&["5"]), TIMEOUT).await;
    assert_eq!(fake.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn time_that_queries_took_is_not_the_database_failing() {
    let (fake, client) = client();
    fake.connecting.store(700, Ordering::Relaxed);
    let names: Vec<_> = (1..6)
        .map(|number| format!("deadly after {number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    read(&client, &triggers(&names)).await;
    assert!(fake.connections.load(Ordering::Relaxed) > 4);
    assert_eq!(read(&client, &triggers(&["5"])).await, [Ok(5.0)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_let_anybody_in_is_dialled_less_often() {
    let (fake, client) = client();
    fake.connecting.store(60_000, Ordering::Relaxed);
    let all = triggers(&["1"]);
    for _ in 0..2 {
        assert_eq!(read(&client, &all).await, [Err(UnknownKind::Timeout)]);
        assert_eq!(fake.connections.load(Ordering::Relaxed), 1);
    }
}
