use zeron_core::metric::UnknownKind;
use zeron_tests::servers::postgresql::{
    CERTIFIED_USER, DATABASE, PASSWORD, Postgres, SECURE_USER, USER,
};
use zeron_tests::servers::triggers::{Answer, Sources};

use super::world::{by_string, shared};

const ENCRYPTED: &str = "SELECT ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// Whether the connection is encrypted, read with these options.
fn read(server: &Postgres, user: &str, options: &str, auth: &[(&str, &str)]) -> Answer {
    let port = server.address().port();
    let login = format!("port={port} user={user} password={PASSWORD} dbname={DATABASE} {options}");
    Sources::default().read_once(&by_string(&login, ENCRYPTED, auth))
}

#[test]
fn sslmode_decides_whether_the_connection_is_encrypted() {
    let Some(server) = shared("sslmode_decides_whether_the_connection_is_encrypted") else {
        return;
    };
    let ca = [("ca", server.certificates().ca.as_str())];
    for (options, auth, encrypted) in [
        ("host=127.0.0.1 sslmode=disable", &[] as &[_], 0.0),
        ("host=127.0.0.1", &[], 1.0),
        ("host=127.0.0.1 sslmode=allow", &[], 1.0),
        ("host=127.0.0.1 sslmode=prefer", &[], 1.0),
        ("host=127.0.0.1 sslmode=require", &[], 1.0),
        ("host=127.0.0.1 sslmode=require", &ca, 1.0),
        ("host=127.0.0.1 sslmode=verify-ca", &ca, 1.0),
        ("host=127.0.0.1 sslmode=verify-full", &ca, 1.0),
        ("host=localhost sslmode=verify-full", &ca, 1.0),
        (
            "host=elsewhere hostaddr=127.0.0.1 sslmode=verify-ca",
            &ca,
            1.0,
        ),
    ] {
        let reading = read(server, USER, options, auth);
        let reading = reading.unwrap_or_else(|error| panic!("{options}: {error:?}"));
        assert_eq!(reading.value, encrypted, "{options}");
    }
}

#[test]
fn a_certificate_that_does_not_hold_is_refused() {
    let Some(server) = shared("a_certificate_that_does_not_hold_is_refused") else {
        return;
    };
    let certificates = server.certificates();
    let ca = [("ca", certificates.ca.as_str())];
    // A certificate that signed nothing.
    let other = [("ca", certificates.client_certificate.as_str())];
    for (options, auth) in [
        ("host=127.0.0.1 sslmode=verify-full", &[] as &[_]),
        ("host=127.0.0.1 sslmode=verify-ca", &[]),
        ("host=127.0.0.1 sslmode=require", &other),
        ("host=127.0.0.1 sslmode=verify-ca", &other),
        ("host=elsewhere hostaddr=127.0.0.1 sslmode=verify-full", &ca),
    ] {
        let error = read(server, USER, options, auth).unwrap_err();
        assert_eq!(
            error.kind,
            UnknownKind::Transport,
            "{options}: {}",
            error.message
        );
        assert!(
            error.message.contains("certificate"),
            "{options}: {}",
            error.message
        );
    }
}

#[test]
fn who_must_be_encrypted_is_refused_in_the_clear() {
    let Some(server) = shared("who_must_be_encrypted_is_refused_in_the_clear") else {
        return;
    };
    let encrypted = read(server, SECURE_USER, "host=127.0.0.1 sslmode=require", &[]);
    assert_eq!(encrypted.unwrap().value, 1.0);
    let error = read(server, SECURE_USER, "host=127.0.0.1 sslmode=disable", &[]).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
}

#[test]
fn a_client_certificate_signs_in() {
    let Some(server) = shared("a_client_certificate_signs_in") else {
        return;
    };
    let certificates = server.certificates();
    let auth = [
        ("ca", certificates.ca.as_str()),
        ("cert", certificates.client_certificate.as_str()),
        ("key", certificates.client_key.as_str()),
    ];
    let options = "host=127.0.0.1 sslmode=verify-full";
    assert_eq!(
        read(server, CERTIFIED_USER, options, &auth).unwrap().value,
        1.0
    );
    let error = read(server, CERTIFIED_USER, options, &auth[..1]).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
}
