use zeron_core::metric::UnknownKind;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::ScalerRegistry;
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::servers::rabbitmq::{PASSWORD, RabbitMq, USER};

use super::triggers::{
    amqp, evaluate_one, http, known, new_queue, registry, shared, trigger, unique, unknown, until,
    with_auth,
};

/// A trigger without credentials in its URI.
fn bare(rabbit: &RabbitMq, scheme: &str, queue: &str) -> TriggerSpec {
    let address = match scheme {
        "amqp" => rabbit.amqp(),
        "amqps" => rabbit.amqps(),
        "http" => rabbit.http(),
        _ => rabbit.https(),
    };
    trigger(&format!("{scheme}://{address}/"), queue, &[])
}

#[test]
fn credentials_beside_the_uri_are_used_and_wrong_ones_are_refused() {
    let name = "credentials_beside_the_uri_are_used_and_wrong_ones_are_refused";
    let Some(rabbit) = shared(name) else { return };
    let queue = new_queue(rabbit);
    let right = [("username", USER), ("password", PASSWORD)];
    let wrong = [("username", USER), ("password", "canary")];
    for scheme in ["amqp", "http"] {
        let bound = registry()
            .bind(&with_auth(bare(rabbit, scheme, &queue), &right))
            .unwrap();
        until("the queue to be known", &bound, Result::is_ok).unwrap();
        let refused = unknown(&with_auth(bare(rabbit, scheme, &queue), &wrong));
        assert_eq!(
            refused.kind,
            UnknownKind::Authentication,
            "{}",
            refused.message
        );
    }
    let nobody = unknown(&bare(rabbit, "http", &queue));
    assert_eq!(
        nobody.kind,
        UnknownKind::Authentication,
        "{}",
        nobody.message
    );
}

#[test]
fn virtual_host_of_others_is_refused_and_a_missing_one_is_missing() {
    let name = "virtual_host_of_others_is_refused_and_a_missing_one_is_missing";
    let Some(rabbit) = shared(name) else { return };
    let (vhost, user) = (unique("theirs"), unique("stranger"));
    rabbit.make_vhost(&vhost);
    let account = r#"{"password":"canary","tags":"management"}"#;
    rabbit.must("PUT", &format!("users/{user}"), account);
    let uri = |scheme, address| format!("{scheme}://{user}:canary@{address}/{vhost}");
    let over_amqp = unknown(&trigger(&uri("amqp", rabbit.amqp()), "queue", &[]));
    assert_eq!(
        over_amqp.kind,
        UnknownKind::Authentication,
        "{}",
        over_amqp.message
    );
    let over_http = unknown(&trigger(&uri("http", rabbit.http()), "queue", &[]));
    assert_eq!(
        over_http.kind,
        UnknownKind::Authentication,
        "{}",
        over_http.message
    );
    let missing = unknown(&trigger(&amqp(rabbit, "nowhere"), "queue", &[]));
    assert_eq!(missing.kind, UnknownKind::Missing, "{}", missing.message);
}

#[test]
fn tls_needs_a_trusted_authority_or_no_verification() {
    let name = "tls_needs_a_trusted_authority_or_no_verification";
    let Some(rabbit) = shared(name) else { return };
    let queue = new_queue(rabbit);
    let ca = rabbit.certificates().ca.as_str();
    let login = [("username", USER), ("password", PASSWORD)];
    for scheme in ["amqps", "https"] {
        let trusted = [("tls", "enable"), ("ca", ca), login[0], login[1]];
        let bound = registry()
            .bind(&with_auth(bare(rabbit, scheme, &queue), &trusted))
            .unwrap();
        until("the queue to be known", &bound, Result::is_ok).unwrap();

        let untrusted = unknown(&with_auth(bare(rabbit, scheme, &queue), &login));
        assert_eq!(
            untrusted.kind,
            UnknownKind::Transport,
            "{}",
            untrusted.message
        );
        assert!(
            untrusted.message.contains("certificate"),
            "{}",
            untrusted.message
        );

        let mut unverified = with_auth(bare(rabbit, scheme, &queue), &login);
        unverified
            .metadata
            .insert("unsafeSsl".to_owned(), "true".to_owned());
        assert_eq!(known(&unverified).0, 0.0);
    }
}

#[test]
fn client_certificate_alone_is_the_login() {
    let Some(rabbit) = shared("client_certificate_alone_is_the_login") else {
        return;
    };
    let queue = new_queue(rabbit);
    rabbit.must("PUT", "users/client", r#"{"password_hash":"","tags":""}"#);
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    rabbit.must("PUT", "permissions/%2F/client", all);
    let certificates = rabbit.certificates();
    let shown = [
        ("tls", "enable"),
        ("ca", certificates.ca.as_str()),
        ("cert", certificates.client_certificate.as_str()),
        ("key", certificates.client_key.as_str()),
    ];
    let spec = with_auth(bare(rabbit, "amqps", &queue), &shown);
    assert_eq!(known(&spec).0, 0.0);
    rabbit.must("DELETE", "users/client", "");
    let gone = unknown(&spec);
    assert_eq!(gone.kind, UnknownKind::Authentication, "{}", gone.message);
}

#[test]
fn addresses_that_triggers_may_not_reach_are_refused() {
    let name = "addresses_that_triggers_may_not_reach_are_refused";
    let Some(rabbit) = shared(name) else { return };
    for host in [amqp(rabbit, ""), http(rabbit, "")] {
        let bound = Registry::builtin(AddressPolicy::CLUSTER)
            .bind(&trigger(&host, "queue", &[]))
            .unwrap();
        let error = evaluate_one(&bound).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
        assert!(error.message.contains("reach"), "{}", error.message);
    }
}
