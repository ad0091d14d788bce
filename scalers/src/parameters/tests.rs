use super::*;

fn spec(metadata: &[(&str, &str)], auth: &[(&str, &str)]) -> TriggerSpec {
    crate::testkit::spec("kafka", metadata, auth)
}

const TOPIC: Parameter = Parameter::text("topic", "a topic");
const GROUP: Parameter = Parameter::text("group", "a group");
const LAG: Parameter = Parameter::integer("lagThreshold", 1, "lag").default("10");
const FLAG: Parameter = Parameter::flag("flag", "a switch");
const PARTITIONS: Parameter = Parameter::ranges("partitions", "some");
const SASL: Parameter = Parameter::choice("sasl", &["none", "plaintext"], "how")
    .from(Place::Either)
    .default("none");
const PASSWORD: Parameter = Parameter::secret("password", "a secret");
const TLS: Parameter = Parameter::text("tls", "TLS").from(Place::Either);

#[test]
fn values_are_trimmed_and_empty_ones_are_absent() {
    let spec = spec(&[("topic", "  orders\n"), ("group", "  ")], &[]);
    let mut parameters = Parameters::new(&spec);
    assert_eq!(parameters.text(&TOPIC), Some("orders"));
    assert_eq!(parameters.text(&GROUP), None);
}

#[test]
fn an_input_of_a_formula_needs_no_target() {
    const TARGET: Parameter = Parameter::number_above("value", 0.0, "a target").required();
    let read = |metadata: &[(&str, &str)], is_formula_input| {
        let spec = TriggerSpec {
            is_formula_input,
            ..spec(metadata, &[])
        };
        let mut parameters = Parameters::new(&spec);
        let target = parameters.target(&TARGET);
        (target, parameters.finish().len())
    };
    assert_eq!(read(&[], true), (Some(1.0), 0));
    assert_eq!(read(&[("value", "7")], true), (Some(7.0), 0));
    assert_eq!(read(&[("value", "-7")], true), (None, 1));
    assert_eq!(read(&[], false), (None, 1));
}

#[test]
fn wrong_number_names_parameter_value_and_what_is_allowed() {
    let spec = spec(&[("lagThreshold", "many")], &[]);
    let mut parameters = Parameters::new(&spec);
    assert_eq!(parameters.integer(&LAG), Some(10));
    let problems = parameters.finish();
    assert_eq!(problems[0].parameter.as_deref(), Some("lagThreshold"));
    assert_eq!(
        problems[0].message,
        "lagThreshold: \"many\" is not allowed, expected a whole number from 1"
    );
}

#[test]
fn go_booleans_are_understood() {
    for (text, value) in [("True", true), ("t", true), ("1", true), ("FALSE", false)] {
        let spec = spec(&[("flag", text)], &[]);
        let mut parameters = Parameters::new(&spec);
        assert_eq!(parameters.flag(&FLAG), value);
        assert!(parameters.finish().is_empty());
    }
}

#[test]
fn yes_is_not_a_boolean() {
    let spec = spec(&[("flag", "yes")], &[]);
    let mut parameters = Parameters::new(&spec);
    assert!(!parameters.flag(&FLAG));
    assert_eq!(parameters.finish().len(), 1);
}

#[test]
fn ranges_and_numbers_are_joined() {
    let spec = spec(&[("partitions", " 1, 2,5-7 ")], &[]);
    let numbers = Parameters::new(&spec).integers(&PARTITIONS).unwrap();
    assert_eq!(numbers.into_iter().collect::<Vec<_>>(), [1, 2, 5, 6, 7]);
}

#[test]
fn backward_negative_and_huge_ranges_are_refused() {
    for text in ["9-5", "-1", "1--2", "x", "0-2147483647"] {
        let spec = spec(&[("partitions", text)], &[]);
        let mut parameters = Parameters::new(&spec);
        assert_eq!(parameters.integers(&PARTITIONS), None, "{text}");
        assert_eq!(parameters.finish().len(), 1, "{text}");
    }
}

#[test]
fn unexpected_parameter_is_a_warning() {
    let spec = spec(
        &[("topic", "a"), ("topicFromEnv", "A"), ("topik", "b")],
        &[],
    );
    let mut parameters = Parameters::new(&spec);
    parameters.text(&TOPIC);
    let problems = parameters.finish();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].is_warning);
    assert_eq!(problems[0].parameter.as_deref(), Some("topik"));
}

#[test]
fn value_from_the_authentication_is_never_shown() {
    let spec = spec(&[], &[("sasl", "hunter2")]);
    let mut parameters = Parameters::new(&spec);
    parameters.choice(&SASL);
    let problems = parameters.finish();
    assert!(problems[0].message.contains("none, plaintext"));
    assert!(!problems[0].message.contains("hunter2"));
}

#[test]
fn value_from_the_environment_is_never_shown() {
    let mut spec = spec(&[("lagThreshold", "hunter2"), ("sasl", "hunter2")], &[]);
    let names = ["lagThreshold", "sasl", "partitions", "flag"];
    for name in names {
        spec.metadata.insert(name.to_owned(), "hunter2".to_owned());
        spec.from_environment.insert(name.to_owned());
    }
    let mut parameters = Parameters::new(&spec);
    parameters.integer(&LAG);
    parameters.choice(&SASL);
    parameters.integers(&PARTITIONS);
    parameters.flag(&FLAG);
    let problems = parameters.finish();
    assert_eq!(problems.len(), names.len());
    for problem in problems {
        assert!(problem.message.contains("\"of the environment\""));
        assert!(!problem.message.contains("hunter2"));
    }
}

#[test]
fn secret_in_metadata_is_not_read_and_is_unexpected() {
    let spec = spec(&[("password", "p")], &[]);
    let mut parameters = Parameters::new(&spec);
    assert_eq!(parameters.text(&PASSWORD), None);
    assert!(parameters.finish()[0].is_warning);
}

#[test]
fn parameter_given_twice_is_refused() {
    let spec = spec(&[("tls", "enable")], &[("tls", "enable")]);
    let mut parameters = Parameters::new(&spec);
    parameters.text(&TLS);
    assert!(parameters.finish()[0].message.contains("both"));
}

#[test]
fn defaults_of_the_table_count_where_nothing_is_given() {
    let spec = spec(&[], &[]);
    let mut parameters = Parameters::new(&spec);
    assert_eq!(parameters.integer(&LAG), Some(10));
    assert_eq!(parameters.choice(&SASL), Some("none"));
    assert!(!parameters.is_given(&LAG));
    assert!(parameters.finish().is_empty());
}

#[test]
fn a_required_parameter_is_missed_once() {
    const NEEDED: Parameter = Parameter::list("hosts", "some").required();
    let spec = spec(&[], &[]);
    let mut parameters = Parameters::new(&spec);
    assert!(parameters.list(&NEEDED).is_empty());
    assert!(parameters.list(&NEEDED).is_empty());
    let problems = parameters.finish();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "hosts is required");
}

#[test]
fn numbers_keep_to_their_bounds_and_are_finite() {
    const ABOVE: Parameter = Parameter::number_above("value", 0.0, "a target");
    for (text, value) in [
        ("2.5", Some(2.5)),
        ("0", None),
        ("NaN", None),
        ("inf", None),
    ] {
        let spec = spec(&[("value", text)], &[]);
        let mut parameters = Parameters::new(&spec);
        assert_eq!(parameters.number(&ABOVE), value, "{text}");
        assert_eq!(parameters.finish().is_empty(), value.is_some(), "{text}");
    }
}

#[test]
fn pairs_are_split_at_their_first_equals_sign() {
    const HEADERS: Parameter = Parameter::pairs("headers", "some");
    let spec = spec(&[("headers", "a=b=c, d = e")], &[]);
    let pairs = Parameters::new(&spec).pairs(&HEADERS);
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(pairs, [("a", "b=c"), ("d", "e")]);
}

#[test]
fn sources_that_hand_everything_on_have_no_unexpected_parameter() {
    let spec = spec(&[("whatever", "b")], &[]);
    let mut parameters = Parameters::new(&spec);
    parameters.accept_others();
    assert!(parameters.finish().is_empty());
}
