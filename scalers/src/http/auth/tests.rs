use zeron_core::policy::TriggerSpec;

use super::*;

const ALL: &[&str] = &["basic", "bearer", "tls", "custom", "oauth", "apiKey"];

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    crate::testkit::spec("prometheus", metadata, auth)
}

/// What was read, and the messages.
fn read(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> (HttpAuth, Vec<String>) {
    let spec = spec(metadata, auth);
    let mut parameters = Parameters::new(&spec);
    let read = HttpAuth::read(&mut parameters, ALL);
    let problems = parameters.finish();
    (read, problems.into_iter().map(|it| it.message).collect())
}

fn good(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> HttpAuth {
    let (auth, problems) = read(metadata, auth);
    assert!(problems.is_empty(), "{problems:?}");
    auth
}

fn exposed(header: &Header) -> (&str, &str) {
    (header.0.as_str(), header.1.expose())
}

#[test]
fn without_a_mode_credentials_are_not_shown() {
    let auth = good(
        &[],
        &[("username", "u"), ("password", "p"), ("bearerToken", "t")],
    );
    assert_eq!(auth, HttpAuth::default());
}

#[test]
fn each_mode_shows_what_is_its_own() {
    let auth = good(
        &[("authModes", "basic")],
        &[("username", "u"), ("password", "p")],
    );
    assert_eq!(auth.basic.as_ref().map(exposed), Some(("u", "p")));

    let auth = good(&[("authMode", "bearer")], &[("token", "t")]);
    assert_eq!(exposed(&auth.headers[0]), ("Authorization", "Bearer t"));

    let custom = [("customAuthHeader", "X-Key"), ("customAuthValue", "v")];
    let auth = good(&[("authModes", "custom")], &custom);
    assert_eq!(exposed(&auth.headers[0]), ("X-Key", "v"));

    let auth = good(&[("authModes", "apiKey")], &[("apiKey", "k")]);
    assert_eq!(exposed(&auth.headers[0]), ("X-API-KEY", "k"));
}

#[test]
fn scopes_of_oauth_have_two_names() {
    let oauth = |name: &str| {
        let given = [
            ("oauthTokenURI", "https://id/token"),
            ("clientID", "c"),
            ("clientSecret", "s"),
            (name, "read, write"),
        ];
        good(&[("authModes", "oauth")], &given).oauth.unwrap()
    };
    assert_eq!(oauth("scope"), oauth("scopes"));
    assert_ne!(oauth("scope"), oauth("endpointParams"));
}

#[test]
fn a_key_of_the_query_replaces_one_of_its_name() {
    let metadata = [
        ("authModes", "apiKey"),
        ("method", "query"),
        ("keyParamName", "key"),
    ];
    let auth = good(&metadata, &[("apiKey", "a b")]);
    let url = parse_url("http://host/path?key=old&x=1").unwrap();
    assert_eq!(auth.complete(&url).as_str(), "http://host/path?x=1&key=a+b");
    assert_eq!(HttpAuth::default().complete(&url), url);
}

#[test]
fn what_a_mode_needs_is_missed_by_name() {
    for (mode, name) in [
        ("basic", "username"),
        ("bearer", "bearerToken"),
        ("custom", "customAuthHeader"),
        ("apiKey", "apiKey"),
        ("oauth", "oauthTokenURI"),
        ("tls", "cert"),
    ] {
        let (_, problems) = read(&[("authModes", mode)], &[]);
        let wanted = format!("{name} is required by authModes {mode}");
        assert!(problems.contains(&wanted), "{mode}: {problems:?}");
    }
}

#[test]
fn modes_that_are_unknown_or_exclude_each_other_are_refused() {
    let (_, problems) = read(&[("authModes", "kerberos")], &[]);
    assert!(problems[0].contains("not known"), "{problems:?}");
    let auth = [("username", "u"), ("bearerToken", "t")];
    let (_, problems) = read(&[("authModes", "basic,bearer")], &auth);
    assert!(problems[0].contains("exclude each other"), "{problems:?}");
}

#[test]
fn nothing_read_is_ever_shown() {
    let canary = [
        ("username", "u"),
        ("password", "canary"),
        ("customAuthHeader", "X-Key"),
        ("customAuthValue", "canary"),
    ];
    let auth = good(&[("authModes", "basic,custom")], &canary);
    let shown = format!("{auth:?}");
    assert!(!shown.contains("canary"), "{shown}");
}
