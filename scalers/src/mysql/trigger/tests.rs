use super::super::login::Encryption;
use super::*;

const FIELDS: [(&str, &str); 6] = [
    ("query", "SELECT count(*) FROM jobs"),
    ("queryValue", "2.5"),
    ("host", "db"),
    ("port", "3307"),
    ("username", "bob"),
    ("dbName", "shop.jobs"),
];

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    crate::testkit::spec("mysql", metadata, auth)
}

fn valid(spec: &TriggerSpec) -> MysqlTrigger {
    let (trigger, problems) = MysqlTrigger::parse(spec);
    assert_eq!(problems, []);
    trigger.unwrap()
}

fn messages(spec: &TriggerSpec) -> Vec<String> {
    let (trigger, problems) = MysqlTrigger::parse(spec);
    assert!(trigger.is_none());
    problems.into_iter().map(|it| it.message).collect()
}

fn by_string(text: &str) -> TriggerSpec {
    spec(&FIELDS[..2], &[("connectionString", text)])
}

#[test]
fn fields_declare_a_trigger() {
    let trigger = valid(&spec(&FIELDS, &[("password", "secret")]));
    assert_eq!(trigger.login.to_string(), "db:3307");
    assert_eq!(trigger.login.encryption, Encryption::Disable);
    assert_eq!(trigger.login.password.unwrap().expose(), "secret");
    assert_eq!((trigger.query.target, trigger.query.activation), (2.5, 0.0));
    assert_eq!(trigger.query.metric, "mysql-shop-jobs");
}

#[test]
fn a_connection_string_stands_for_the_fields() {
    let trigger = valid(&by_string("bob:secret@tcp(db:3307)/shop.jobs"));
    assert_eq!(
        trigger.login,
        valid(&spec(&FIELDS, &[("password", "secret")])).login
    );
    assert_eq!(trigger.query.metric, "mysql-shop-jobs");
    let mut environment = spec(&FIELDS[..2], &[]);
    let text = "bob@tcp(db)/jobs".to_owned();
    environment
        .metadata
        .insert("connectionString".to_owned(), text);
    environment
        .from_environment
        .insert("connectionString".to_owned());
    assert_eq!(valid(&environment).login.to_string(), "db:3306");
}

#[test]
fn tls_is_chosen_by_the_words_of_the_connection_string() {
    for (word, encryption, is_unverified) in [
        ("false", Encryption::Disable, false),
        ("preferred", Encryption::Prefer, true),
        ("skip-verify", Encryption::Unverified, true),
        ("true", Encryption::Verify, false),
    ] {
        let login = valid(&by_string(&format!("bob@tcp(db)/jobs?tls={word}"))).login;
        assert_eq!(login.encryption, encryption, "{word}");
        assert_eq!(login.tls.is_unverified, is_unverified, "{word}");
        let mut fields = spec(&FIELDS, &[]);
        fields.metadata.insert("tls".to_owned(), word.to_owned());
        assert_eq!(valid(&fields).login.encryption, encryption, "{word}");
    }
    let wrong = messages(&by_string("bob@tcp(db)/jobs?tls=custom"));
    assert!(
        wrong[0].starts_with("connectionString: tls is none of"),
        "{wrong:?}"
    );
}

#[test]
fn other_parameters_are_variables_of_the_session() {
    let login = valid(&by_string(
        "bob@tcp(db)/jobs?charset=utf8&sql_mode=%27ANSI%27",
    ))
    .login;
    assert_eq!(
        login.variables,
        [("sql_mode".to_owned(), "'ANSI'".to_owned())]
    );
    let wrong = messages(&by_string("bob@tcp(db)/jobs?a%3Bb=c"));
    assert_eq!(wrong.len(), 1);
}

#[test]
fn secrets_in_the_manifest_are_refused_and_not_repeated() {
    let mut plain = spec(&FIELDS, &[]);
    plain
        .metadata
        .insert("password".to_owned(), "canary".to_owned());
    assert_eq!(
        messages(&plain),
        ["password is a secret: give it by authentication, or as passwordFromEnv"]
    );
    let mut plain = spec(&FIELDS[..2], &[]);
    let text = "bob:canary@tcp(db)/jobs".to_owned();
    plain.metadata.insert("connectionString".to_owned(), text);
    let found = messages(&plain);
    assert_eq!(found.len(), 1, "{found:?}");
    for text in [
        "canary",
        "bob:canary@udp(db)/jobs",
        "bob@tcp(db)/jobs?tls=canary",
    ] {
        let found = messages(&by_string(text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains("canary"), "{found:?}");
    }
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    assert_eq!(messages(&spec(&[], &[])).len(), 6);
    let mut wrong = spec(&FIELDS, &[]);
    wrong.metadata.insert("port".to_owned(), "99999".to_owned());
    assert_eq!(messages(&wrong), ["port is no number from 1 to 65535"]);
}
