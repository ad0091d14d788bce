use zeron_core::metric::UnknownKind;
use zeron_core::roles::ScalerRegistry;
use zeron_tests::servers::redis::{Options, Redis};

use super::world::{bind, evaluate, list, or_skip, read, registry, value, with, with_auth};

const PASSWORD: &str = "canary-of-redis";

fn secured(test: &str) -> Option<Redis> {
    let redis = or_skip(
        test,
        Redis::start_with(&Options::with(&[("requirepass", PASSWORD)])),
    )?;
    redis.cli(&["-a", PASSWORD, "RPUSH", "l", "a", "b"]);
    Some(redis)
}

fn with_tls(test: &str, is_mutual: bool) -> Option<Redis> {
    let options = Options {
        is_secure: true,
        is_mutual,
        ..Options::default()
    };
    let redis = or_skip(test, Redis::start_with(&options))?;
    redis.cli(&["RPUSH", "l", "a", "b"]);
    Some(redis)
}

#[test]
fn a_password_is_needed_and_never_shown() {
    let Some(redis) = secured("a_password_is_needed_and_never_shown") else {
        return;
    };
    let spec = list(redis.address(), "l");
    assert_eq!(
        value(&with_auth(spec.clone(), &[("password", PASSWORD)])),
        2.0
    );
    assert_eq!(value(&with(spec.clone(), &[("password", PASSWORD)])), 2.0);
    let user = [("username", "default"), ("password", PASSWORD)];
    assert_eq!(value(&with_auth(spec.clone(), &user)), 2.0);
    for wrong in [
        with_auth(spec.clone(), &[("password", "another-canary")]),
        with_auth(
            spec.clone(),
            &[("username", "nobody-canary"), ("password", PASSWORD)],
        ),
        spec,
    ] {
        let bound = bind(&wrong);
        let error = super::world::ask(&bound).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
        let shown = format!("{error:?} {bound:?} {wrong:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn a_password_where_none_is_set_is_refused() {
    let Some(redis) = or_skip("a_password_where_none_is_set_is_refused", Redis::start()) else {
        return;
    };
    let error = read(&with_auth(
        list(redis.address(), "l"),
        &[("password", PASSWORD)],
    ))
    .unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
    assert!(!error.message.contains(PASSWORD), "{}", error.message);
}

#[test]
fn a_user_needs_the_lengths_alone_and_no_script() {
    let Some(redis) = or_skip(
        "a_user_needs_the_lengths_alone_and_no_script",
        Redis::start(),
    ) else {
        return;
    };
    redis.feed("RPUSH l a\nSADD s a b\nRPUSH hidden a\nACL SETUSER reader on >pw ~l ~s +llen +scard +type\n");
    let registry = registry();
    let credentials = [("username", "reader"), ("password", "pw")];
    let bound = ["l", "s", "hidden"].map(|key| {
        let spec = with_auth(list(redis.address(), key), &credentials);
        registry.bind(&spec).unwrap()
    });
    let answers = evaluate(&bound.iter().collect::<Vec<_>>());
    assert_eq!(answers[0].as_ref().unwrap().value, 1.0);
    assert_eq!(answers[1].as_ref().unwrap().value, 2.0);
    let error = answers[2].as_ref().unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
}

#[test]
fn two_sets_of_credentials_are_two_sources() {
    let Some(redis) = secured("two_sets_of_credentials_are_two_sources") else {
        return;
    };
    let registry = registry();
    let spec = list(redis.address(), "l");
    let good = registry
        .bind(&with_auth(spec.clone(), &[("password", PASSWORD)]))
        .unwrap();
    let bad = registry
        .bind(&with_auth(spec, &[("password", "wrong")]))
        .unwrap();
    assert_ne!(good.source, bad.source);
    assert!(evaluate(&[&bad]).remove(0).is_err());
    assert!(evaluate(&[&good]).remove(0).is_ok());
}

#[test]
fn tls_knows_the_server_by_the_given_authority() {
    let Some(redis) = with_tls("tls_knows_the_server_by_the_given_authority", false) else {
        return;
    };
    let ca = redis.certificates().ca.as_str();
    let spec = list(redis.secure(), "l");
    assert_eq!(
        value(&with_auth(spec.clone(), &[("tls", "enable"), ("ca", ca)])),
        2.0
    );
    let enabled = with(spec.clone(), &[("enableTLS", "true")]);
    assert_eq!(value(&with_auth(enabled.clone(), &[("ca", ca)])), 2.0);

    let error = read(&enabled).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
    assert!(error.message.contains("certificate"), "{}", error.message);
    assert_eq!(value(&with(enabled, &[("unsafeSsl", "true")])), 2.0);

    // Without TLS to a port with TLS: no answer that is understood, and no value.
    assert!(read(&spec).is_err());
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let Some(redis) = with_tls("a_client_certificate_is_shown_where_it_is_asked_for", true) else {
        return;
    };
    let certificates = redis.certificates();
    let auth = [
        ("tls", "enable"),
        ("ca", certificates.ca.as_str()),
        ("cert", certificates.client_certificate.as_str()),
        ("key", certificates.client_key.as_str()),
    ];
    let spec = list(redis.secure(), "l");
    assert_eq!(value(&with_auth(spec.clone(), &auth)), 2.0);
    assert!(read(&with_auth(spec, &auth[..2])).is_err());
}

#[test]
fn an_encrypted_key_is_refused_by_name() {
    let key =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\ncanary\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let auth = [
        ("tls", "enable"),
        ("cert", "x"),
        ("key", key),
        ("keyPassword", "canary"),
    ];
    let spec = with_auth(list("127.0.0.1:1".parse().unwrap(), "l"), &auth);
    let error = registry().bind(&spec).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration);
    assert!(!error.message.contains("canary"), "{}", error.message);
}
