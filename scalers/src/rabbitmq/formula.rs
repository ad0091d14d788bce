//! From a queue's figures to a metric, by mode. KEDA's `rabbitmq_scaler.go` is the source of the formulas.

use zeron_core::metric::Activity;

/// What a server says of a queue, or of several queues together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Messages that count: ready ones, and over HTTP unacknowledged ones too unless they are excluded.
    pub(super) messages: f64,
    /// Messages published per second.
    pub(super) publish_rate: f64,
    /// Messages delivered or got per second.
    pub(super) deliver_get_rate: f64,
}

/// How several queues count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Sum,
    Average,
    Max,
}

impl Operation {
    /// The figures of all queues together; none at all is zero, as in KEDA.
    pub(super) fn combine(self, queues: &[Figures]) -> Figures {
        let count = u32::try_from(queues.len()).unwrap_or(u32::MAX);
        let combine = |figure: fn(&Figures) -> f64| {
            let figures = queues.iter().map(figure);
            match self {
                _ if queues.is_empty() => 0.0,
                Self::Sum => figures.sum(),
                Self::Average => figures.sum::<f64>() / f64::from(count),
                Self::Max => figures.fold(0.0, f64::max),
            }
        };
        Figures {
            messages: combine(|it| it.messages),
            publish_rate: combine(|it| it.publish_rate),
            deliver_get_rate: combine(|it| it.deliver_get_rate),
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    QueueLength,
    MessageRate,
    DeliverGetRate,
    PublishedToDeliveredRatio,
    ExpectedQueueConsumptionTime,
}

/// Value and activity of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) activity: Activity,
}

impl Mode {
    /// The metric of `figures`; a trigger is active above `activation`.
    pub(super) fn measure(self, figures: &Figures, activation: f64) -> Measured {
        let Figures {
            messages,
            publish_rate: published,
            deliver_get_rate: delivered,
        } = *figures;
        match self {
            Self::QueueLength => above(messages, messages, activation),
            Self::MessageRate => above(published, published.max(messages), activation),
            Self::DeliverGetRate => above(delivered, delivered.max(messages), activation),
            Self::PublishedToDeliveredRatio if published <= 0.0 => above(0.0, 0.0, activation),
            Self::PublishedToDeliveredRatio if delivered <= 0.0 => active(activation),
            Self::PublishedToDeliveredRatio => {
                let ratio = published / delivered;
                above(ratio, ratio, activation)
            }
            Self::ExpectedQueueConsumptionTime if messages <= 0.0 => above(0.0, 0.0, activation),
            Self::ExpectedQueueConsumptionTime if delivered <= 0.0 => active(activation),
            Self::ExpectedQueueConsumptionTime => {
                let seconds = (published - delivered) / delivered + messages / delivered;
                // A queue that drains within a second gives less than nothing.
                let seconds = seconds.max(0.0);
                above(seconds, seconds, activation)
            }
        }
    }
}

fn above(value: f64, evidence: f64, threshold: f64) -> Measured {
    let activity = Activity::Above {
        value: evidence,
        threshold,
    };
    Measured { value, activity }
}

/// Nobody consumes, so there is no quotient: the value is the activation threshold, and there is work.
fn active(value: f64) -> Measured {
    Measured {
        value,
        activity: Activity::Declared(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(messages: f64, publish_rate: f64, deliver_get_rate: f64) -> Figures {
        Figures {
            messages,
            publish_rate,
            deliver_get_rate,
        }
    }

    /// Value and activity with an activation threshold of 5.
    fn measure(mode: Mode, messages: f64, published: f64, delivered: f64) -> (f64, bool) {
        let measured = mode.measure(&figures(messages, published, delivered), 5.0);
        (measured.value, measured.activity.is_active())
    }

    #[test]
    fn queue_length_is_active_above_its_threshold() {
        assert_eq!(measure(Mode::QueueLength, 0.0, 9.0, 9.0), (0.0, false));
        assert_eq!(measure(Mode::QueueLength, 5.0, 9.0, 9.0), (5.0, false));
        assert_eq!(measure(Mode::QueueLength, 6.0, 0.0, 0.0), (6.0, true));
    }

    #[test]
    fn message_rate_is_active_by_rate_or_by_messages() {
        assert_eq!(measure(Mode::MessageRate, 0.0, 0.0, 9.0), (0.0, false));
        assert_eq!(measure(Mode::MessageRate, 0.0, 5.5, 0.0), (5.5, true));
        assert_eq!(measure(Mode::MessageRate, 6.0, 0.0, 0.0), (0.0, true));
        assert_eq!(measure(Mode::MessageRate, 5.0, 5.0, 9.0), (5.0, false));
    }

    #[test]
    fn deliver_get_rate_is_active_by_rate_or_by_messages() {
        assert_eq!(measure(Mode::DeliverGetRate, 0.0, 9.0, 0.0), (0.0, false));
        assert_eq!(measure(Mode::DeliverGetRate, 0.0, 0.0, 5.5), (5.5, true));
        assert_eq!(measure(Mode::DeliverGetRate, 6.0, 0.0, 0.0), (0.0, true));
    }

    #[test]
    fn ratio_divides_published_by_delivered() {
        let mode = Mode::PublishedToDeliveredRatio;
        assert_eq!(measure(mode, 9.0, 30.0, 5.0), (6.0, true));
        assert_eq!(measure(mode, 9.0, 10.0, 5.0), (2.0, false));
        assert_eq!(measure(mode, 9.0, 0.0, 5.0), (0.0, false));
        assert_eq!(measure(mode, 9.0, 0.0, 0.0), (0.0, false));
        // Nobody consumes what is published: the threshold, and active.
        assert_eq!(measure(mode, 0.0, 1.0, 0.0), (5.0, true));
    }

    #[test]
    fn consumption_time_counts_growth_and_backlog() {
        let mode = Mode::ExpectedQueueConsumptionTime;
        assert_eq!(measure(mode, 100.0, 20.0, 10.0), (11.0, true));
        assert_eq!(measure(mode, 10.0, 10.0, 10.0), (1.0, false));
        // Nobody consumes what is there: the threshold, and active.
        assert_eq!(measure(mode, 1.0, 0.0, 0.0), (5.0, true));
        assert_eq!(measure(mode, 0.0, 9.0, 0.0), (0.0, false));
        assert_eq!(measure(mode, 0.0, 0.0, 0.0), (0.0, false));
        // Less than nothing is nothing.
        assert_eq!(measure(mode, 1.0, 0.0, 10.0), (0.0, false));
    }

    #[test]
    fn queues_together_are_summed_averaged_or_the_largest() {
        let queues = [figures(1.0, 2.0, 30.0), figures(4.0, 0.0, 10.0)];
        assert_eq!(Operation::Sum.combine(&queues), figures(5.0, 2.0, 40.0));
        assert_eq!(Operation::Average.combine(&queues), figures(2.5, 1.0, 20.0));
        assert_eq!(Operation::Max.combine(&queues), figures(4.0, 2.0, 30.0));
        for operation in [Operation::Sum, Operation::Average, Operation::Max] {
            assert_eq!(operation.combine(&[]), Figures::default());
        }
    }

    #[test]
    fn no_figures_give_a_value_that_is_not_finite_or_negative() {
        let some = [0.0, 0.1, 1.0, 7.0, 1e12];
        for mode in [
            Mode::QueueLength,
            Mode::MessageRate,
            Mode::DeliverGetRate,
            Mode::PublishedToDeliveredRatio,
            Mode::ExpectedQueueConsumptionTime,
        ] {
            for (messages, published, delivered) in some
                .iter()
                .flat_map(|a| some.iter().flat_map(move |b| some.map(|c| (*a, *b, c))))
            {
                let (value, _) = measure(mode, messages, published, delivered);
                assert!(value.is_finite() && value >= 0.0, "{mode:?}: {value}");
            }
        }
    }
}
