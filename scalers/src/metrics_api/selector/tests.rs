use super::*;

/// As programs serve it: types, help, escapes, timestamps.
const TEXT: &str = r#"# HELP jobs_waiting Jobs that wait, by queue.
# TYPE jobs_waiting gauge
jobs_waiting{queue="mail",zone="a"} 3
jobs_waiting{queue="mail",zone="b"} 4 1700000000000
jobs_waiting{queue="a,b=c}\"d\"",zone="a"} 10

job:rate:sum{} 1.5e1
up 1
# TYPE seconds histogram
seconds_bucket{le="0.1"} 5
seconds_bucket{le="+Inf"} 9
seconds_sum 2.5
seconds_count 9
"#;

fn sum(selector: &str) -> Result<f64, UnknownKind> {
    let selector = Selector::parse(selector).unwrap();
    selector.sum(TEXT).map_err(|error| error.kind)
}

#[test]
fn matchers_mean_what_they_say_and_matches_are_added_up() {
    for (selector, value) in [
        ("up", 1.0),
        ("up{}", 1.0),
        ("{__name__=\"up\"}", 1.0),
        ("jobs_waiting", 17.0),
        ("jobs_waiting{queue=\"mail\"}", 7.0),
        ("jobs_waiting { queue = 'mail' , zone = \"b\" , }", 4.0),
        ("jobs_waiting{queue!=\"mail\"}", 10.0),
        ("jobs_waiting{queue=~\"ma.*\"}", 7.0),
        ("jobs_waiting{queue=~\"a|mail\"}", 7.0),
        ("jobs_waiting{queue!~\"ma.*\"}", 10.0),
        ("jobs_waiting{absent=\"\"}", 17.0),
        ("job:rate:sum", 15.0),
    ] {
        assert_eq!(sum(selector), Ok(value), "{selector}");
    }
}

#[test]
fn values_of_labels_may_have_commas_braces_and_quotes() {
    assert_eq!(sum(r#"jobs_waiting{queue="a,b=c}\"d\""}"#), Ok(10.0));
    assert_eq!(sum(r#"jobs_waiting{queue=`a,b=c}"d"`}"#), Ok(10.0));
}

#[test]
fn regular_expressions_match_whole_values() {
    assert_eq!(
        sum("jobs_waiting{queue=~\"mai\"}"),
        Err(UnknownKind::Missing)
    );
}

#[test]
fn series_of_histograms_are_read_by_their_names() {
    assert_eq!(sum("seconds_bucket{le=\"0.1\"}"), Ok(5.0));
    assert_eq!(sum("seconds_count"), Ok(9.0));
}

#[test]
fn nothing_selected_is_missing_not_zero() {
    assert_eq!(sum("down"), Err(UnknownKind::Missing));
    assert_eq!(sum("up{a=\"b\"}"), Err(UnknownKind::Missing));
    let up = Selector::parse("up").unwrap();
    assert_eq!(up.sum("").unwrap_err().kind, UnknownKind::Missing);
}

#[test]
fn text_that_is_none_cannot_be_understood() {
    let up = Selector::parse("up").unwrap();
    for text in [
        "{\"up\": 1}",
        "<html>",
        "up",
        "up many",
        "up{a=b} 1",
        "up{a=\"b} 1",
        "up{a=\"b\" 1",
    ] {
        assert_eq!(up.sum(text).unwrap_err().kind, UnknownKind::Parse, "{text}");
    }
}

#[test]
fn lines_may_end_as_they_do_on_windows() {
    let up = Selector::parse("up").unwrap();
    assert_eq!(up.sum("# TYPE up gauge\r\nup 1\r\nup{a=\"b\"} 2"), Ok(3.0));
}

#[test]
fn selectors_that_are_none_are_refused() {
    for text in [
        "",
        "{}",
        "{a=\"b\"}",
        "up{",
        "up{a}",
        "up{a=b}",
        "up{a=\"b\"",
        "up{a=\"b\" c=\"d\"}",
        "up{a=~\"(\"}",
        "up{__name__=\"down\"}",
        "up[5m]",
        "up offset 5m",
        "sum(up)",
        "up{a=~\"(((a{100}){100}){100}){100}\"}",
    ] {
        assert!(Selector::parse(text).is_err(), "{text}");
    }
}
