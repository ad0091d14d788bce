use zeron_core::metric::UnknownKind;
use zeron_tests::servers::mariadb::{
    CERTIFIED_USER, DATABASE, Mariadb, PASSWORD, SECURE_USER, USER,
};
use zeron_tests::servers::triggers::{Answer, Sources};

use super::world::{by_fields, by_string, shared, with};

const ENCRYPTED: &str = "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'SSL_CIPHER'";

/// Whether the connection is encrypted, read with this `tls`.
fn read(server: &Mariadb, user: &str, host: &str, tls: &str, auth: &[(&str, &str)]) -> Answer {
    let port = server.address().port();
    let login = format!("{user}:{PASSWORD}@tcp({host}:{port})/{DATABASE}?tls={tls}");
    Sources::default().read_once(&by_string(&login, ENCRYPTED, auth))
}

#[test]
fn tls_decides_whether_the_connection_is_encrypted() {
    let Some(server) = shared("tls_decides_whether_the_connection_is_encrypted") else {
        return;
    };
    let ca = [("ca", server.certificates().ca.as_str())];
    for (host, tls, auth, encrypted) in [
        ("127.0.0.1", "false", &[] as &[_], 0.0),
        ("127.0.0.1", "preferred", &[], 1.0),
        ("127.0.0.1", "skip-verify", &[], 1.0),
        ("127.0.0.1", "true", &ca, 1.0),
        ("localhost", "true", &ca, 1.0),
    ] {
        let reading = read(server, USER, host, tls, auth);
        let reading = reading.unwrap_or_else(|error| panic!("{tls}: {error:?}"));
        assert_eq!(reading.value, encrypted, "{tls}");
    }
    let by_parameter = with(by_fields(server.address(), ENCRYPTED), "tls", "skip-verify");
    assert_eq!(
        Sources::default().read_once(&by_parameter).unwrap().value,
        1.0
    );
}

#[test]
fn a_certificate_that_does_not_hold_is_refused() {
    let Some(server) = shared("a_certificate_that_does_not_hold_is_refused") else {
        return;
    };
    // A certificate that signed nothing.
    let other = [("ca", server.certificates().client_certificate.as_str())];
    for auth in [&[] as &[_], &other] {
        let error = read(server, USER, "127.0.0.1", "true", auth).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
        assert!(error.message.contains("certificate"), "{}", error.message);
    }
}

#[test]
fn who_must_be_encrypted_is_refused_in_the_clear() {
    let Some(server) = shared("who_must_be_encrypted_is_refused_in_the_clear") else {
        return;
    };
    let encrypted = read(server, SECURE_USER, "127.0.0.1", "skip-verify", &[]);
    assert_eq!(encrypted.unwrap().value, 1.0);
    let error = read(server, SECURE_USER, "127.0.0.1", "false", &[]).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
}

#[test]
fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let Some(server) = shared("a_client_certificate_is_shown_where_it_is_asked_for") else {
        return;
    };
    let certificates = server.certificates();
    let auth = [
        ("ca", certificates.ca.as_str()),
        ("cert", certificates.client_certificate.as_str()),
        ("key", certificates.client_key.as_str()),
    ];
    let host = "127.0.0.1";
    assert_eq!(
        read(server, CERTIFIED_USER, host, "true", &auth)
            .unwrap()
            .value,
        1.0
    );
    let error = read(server, CERTIFIED_USER, host, "true", &auth[..1]).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
}
