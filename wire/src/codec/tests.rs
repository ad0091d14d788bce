//! Claims about frames: what goes in comes out, nothing is too long, rubbish is refused.
#![allow(clippy::unwrap_used)]

mod golden;

use zeron_core::{EndpointId, FunctionId, Timestamp};

use super::*;
use crate::message::{Drain, DrainId};

fn stat(name: &str) -> Stat {
    Stat {
        function: FunctionId::new("default", "Deployment", name),
        at: Timestamp::from_millis(1_234),
        average_concurrency: 1.5,
        request_count: 7.0,
        in_flight: 2,
        queued: 1,
        busy: vec![(EndpointId(u64::MAX), 2), (EndpointId(0), 1)],
    }
}

#[test]
fn orders_and_answers_come_out_as_they_went_in() {
    let function = stat("a").function;
    let drain = |victims| {
        ToActivator::Drain(Drain {
            id: DrainId(u64::MAX),
            function: function.clone(),
            count: 3,
            victims,
        })
    };
    for given in [
        drain(None),
        drain(Some(Vec::new())),
        drain(Some(vec![EndpointId(9)])),
        ToActivator::Cancel(DrainId(1)),
        ToActivator::Settled(DrainId(2)),
        ToActivator::Woken(function.clone()),
    ] {
        let taken = from_autoscaler(&order(&given)).unwrap();
        assert_eq!(taken, FromAutoscaler::Order(given));
    }
    let answer = Drained {
        id: DrainId(4),
        function,
        endpoints: vec![EndpointId(5)],
    };
    let taken = from_activator(&drained(&answer)).unwrap();
    assert_eq!(taken, FromActivator::Drained(answer));
}

#[test]
fn a_long_report_is_split_into_bounded_frames_and_loses_nothing() {
    let stats: Vec<Stat> = (0..40_000)
        .map(|at| stat(&format!("function-{at}")))
        .collect();
    let frames = report(&stats).unwrap();
    assert!(frames.len() > 1);
    let mut taken = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        assert!(frame.len() <= MAX_FRAME, "{}", frame.len());
        let FromActivator::Report { stats, is_last } = from_activator(frame).unwrap() else {
            panic!("not a report");
        };
        assert_eq!(is_last, at + 1 == frames.len());
        taken.extend(stats);
    }
    assert_eq!(taken, stats);
}

#[test]
fn a_report_beyond_all_bounds_is_not_sent_at_all() {
    let long = "x".repeat(1_000);
    let stats: Vec<Stat> = (0..20_000).map(|at| stat(&format!("{long}{at}"))).collect();
    assert_eq!(report(&stats), None);
}

#[test]
fn an_empty_report_is_one_frame() {
    let frames = report(&[]).unwrap();
    assert_eq!(frames.len(), 1);
    assert!(frames[0].len() < 8);
}

#[test]
fn a_load_that_is_no_number_is_refused() {
    for load in [f64::NAN, f64::INFINITY, -1.0] {
        let forged = Stat {
            average_concurrency: load,
            ..stat("a")
        };
        let frames = report(&[forged]).unwrap();
        let error = from_activator(&frames[0]).unwrap_err();
        assert!(matches!(error, DecodeError::Field("average_concurrency")));
    }
}

#[test]
fn rubbish_is_refused() {
    assert!(from_activator(&[0xff; 32]).is_err());
    assert!(from_autoscaler(b"GET / HTTP/1.1\r\n").is_err());
}
