//! Certificates: made, kept, renewed without a gap.

use serde_json::json;

use super::super::certificate::Certificate;
use super::super::configuration;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn made(before: Option<&Certificate>, now: u64) -> Certificate {
    Certificate::make(&["zeron-webhook.zeron-system.svc".to_owned()], before, now).unwrap()
}

#[test]
fn a_secret_gives_back_the_certificate_that_was_put_in() {
    let certificate = made(None, NOW);
    let secret = certificate.secret("s", "n", None);
    assert_eq!(Certificate::of_secret(&secret).unwrap(), certificate);
    certificate.server().unwrap();
    assert!(Certificate::of_secret(&json!({"data": {}})).is_err());
}

#[test]
fn it_is_renewed_well_before_it_ends() {
    let certificate = made(None, NOW);
    assert!(!certificate.is_old(NOW + 200 * DAY));
    assert!(certificate.is_old(NOW + 250 * DAY));
}

#[test]
fn who_trusts_the_old_authority_is_not_cut_off_by_a_new_certificate() {
    let first = made(None, NOW);
    let second = made(Some(&first), NOW + 250 * DAY);
    let third = made(Some(&second), NOW + 500 * DAY);
    let count = |c: &Certificate| {
        let secret = c.secret("s", "n", None);
        Certificate::of_secret(&secret).unwrap().authorities().len()
    };
    assert_eq!((count(&first), count(&second), count(&third)), (1, 2, 2));
    assert_eq!(second.authorities()[1], first.authorities()[0]);
}

#[test]
fn the_key_is_not_shown() {
    assert!(!format!("{:?}", made(None, NOW)).contains("PRIVATE"));
}

#[test]
fn the_bundle_is_named_in_every_webhook_and_only_when_it_is_another() {
    let mut found = configuration("zeron", "zeron-system", "zeron-webhook");
    found["metadata"]["resourceVersion"] = json!("5");
    let patch = configuration::named(&found, "abc").unwrap();
    assert_eq!(patch.as_array().unwrap().len(), 1 + 4);
    for webhook in found["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = json!("abc");
    }
    assert_eq!(configuration::named(&found, "abc"), None);
}
