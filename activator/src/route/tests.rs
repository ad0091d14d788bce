use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use zeron_core::ObjectRef;
use zeron_core::route::{
    HeaderMatch, HostPattern, Route, RouteAction, RouteSnapshot, StaticResponse,
};

use super::*;
use crate::config::Dialect;

/// A route that answers with its own number.
fn route(number: usize, host: HostPattern, prefix: &str, headers: &[(&str, &str)]) -> Route {
    Route {
        source: ObjectRef {
            api_version: "v1".to_owned(),
            kind: "Route".to_owned(),
            namespace: "default".to_owned(),
            name: number.to_string(),
        },
        hosts: vec![host],
        path_prefix: prefix.to_owned(),
        port: None,
        headers: headers
            .iter()
            .map(|(name, value)| HeaderMatch {
                name: (*name).to_owned(),
                value: (!value.is_empty()).then(|| (*value).to_owned()),
            })
            .collect(),
        action: RouteAction::Respond(StaticResponse {
            status: 200,
            headers: Vec::new(),
            body: number.to_string(),
        }),
        tag: None,
    }
}

fn exact(host: &str) -> HostPattern {
    HostPattern::Exact(host.to_owned())
}

fn wildcard(suffix: &str) -> HostPattern {
    HostPattern::Wildcard(suffix.to_owned())
}

fn table(routes: Vec<Route>) -> RouteTable {
    let snapshot = RouteSnapshot {
        routes,
        functions: Vec::new(),
    };
    RouteTable::compile(&snapshot, &Dialect::Zeron, |_| None)
}

fn found(table: &RouteTable, host: &str, path: &str, headers: &[(&str, &str)]) -> Option<usize> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    match &**table.find(None, host, path, &map)? {
        Action::Respond(response) => response.body.parse().ok(),
        Action::Forward(_) => None,
    }
}

#[test]
fn exact_hosts_win_over_wildcards_and_those_over_any() {
    let table = table(vec![
        route(0, HostPattern::Any, "/", &[]),
        route(1, wildcard("example.com"), "/", &[]),
        route(2, wildcard("a.example.com"), "/", &[]),
        route(3, exact("x.a.example.com"), "/", &[]),
    ]);
    assert_eq!(found(&table, "X.A.example.COM", "/", &[]), Some(3));
    assert_eq!(found(&table, "y.a.example.com", "/", &[]), Some(2));
    assert_eq!(found(&table, "z.y.a.example.com", "/", &[]), Some(2));
    assert_eq!(found(&table, "b.example.com", "/", &[]), Some(1));
    assert_eq!(found(&table, "example.com", "/", &[]), Some(0));
    assert_eq!(found(&table, "notexample.com", "/", &[]), Some(0));
}

#[test]
fn prefixes_match_by_whole_segments_and_the_longest_wins() {
    let table = table(vec![
        route(0, exact("a"), "/", &[]),
        route(1, exact("a"), "/api", &[]),
        route(2, exact("a"), "/api/v2/", &[]),
    ]);
    assert_eq!(found(&table, "a", "/apis", &[]), Some(0));
    assert_eq!(found(&table, "a", "/api", &[]), Some(1));
    assert_eq!(found(&table, "a", "/api/", &[]), Some(1));
    assert_eq!(found(&table, "a", "/api/v2", &[]), Some(2));
    assert_eq!(found(&table, "a", "/api/v2/x", &[]), Some(2));
    assert_eq!(found(&table, "a", "/api/v20", &[]), Some(1));
}

#[test]
fn more_headers_win_and_all_must_match() {
    let table = table(vec![
        route(0, exact("a"), "/", &[]),
        route(1, exact("a"), "/", &[("x-tag", "")]),
        route(2, exact("a"), "/", &[("x-tag", "blue"), ("x-b", "1")]),
    ]);
    assert_eq!(found(&table, "a", "/", &[]), Some(0));
    assert_eq!(found(&table, "a", "/", &[("x-tag", "blue")]), Some(1));
    let both = [("x-tag", "green"), ("x-tag", "blue"), ("x-b", "1")];
    assert_eq!(found(&table, "a", "/", &both), Some(2));
}

#[test]
fn a_host_that_does_not_match_otherwise_leaves_it_to_the_next() {
    let table = table(vec![
        route(0, HostPattern::Any, "/", &[]),
        route(1, exact("a"), "/only", &[]),
    ]);
    assert_eq!(found(&table, "a", "/else", &[]), Some(0));
}

fn host() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]", 1..4).prop_map(|labels| labels.join("."))
}

fn pattern() -> impl Strategy<Value = HostPattern> {
    prop_oneof![
        host().prop_map(HostPattern::Exact),
        host().prop_map(HostPattern::Wildcard),
        Just(HostPattern::Any),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab]{1,2}", 0..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

/// How specific a match is, by the rules in words; `None`: no match.
fn rank(route: &Route, host: &str, path: &str) -> Option<(usize, usize)> {
    let by_host = match &route.hosts[0] {
        HostPattern::Exact(exact) => (exact == host).then_some(1000),
        HostPattern::Wildcard(suffix) => host
            .ends_with(&format!(".{suffix}"))
            .then(|| 1 + suffix.len()),
        HostPattern::Any => Some(0),
    }?;
    let segments = |path: &str| -> Vec<String> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let (prefix, path) = (segments(&route.path_prefix), segments(path));
    let is_prefix = path.starts_with(&prefix);
    is_prefix.then(|| (by_host, prefix.join("/").len()))
}

proptest! {
    #[test]
    fn the_most_specific_route_is_found(
        declared in prop::collection::vec((pattern(), path()), 0..12),
        host in host(),
        path in path(),
    ) {
        let routes: Vec<Route> = declared
            .into_iter()
            .enumerate()
            .map(|(number, (pattern, prefix))| route(number, pattern, &prefix, &[]))
            .collect();
        let best = routes.iter().filter_map(|route| rank(route, &host, &path)).max();
        let table = table(routes.clone());
        let found = found(&table, &host, &path, &[]);
        let found = found.and_then(|number| rank(&routes[number], &host, &path));
        prop_assert_eq!(found, best);
    }

    #[test]
    fn weights_are_kept(weights in prop::collection::vec(0u64..5, 1..5)) {
        let mut upto = 0;
        let mut destinations = Vec::new();
        for weight in &weights {
            if *weight > 0 {
                upto += weight;
                destinations.push((upto, destination()));
            }
        }
        let split = Split { destinations };
        let mut counts = vec![0u64; split.destinations.len()];
        for draw in 0..upto {
            let chosen = split.choose(draw).unwrap();
            let place = split.destinations.iter().position(|(_, to)| Arc::ptr_eq(to, chosen));
            counts[place.unwrap()] += 1;
        }
        let wanted: Vec<u64> = weights.into_iter().filter(|weight| *weight > 0).collect();
        prop_assert_eq!(counts, wanted);
    }
}

fn destination() -> Arc<Destination> {
    let function = crate::function::tests::function(0, Default::default());
    let (sender, _) = tokio::sync::mpsc::channel(1);
    let house = Arc::new(crate::house::House::new(&crate::Config::default(), sender));
    let state = FunctionState::new(function.id.clone(), house, tokio::time::Instant::now());
    Arc::new(Destination::plain(state, Arc::new(function)))
}
