//! Kinds of the HTTP add-on.

use super::*;

const INTERCEPTOR: &str = "\
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: r}
spec:
  target: {service: w, port: 80}
  rules:
  - {hosts: [A.example.com, '*.b.org'], paths: [{value: /x}, {value: y}], headers: [{name: X-Key, value: v}, {name: Y}]}
  - {hosts: ['*']}
  scalingMetric: {concurrency: {targetValue: 3}, requestRate: {targetValue: 4, window: 30s}}
  timeouts: {readiness: 10s, request: 0s, responseHeader: 5s}
  coldStart:
    maxPendingRequests: 7
    fallback: {service: {name: spare, port: 80}}
    placeholder: {response: {body: wait, headers: {retry-after: '1'}}}
  staticRoutes:
  - {rules: [{paths: [{value: /health}]}], response: {statusCode: 204}, responseMode: Always}
";

fn forward(route: &Route) -> &zeron_core::route::Forward {
    match &route.action {
        RouteAction::Forward(forward) => forward,
        RouteAction::Respond(_) => panic!("not forwarded"),
    }
}

fn deployment(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

#[test]
fn an_interceptor_route_is_what_its_trigger_counts() {
    let triggers = "  triggers: [{type: external-push, metadata: {scalerAddress: 'x:9090', interceptorRoute: r}}]\n";
    let set = read(&format!("{}{INTERCEPTOR}", scaled(triggers)));
    assert_eq!(set.problems, Vec::<String>::new());
    let (window, granularity) = (Duration::from_secs(30), Duration::from_secs(1));
    let targets = HttpTargets {
        concurrency: Some(3.0),
        request_rate: Some(RequestRate {
            target: 4.0,
            window,
            granularity,
        }),
    };
    assert_eq!(
        metric(&set.group.unwrap()).triggers[0].source,
        TriggerSource::Http(targets)
    );
}

#[test]
fn an_interceptor_route_routes() {
    let routing = read(INTERCEPTOR).route.unwrap().routing;
    assert_eq!(
        (routing.readiness, routing.max_pending),
        (Some(Duration::from_secs(10)), Some(7))
    );
    let routes = routing.routes(&deployment("w"), Some(&deployment("spare")));
    let paths: Vec<&str> = routes.iter().map(|r| r.path_prefix.as_str()).collect();
    assert_eq!(paths, ["/x", "/y", "/", "/health"]);
    let hosts = [
        HostPattern::Exact("a.example.com".into()),
        HostPattern::Wildcard("b.org".into()),
    ];
    assert_eq!(routes[0].hosts, hosts);
    assert_eq!(routes[2].hosts, [HostPattern::Any]);
    assert_eq!(routes[0].headers[0].name, "x-key");
    assert_eq!(routes[0].headers[1].value, None);
    let first = forward(&routes[0]);
    let timeouts = first.timeouts.unwrap();
    assert_eq!(
        (timeouts.request, timeouts.response_start),
        (None, Some(Duration::from_secs(5)))
    );
    assert_eq!(first.placeholder.as_ref().unwrap().status, 503);
    assert_eq!(first.fallback.as_ref(), Some(&deployment("spare")));
    assert!(matches!(&routes[3].action, RouteAction::Respond(r) if r.status == 204));
}

#[test]
fn an_interceptor_route_is_checked() {
    let metrics = "{concurrency: {targetValue: 3}, requestRate: {targetValue: 4, window: 30s}}";
    let cases = [
        (
            "port: 80}\n  rules",
            "port: 80, portName: web}\n  rules",
            "portName: must not stand beside port",
        ),
        (metrics, "{}", "needs concurrency, requestRate or both"),
        (
            "targetValue: 3",
            "targetValue: 0",
            "0: must be an integer of at least 1",
        ),
        ("A.example.com", "a/b", "\"a/b\": must be a host"),
        (
            "statusCode: 204",
            "statusCode: 99",
            "99: must be an integer from 200 to 599",
        ),
        (
            "body: wait,",
            "bodyFromConfigMap: {name: none, key: k},",
            "ConfigMap default/none is not among the manifests",
        ),
    ];
    for (from, to, expected) in cases {
        let problems = read(&INTERCEPTOR.replace(from, to)).problems;
        assert_eq!(problems.len(), 1, "{expected}: {problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}\n{expected}");
    }
}

#[test]
fn an_http_scaled_object_scales_and_routes() {
    let text = "\
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: h}
spec:
  hosts: [h.example.com]
  pathPrefixes: [/a]
  scaleTargetRef: {name: w, kind: Deployment, apiVersion: apps/v1, service: w-svc, port: 8080}
  replicas: {min: 1, max: 5}
  scaledownPeriod: 20
  initialCooldownPeriod: 9
  scalingMetric: {requestRate: {targetValue: 50, window: 10s, granularity: 500ms}}
  coldStartTimeoutFailoverRef: {service: spare, port: 80}
  timeouts: {conditionWait: 5s, responseHeader: 6s}
";
    let set = read(text);
    assert_eq!(set.problems, Vec::<String>::new());
    let http = set.http.unwrap();
    assert_eq!(
        (http.target.name.as_str(), http.routing.target.name.as_str()),
        ("w", "w-svc")
    );
    assert_eq!(http.routing.readiness, Some(Duration::from_secs(30)));
    let group = http.group();
    assert_eq!((group.min, group.max), (1, Some(5)));
    let Scaling::Http(scaling) = &group.scaling else {
        panic!("not an HTTP group")
    };
    assert_eq!(
        (scaling.concurrency, scaling.cooldown),
        (None, Duration::from_secs(20))
    );
    let rate = scaling.request_rate.unwrap();
    assert_eq!((rate.target, rate.window), (50.0, Duration::from_secs(10)));
    assert_eq!(rate.granularity, Duration::from_millis(500));
    let routes = http.routing.routes(&deployment("w"), None);
    assert_eq!((routes.len(), routes[0].path_prefix.as_str()), (1, "/a"));
    let limit = forward(&routes[0]).timeouts.unwrap().response_start;
    assert_eq!(limit, Some(Duration::from_secs(6)));
}

#[test]
fn an_http_scaled_object_has_the_add_ons_defaults() {
    let text = "apiVersion: http.keda.sh/v1alpha1\nkind: HTTPScaledObject\nmetadata: {name: h}\nspec: {hosts: [h], scaleTargetRef: {name: w}}\n";
    let http = read(text).http.unwrap();
    let group = http.group();
    let Scaling::Http(scaling) = &group.scaling else {
        panic!("not an HTTP group")
    };
    assert_eq!(
        (group.min, group.max, scaling.concurrency),
        (0, Some(100), Some(100.0))
    );
    assert_eq!(scaling.cooldown, Duration::from_secs(300));
    let both = text.replace(
        "hosts",
        "scalingMetric: {concurrency: {}, requestRate: {}}, hosts",
    );
    let problems = read(&both).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("has both concurrency and requestRate"));
    let skip =
        "{name: h, annotations: {httpscaledobject.keda.sh/skip-scaledobject-creation: 'true'}}";
    assert!(
        !read(&text.replace("{name: h}", skip))
            .http
            .unwrap()
            .is_scaling
    );
}
