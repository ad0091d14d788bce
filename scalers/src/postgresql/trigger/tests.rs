use super::*;

const FIELDS: [(&str, &str); 7] = [
    ("query", "SELECT count(*) FROM jobs"),
    ("targetQueryValue", "2.5"),
    ("host", "db"),
    ("port", "6000"),
    ("userName", "bob"),
    ("dbName", "jobs"),
    ("sslmode", "disable"),
];

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    crate::testkit::spec("postgresql", metadata, auth)
}

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    FIELDS.iter().chain(more).copied().collect()
}

fn valid(spec: &TriggerSpec) -> PostgresTrigger {
    let (trigger, problems) = PostgresTrigger::parse(spec);
    assert_eq!(problems, []);
    trigger.unwrap()
}

fn messages(spec: &TriggerSpec) -> Vec<String> {
    let (trigger, problems) = PostgresTrigger::parse(spec);
    assert!(trigger.is_none());
    problems.into_iter().map(|it| it.message).collect()
}

#[test]
fn fields_declare_a_trigger() {
    let trigger = valid(&spec(&FIELDS, &[("password", "secret")]));
    assert_eq!(trigger.login.shown(), "db:6000");
    assert_eq!(trigger.login.user, "bob");
    assert_eq!(trigger.login.database, "jobs");
    assert_eq!(trigger.login.password.unwrap().expose(), "secret");
    assert_eq!(trigger.query.target, 2.5);
    assert_eq!(trigger.query.activation, 0.0);
    assert_eq!(trigger.query.metric, "postgresql");
    assert_eq!(trigger.query.channel, None);
}

#[test]
fn a_connection_string_stands_for_the_fields() {
    let query = [FIELDS[0], FIELDS[1], ("activationTargetQueryValue", "7")];
    let connection = ("connection", "postgresql://bob:secret@db/jobs");
    let by_auth = valid(&spec(&query, &[connection]));
    assert_eq!(by_auth.login.shown(), "db:5432");
    assert_eq!(by_auth.query.activation, 7.0);

    let mut environment = spec(&[query[0], query[1], connection], &[]);
    environment.from_environment.insert("connection".to_owned());
    assert_eq!(valid(&environment).login, by_auth.login);
}

#[test]
fn secrets_in_the_manifest_are_refused_and_not_repeated() {
    let connection = ("connection", "postgresql://bob:canary@db/jobs");
    let plain = messages(&spec(&[FIELDS[0], FIELDS[1], connection], &[]));
    assert_eq!(
        plain,
        ["connection is a secret: give it by authentication, or as connectionFromEnv"]
    );
    let password = messages(&spec(&with(&[("password", "canary")]), &[]));
    assert!(
        password[0].starts_with("password is a secret"),
        "{password:?}"
    );
    for connection in [
        "host=db password=canary",
        "canary",
        "host=db user=bob sslmode=canary",
    ] {
        let wrong = messages(&spec(&FIELDS[..2], &[("connection", connection)]));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(!wrong[0].contains("canary"), "{wrong:?}");
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let found = messages(&spec(&[], &[]));
    assert_eq!(found.len(), 7, "{found:?}");
    let found = messages(&spec(&with(&[("sslmode", "maybe"), ("port", "0")]), &[]));
    assert_eq!(found.len(), 2, "{found:?}");
    let found = messages(&spec(&with(&[("targetQueryValue", "0")]), &[]));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn push_needs_a_channel_that_fits() {
    let push = with(&[("push", "true"), ("channel", "jobs")]);
    let trigger = valid(&spec(&push, &[]));
    assert_eq!(trigger.query.channel.as_deref(), Some("jobs"));
    assert_eq!(
        messages(&spec(&with(&[("push", "true")]), &[])),
        ["push needs channel"]
    );
    let mut long = spec(&push, &[]);
    long.metadata.insert("channel".to_owned(), "c".repeat(64));
    assert_eq!(messages(&long), ["channel is longer than 63 bytes"]);
    let (trigger, problems) = PostgresTrigger::parse(&spec(&with(&[("channel", "jobs")]), &[]));
    assert!(problems[0].is_warning);
    assert_eq!(trigger.unwrap().query.channel, None);
}
