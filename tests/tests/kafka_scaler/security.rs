use std::time::Instant;

use zeron_core::metric::{MetricReading, Unknown, UnknownKind};
use zeron_core::roles::ScalerRegistry;
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::broker::{Broker, PASSWORD, USER};

use super::cluster::{commit, kafka, produce, read, shared, topic, unique, with_auth};

/// Three records of lag, read at `address` with `auth`.
fn read_with(
    broker: &Broker,
    address: &str,
    auth: &[(&str, &str)],
) -> Result<MetricReading, Unknown> {
    let plain = &broker.address();
    let (topic, group) = (topic(plain, 1), unique("group"));
    produce(plain, &topic, 0, 3);
    commit(plain, &group, &topic, 0, 0);
    read(&with_auth(
        kafka(address, &group, &[("topic", &topic)]),
        auth,
    ))
}

#[test]
fn every_sasl_mechanism_reads() {
    let Some(broker) = shared("every_sasl_mechanism_reads") else {
        return;
    };
    for mechanism in ["plaintext", "scram_sha256", "scram_sha512"] {
        let auth = [
            ("sasl", mechanism),
            ("username", USER),
            ("password", PASSWORD),
        ];
        let reading = read_with(broker, &broker.ports().sasl.to_string(), &auth);
        assert_eq!(reading.unwrap().value, 3.0, "{mechanism}");
    }
}

#[test]
fn wrong_password_is_an_authentication_failure_soon_and_unprinted() {
    let name = "wrong_password_is_an_authentication_failure_soon_and_unprinted";
    let Some(broker) = shared(name) else { return };
    for mechanism in ["plaintext", "scram_sha256"] {
        let auth = [
            ("sasl", mechanism),
            ("username", USER),
            ("password", "queen-of-hearts"),
        ];
        let began = Instant::now();
        let error = read_with(broker, &broker.ports().sasl.to_string(), &auth).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
        assert!(!error.message.contains("queen-of-hearts"));
        assert!(
            began.elapsed() < super::cluster::TIMEOUT,
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn tls_reads_with_the_authority_or_unverified() {
    let Some(broker) = shared("tls_reads_with_the_authority_or_unverified") else {
        return;
    };
    let address = broker.ports().tls.to_string();
    let ca = broker.certificates().ca.as_str();
    let reading = read_with(broker, &address, &[("tls", "enable"), ("ca", ca)]);
    assert_eq!(reading.unwrap().value, 3.0);

    let mut unsafe_tls = kafka(
        &address,
        "group",
        &[("tls", "enable"), ("unsafeSsl", "true")],
    );
    let topic = topic(&broker.address(), 1);
    unsafe_tls.metadata.insert("topic".to_owned(), topic);
    assert_eq!(read(&unsafe_tls).unwrap().value, 1.0);
}

#[test]
fn certificate_of_an_unknown_authority_is_refused() {
    let Some(broker) = shared("certificate_of_an_unknown_authority_is_refused") else {
        return;
    };
    let address = broker.ports().tls.to_string();
    let error = read_with(broker, &address, &[("tls", "enable")]).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
    assert!(error.message.contains("certificate"), "{}", error.message);
}

#[test]
fn client_certificate_is_shown_where_it_is_asked_for() {
    let Some(broker) = shared("client_certificate_is_shown_where_it_is_asked_for") else {
        return;
    };
    let address = broker.ports().mutual_tls.to_string();
    let certificates = broker.certificates();
    let auth = [
        ("tls", "enable"),
        ("ca", certificates.ca.as_str()),
        ("cert", certificates.client_certificate.as_str()),
        ("key", certificates.client_key.as_str()),
    ];
    assert_eq!(read_with(broker, &address, &auth).unwrap().value, 3.0);
    assert!(read_with(broker, &address, &auth[..2]).is_err());
}

#[test]
fn sasl_over_tls_reads() {
    let Some(broker) = shared("sasl_over_tls_reads") else {
        return;
    };
    let auth = [
        ("sasl", "scram_sha512"),
        ("username", USER),
        ("password", PASSWORD),
        ("tls", "enable"),
        ("ca", broker.certificates().ca.as_str()),
    ];
    let reading = read_with(broker, &broker.ports().sasl_tls.to_string(), &auth);
    assert_eq!(reading.unwrap().value, 3.0);
}

#[test]
fn key_that_is_no_key_is_a_configuration_error_without_its_text() {
    let auth = [
        ("tls", "enable"),
        ("cert", "no certificate"),
        ("key", "my-secret-key"),
    ];
    let trigger = with_auth(kafka("127.0.0.1:1", "group", &[("topic", "topic")]), &auth);
    let registry = Registry::builtin(AddressPolicy::MACHINE);
    let error = registry.bind(&trigger).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(
        !error.message.contains("my-secret-key"),
        "{}",
        error.message
    );
}
