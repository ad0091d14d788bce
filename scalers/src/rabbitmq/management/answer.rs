//! What the management API answers, as figures. A figure that is missing is not zero.

use serde_json::Value;

use super::super::formula::{Figures, Operation};

/// Why an answer is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    /// Not what the management API answers.
    #[error("answered with something that is no {0}")]
    Shape(&'static str),
    /// The server counts in intervals: a new queue, or one whose node is down, has no figures.
    #[error("has no figures of queue {0:?} yet")]
    NoFigures(String),
    /// Fewer queues than it says that there are: their sum would be too small.
    #[error("answered with {listed} queues instead of {total}")]
    Short { listed: usize, total: u64 },
    /// A negative count, or none at all.
    #[error("answered with a wrong number for {0}")]
    Number(&'static str),
}

/// One page of queues.
#[derive(Debug)]
pub(super) struct Page {
    /// Names and records of the queues.
    pub(super) queues: Vec<Value>,
    /// Pages that there are.
    pub(super) pages: u64,
    /// Queues that there are on all pages.
    pub(super) total: u64,
}

impl Page {
    /// The queues of an only page.
    ///
    /// # Errors
    /// Where they are not all that there are.
    pub(super) fn whole(&self) -> Result<&[Value], Wrong> {
        let listed = self.queues.len();
        match u64::try_from(listed) == Ok(self.total) {
            true => Ok(&self.queues),
            false => Err(Wrong::Short {
                listed,
                total: self.total,
            }),
        }
    }
}

/// Reads the record of one queue.
///
/// # Errors
/// Where it is none.
pub(super) fn queue(body: &[u8]) -> Result<Value, Wrong> {
    let record: Option<Value> = serde_json::from_slice(body).ok();
    record.filter(Value::is_object).ok_or(Wrong::Shape("queue"))
}

/// Reads a page of a listing.
///
/// # Errors
/// Where it is none.
pub(super) fn page(body: &[u8]) -> Result<Page, Wrong> {
    let wrong = Wrong::Shape("page of queues");
    let Ok(Value::Object(mut fields)) = serde_json::from_slice::<Value>(body) else {
        return Err(wrong);
    };
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    let (pages, total) = (number("page_count"), number("filtered_count"));
    let (Some(pages), Some(total)) = (pages, total) else {
        return Err(wrong);
    };
    match fields.remove("items") {
        Some(Value::Array(queues)) if queues.iter().all(Value::is_object) => Ok(Page {
            queues,
            pages,
            total,
        }),
        _ => Err(wrong),
    }
}

/// The name of a queue's record.
pub(super) fn name(record: &Value) -> &str {
    record.get("name").and_then(Value::as_str).unwrap_or("")
}

/// The figures of a queue's record.
///
/// # Errors
/// Where the count of messages is missing, or a figure is no number that counts something.
pub(super) fn figures(record: &Value, is_ready_only: bool) -> Result<Figures, Wrong> {
    let field = match is_ready_only {
        true => "messages_ready",
        false => "messages",
    };
    let messages = number(record.get(field), field)?;
    let messages = messages.ok_or_else(|| Wrong::NoFigures(name(record).to_owned()))?;
    // A queue through which nothing went yet has no rates.
    let rate = |path: &str, what: &'static str| {
        number(record.pointer(path), what).map(Option::unwrap_or_default)
    };
    Ok(Figures {
        messages,
        publish_rate: rate("/message_stats/publish_details/rate", "the publish rate")?,
        deliver_get_rate: rate(
            "/message_stats/deliver_get_details/rate",
            "the deliver rate",
        )?,
    })
}

/// The figures of all queues of an expression's page together.
///
/// # Errors
/// As [`figures`].
pub(super) fn combined(
    queues: &[Value],
    operation: Operation,
    is_ready_only: bool,
) -> Result<Figures, Wrong> {
    let queues: Vec<_> = queues
        .iter()
        .map(|record| figures(record, is_ready_only))
        .collect::<Result<_, _>>()?;
    Ok(operation.combine(&queues))
}

fn number(value: Option<&Value>, what: &'static str) -> Result<Option<f64>, Wrong> {
    let Some(value) = value.filter(|it| !it.is_null()) else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
        _ => Err(Wrong::Number(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: &str = r#"{"name":"orders","messages":7,"messages_ready":4,"messages_unacknowledged":3,
        "message_stats":{"publish":9,"publish_details":{"rate":1.5},"deliver_get_details":{"rate":0.5}}}"#;

    fn read(body: &str, is_ready_only: bool) -> Result<Figures, Wrong> {
        figures(&queue(body.as_bytes())?, is_ready_only)
    }

    #[test]
    fn unacknowledged_messages_count_unless_they_are_excluded() {
        let all = Figures {
            messages: 7.0,
            publish_rate: 1.5,
            deliver_get_rate: 0.5,
        };
        assert_eq!(read(BUSY, false), Ok(all));
        assert_eq!(read(BUSY, true).unwrap().messages, 4.0);
    }

    #[test]
    fn queue_without_traffic_has_no_rates_and_that_is_zero() {
        for stats in ["", r#","message_stats":{}"#, r#","message_stats":[]"#] {
            let body = format!(r#"{{"name":"q","messages":0{stats}}}"#);
            assert_eq!(read(&body, false), Ok(Figures::default()), "{stats}");
        }
    }

    #[test]
    fn queue_without_a_count_is_not_empty() {
        let new = r#"{"name":"new","state":"running"}"#;
        assert_eq!(read(new, false), Err(Wrong::NoFigures("new".to_owned())));
        let down = r#"{"name":"new","messages":3}"#;
        assert_eq!(read(down, true), Err(Wrong::NoFigures("new".to_owned())));
    }

    #[test]
    fn what_counts_nothing_is_refused() {
        for messages in ["-1", "\"7\"", "{}", "true"] {
            let body = format!(r#"{{"name":"q","messages":{messages}}}"#);
            assert_eq!(
                read(&body, false),
                Err(Wrong::Number("messages")),
                "{messages}"
            );
        }
        let rate = r#"{"messages":1,"message_stats":{"publish_details":{"rate":-0.5}}}"#;
        assert_eq!(read(rate, false), Err(Wrong::Number("the publish rate")));
    }

    #[test]
    fn garbage_is_refused() {
        for body in ["", "nonsense", "[]", "42", "null", "{\"messages\":1e999}"] {
            assert!(read(body, false).is_err(), "{body}");
        }
        for body in [
            "",
            "[]",
            "{}",
            r#"{"items":[],"page_count":1}"#,
            r#"{"items":[1],"page_count":1,"filtered_count":1}"#,
        ] {
            assert!(page(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn page_of_an_expression_counts_as_one_queue() {
        let body = format!(r#"{{"items":[{BUSY},{BUSY}],"page_count":1,"filtered_count":2}}"#);
        let page = page(body.as_bytes()).unwrap();
        assert_eq!((page.pages, page.total), (1, 2));
        let sum = combined(page.whole().unwrap(), Operation::Sum, false).unwrap();
        assert_eq!((sum.messages, sum.publish_rate), (14.0, 3.0));
        let none = combined(&[], Operation::Average, false).unwrap();
        assert_eq!(none, Figures::default());
    }

    #[test]
    fn page_that_lists_too_few_or_too_many_is_no_sum() {
        for (items, total) in [
            (BUSY.to_owned(), 2),
            (String::new(), 1),
            (format!("{BUSY},{BUSY}"), 1),
        ] {
            let body = format!(r#"{{"items":[{items}],"page_count":1,"filtered_count":{total}}}"#);
            let page = page(body.as_bytes()).unwrap();
            let wrong = page.whole().unwrap_err();
            assert!(matches!(wrong, Wrong::Short { .. }), "{wrong}");
        }
    }
}
