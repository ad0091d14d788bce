use proptest::prelude::*;

use super::*;

const RULES: LagRules = LagRules {
    threshold: 10,
    reset: OffsetReset::Latest,
    is_zero_on_invalid_offset: false,
    is_idle_allowed: false,
    is_limited_to_lagging: false,
    is_even: false,
    is_persistent_excluded: false,
};

fn offsets(pairs: &[(Option<u64>, Option<u64>)]) -> Vec<PartitionOffsets> {
    (0..)
        .zip(pairs)
        .map(|(id, (committed, end))| PartitionOffsets {
            partition: Partition {
                topic: "orders".into(),
                id,
            },
            committed: *committed,
            end: *end,
        })
        .collect()
}

fn lags(lags: &[u64]) -> Vec<PartitionOffsets> {
    offsets(
        &lags
            .iter()
            .map(|lag| (Some(5), Some(5 + lag)))
            .collect::<Vec<_>>(),
    )
}

fn lag(rules: LagRules, partitions: &[PartitionOffsets]) -> Lag {
    total(&rules, partitions, &mut PreviousOffsets::default())
}

fn scaling(rules: LagRules, partitions: &[PartitionOffsets]) -> u64 {
    lag(rules, partitions).scaling
}

#[test]
fn lag_is_end_minus_committed_summed_over_partitions() {
    assert_eq!(
        lag(RULES, &lags(&[3, 0, 4])),
        Lag {
            scaling: 7,
            activation: 7
        }
    );
}

#[test]
fn no_committed_offset_with_latest_is_one() {
    assert_eq!(scaling(RULES, &offsets(&[(None, Some(500))])), 1);
    assert_eq!(scaling(RULES, &offsets(&[(None, None)])), 1);
}

#[test]
fn no_committed_offset_with_earliest_is_the_log_end() {
    let rules = LagRules {
        reset: OffsetReset::Earliest,
        ..RULES
    };
    assert_eq!(scaling(rules, &offsets(&[(None, Some(8))])), 8);
    assert_eq!(scaling(rules, &offsets(&[(None, None)])), 0);
}

#[test]
fn no_committed_offset_is_zero_where_asked_for() {
    for reset in [OffsetReset::Latest, OffsetReset::Earliest] {
        let rules = LagRules {
            reset,
            is_zero_on_invalid_offset: true,
            ..RULES
        };
        assert_eq!(lag(rules, &offsets(&[(None, Some(8))])), Lag::default());
    }
}

#[test]
fn missing_log_end_is_zero() {
    assert_eq!(scaling(RULES, &offsets(&[(Some(4), None)])), 0);
}

#[test]
fn committed_offset_behind_the_log_end_does_not_lessen_other_lag() {
    assert_eq!(
        scaling(RULES, &offsets(&[(Some(100), Some(4)), (Some(0), Some(6))])),
        6
    );
}

#[test]
fn replicas_are_capped_at_the_partitions() {
    assert_eq!(scaling(RULES, &lags(&[100, 100])), 20);
}

#[test]
fn remainder_does_not_slip_through_the_cap() {
    assert_eq!(scaling(RULES, &lags(&[15, 10])), 20);
}

#[test]
fn idle_consumers_lift_the_cap() {
    let rules = LagRules {
        is_idle_allowed: true,
        ..RULES
    };
    assert_eq!(scaling(rules, &lags(&[100, 100])), 200);
}

#[test]
fn cap_counts_only_partitions_with_lag_where_asked_for() {
    let rules = LagRules {
        is_limited_to_lagging: true,
        ..RULES
    };
    assert_eq!(scaling(rules, &lags(&[100, 0, 0, 1])), 20);
    assert_eq!(scaling(rules, &lags(&[0, 0])), 0);
}

#[test]
fn activation_is_not_capped() {
    assert_eq!(lag(RULES, &lags(&[100, 100])).activation, 200);
}

#[test]
fn even_distribution_takes_the_smallest_divisor_that_carries_the_lag() {
    let rules = LagRules {
        is_even: true,
        ..RULES
    };
    for (total, expected) in [
        (0, 0),
        (1, 10),
        (11, 20),
        (21, 30),
        (31, 60),
        (59, 60),
        (900, 60),
    ] {
        assert_eq!(
            scaling(rules, &lags(&[total, 0, 0, 0, 0, 0])),
            expected,
            "lag {total}"
        );
    }
}

#[test]
fn lag_that_stands_still_counts_for_activation_alone() {
    let rules = LagRules {
        is_persistent_excluded: true,
        ..RULES
    };
    let mut previous = PreviousOffsets::default();
    let both = lags(&[7, 5]);
    assert_eq!(
        total(&rules, &both, &mut previous),
        Lag {
            scaling: 12,
            activation: 12
        }
    );
    assert_eq!(
        total(&rules, &both, &mut previous),
        Lag {
            scaling: 0,
            activation: 12
        }
    );

    let one_moves = offsets(&[(Some(6), Some(12)), (Some(5), Some(10))]);
    assert_eq!(
        total(&rules, &one_moves, &mut previous),
        Lag {
            scaling: 6,
            activation: 11
        }
    );
}

#[test]
fn persistent_lag_is_remembered_per_partition_that_still_exists() {
    let rules = LagRules {
        is_persistent_excluded: true,
        ..RULES
    };
    let mut previous = PreviousOffsets::default();
    total(&rules, &lags(&[7, 5]), &mut previous);
    total(&rules, &lags(&[7]), &mut previous);
    assert_eq!(total(&rules, &lags(&[7, 5]), &mut previous).scaling, 5);
}

#[test]
fn missing_commit_is_never_persistent() {
    let rules = LagRules {
        is_persistent_excluded: true,
        ..RULES
    };
    let mut previous = PreviousOffsets::default();
    let fresh = offsets(&[(None, Some(3))]);
    assert_eq!(total(&rules, &fresh, &mut previous).scaling, 1);
    assert_eq!(total(&rules, &fresh, &mut previous).scaling, 1);
}

fn any_partitions() -> impl Strategy<Value = Vec<PartitionOffsets>> {
    let offset = prop_oneof![0..1_000u64, any::<u64>()];
    let pair = (
        proptest::option::of(offset.clone()),
        proptest::option::of(offset),
    );
    proptest::collection::vec(pair, 0..24).prop_map(|pairs| offsets(&pairs))
}

prop_compose! {
    fn any_rules()(
        threshold in 1..=u64::MAX,
        flags in any::<[bool; 6]>(),
    ) -> LagRules {
        LagRules {
            threshold,
            reset: if flags[0] { OffsetReset::Latest } else { OffsetReset::Earliest },
            is_zero_on_invalid_offset: flags[1],
            is_idle_allowed: flags[2],
            is_limited_to_lagging: flags[3],
            is_even: flags[4],
            is_persistent_excluded: flags[5],
        }
    }
}

proptest! {
    #[test]
    fn replicas_never_exceed_partitions_unless_idle_is_allowed(
        rules in any_rules(),
        partitions in any_partitions(),
    ) {
        let rules = LagRules { is_idle_allowed: false, ..rules };
        let replicas = scaling(rules, &partitions).div_ceil(rules.threshold);
        prop_assert!(replicas <= count(&partitions));
    }

    #[test]
    fn lag_to_scale_by_means_lag_to_wake_by(rules in any_rules(), partitions in any_partitions()) {
        let lag = lag(rules, &partitions);
        prop_assert!(lag.scaling == 0 || lag.activation > 0);
    }

    #[test]
    fn more_records_never_mean_less_lag(
        rules in any_rules(),
        partitions in any_partitions(),
        more in any::<u64>(),
    ) {
        let mut later = partitions.clone();
        for offsets in &mut later {
            offsets.end = offsets.end.map(|end| end.saturating_add(more));
        }
        prop_assert!(lag(rules, &partitions).activation <= lag(rules, &later).activation);
        prop_assert!(scaling(rules, &partitions) <= scaling(rules, &later));
    }

    #[test]
    fn even_consumers_divide_the_partitions(
        lag in any::<u64>(),
        partitions in 1..200u64,
        threshold in 1..1_000u64,
    ) {
        let consumers = even_consumers(lag, partitions, threshold);
        prop_assert_eq!(partitions % consumers, 0);
    }
}
