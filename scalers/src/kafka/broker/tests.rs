use super::*;
use crate::AddressPolicy;
use crate::kafka::security::SourceKey;
use crate::kafka::trigger::tests::spec;
use crate::parameters::Parameters;

fn broker() -> Broker {
    let spec = spec("kafka", &[], &[]);
    let key = SourceKey::parse(&mut Parameters::new(&spec));
    let endpoint = Endpoint::new("broker", 9092).unwrap();
    Broker::new(endpoint, Arc::new(key.access(AddressPolicy::MACHINE)))
}

fn refused() -> ReadError {
    ReadError::unreachable(&"broker:9092".into(), &"connection refused")
}

#[tokio::test(start_paused = true)]
async fn broker_that_fails_is_left_alone_longer_each_time_and_never_for_long() {
    let broker = broker();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        assert_eq!(broker.check_pause(), Ok(()));
        broker.note(&refused(), false);
        let began = Instant::now();
        while let Err(error) = broker.check_pause() {
            assert_eq!(error, refused());
            // Answers from memory do not lengthen the pause.
            broker.note(&error, false);
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        pauses.push(began.elapsed().as_millis());
    }
    assert_eq!(
        pauses,
        [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]
    );
}

#[tokio::test(start_paused = true)]
async fn refusal_on_a_connection_that_stays_is_no_failure_of_the_broker() {
    let broker = broker();
    broker.note(&refused(), true);
    assert_eq!(broker.check_pause(), Ok(()));
    assert!(!broker.is_failing());
}
