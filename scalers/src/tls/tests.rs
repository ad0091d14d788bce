use super::*;

/// A certificate signed by itself, and its key.
fn pair() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

fn settings(ca: Option<&str>, certificate: Option<&str>, key: Option<&str>) -> TlsSettings {
    TlsSettings {
        ca: ca.map(Secret::new),
        certificate: certificate.map(Secret::new),
        key: key.map(Secret::new),
        is_unverified: false,
    }
}

fn message(settings: &TlsSettings) -> String {
    let error = settings.client_config().unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration);
    error.message
}

#[test]
fn nothing_given_trusts_the_system_and_shows_nothing() {
    let config = TlsSettings::default().client_config().unwrap();
    assert!(!config.client_auth_cert_resolver.has_certs());
}

#[test]
fn a_certificate_with_its_key_is_shown() {
    let (cert, key) = pair();
    let settings = settings(Some(&cert), Some(&cert), Some(&key));
    let config = settings.client_config().unwrap();
    assert!(config.client_auth_cert_resolver.has_certs());
}

#[test]
fn what_is_wrong_is_named_and_no_pem_is_repeated() {
    let (cert, key) = pair();
    let garbage = "-----BEGIN CERTIFICATE-----\nsecret-canary\n-----END CERTIFICATE-----";
    for (settings, part) in [
        (settings(Some(garbage), None, None), "ca "),
        (settings(Some("secret-canary"), None, None), "ca "),
        (settings(None, Some(garbage), Some(&key)), "cert "),
        (settings(None, Some(&cert), Some("secret-canary")), "key "),
        (settings(None, Some(&cert), None), "cert needs key"),
        (settings(None, None, Some(&key)), "key needs cert"),
    ] {
        let message = message(&settings);
        assert!(message.starts_with(part), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
}

#[test]
fn encrypted_keys_are_refused_in_words() {
    let (cert, key) = pair();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let message = message(&settings(None, Some(&cert), Some(&encrypted)));
    assert!(message.contains("encrypted"), "{message}");
}

#[test]
fn settings_never_show_what_they_hold() {
    let settings = settings(
        Some("secret-canary"),
        Some("secret-canary"),
        Some("secret-canary"),
    );
    let shown = format!("{settings:?}");
    assert!(!shown.contains("canary"), "{shown}");
}
