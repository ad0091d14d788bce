//! Which requests answer a batch of triggers: equal questions once, and one listing instead of many queues.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::trigger::Target;

/// So many queues of one virtual host are asked for by a listing. A page of it costs the server about as much as
/// ten queues asked for one by one: those are looked up with all their details.
const LISTING_FROM: usize = 20;
/// Queues of one page of a listing: the most that the server gives.
pub(super) const PAGE: u64 = 500;
/// A listing is worth it while at least one of so many queues is wanted.
const SPARSE: u64 = 50;

/// What a trigger wants to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Question {
    pub(super) vhost: String,
    /// Longest wait for the answer.
    pub(super) timeout: Duration,
    pub(super) target: Target,
    /// Whether unacknowledged messages do not count.
    pub(super) is_ready_only: bool,
}

/// One request, or the pages of one listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// One question.
    Single(Question),
    /// Questions about queues of one virtual host.
    Listing(Vec<Question>),
}

/// The requests for `questions`. Virtual hosts in `sparse` have too many other queues for a listing.
pub(super) fn requests(questions: BTreeSet<Question>, sparse: &BTreeSet<String>) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut queues: BTreeMap<(String, Duration), Vec<Question>> = BTreeMap::new();
    for question in questions {
        match question.target {
            Target::Expression { .. } => requests.push(Request::Single(question)),
            Target::Queue(_) => {
                let key = (question.vhost.clone(), question.timeout);
                queues.entry(key).or_default().push(question);
            }
        }
    }
    for ((vhost, _), questions) in queues {
        if questions.len() >= LISTING_FROM && !sparse.contains(&vhost) {
            requests.push(Request::Listing(questions));
        } else {
            requests.extend(questions.into_iter().map(Request::Single));
        }
    }
    requests
}

/// Whether reading `total` queues is too much for `wanted` ones.
pub(super) fn is_sparse(wanted: usize, total: u64) -> bool {
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    total > PAGE && total > wanted.saturating_mul(SPARSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(vhost: &str, name: usize) -> Question {
        Question {
            vhost: vhost.to_owned(),
            timeout: Duration::from_secs(5),
            target: Target::Queue(format!("q{name}")),
            is_ready_only: false,
        }
    }

    fn queues(vhost: &str, count: usize) -> BTreeSet<Question> {
        (0..count).map(|number| queue(vhost, number)).collect()
    }

    #[test]
    fn few_queues_are_asked_for_one_by_one() {
        let requests = requests(queues("/", LISTING_FROM - 1), &BTreeSet::new());
        assert_eq!(requests.len(), LISTING_FROM - 1);
        assert!(requests.iter().all(|it| matches!(it, Request::Single(_))));
    }

    #[test]
    fn many_queues_of_a_virtual_host_are_listed() {
        let mut questions = queues("/", 1_000);
        questions.extend(queues("other", 3));
        let requests = requests(questions, &BTreeSet::new());
        assert_eq!(requests.len(), 4);
        let listed = requests.iter().find_map(|it| match it {
            Request::Listing(questions) => Some(questions.len()),
            Request::Single(_) => None,
        });
        assert_eq!(listed, Some(1_000));
    }

    #[test]
    fn a_virtual_host_with_many_others_is_not_listed() {
        let sparse = BTreeSet::from(["/".to_owned()]);
        assert_eq!(requests(queues("/", 30), &sparse).len(), 30);
        assert!(is_sparse(20, 20_000));
        assert!(!is_sparse(500, 20_000));
        assert!(!is_sparse(1, PAGE));
    }

    #[test]
    fn expressions_are_requests_of_their_own() {
        let target = Target::Expression {
            expression: "^a".to_owned(),
            page_size: 100,
            operation: super::super::super::formula::Operation::Sum,
        };
        let mut questions = queues("/", LISTING_FROM);
        questions.insert(Question {
            target,
            ..queue("/", 0)
        });
        assert_eq!(requests(questions, &BTreeSet::new()).len(), 2);
    }
}
