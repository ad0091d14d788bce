//! A trigger whose source does not push though it was asked to.

use super::*;

#[test]
fn a_trigger_that_is_polled_alone_says_why_until_it_is_pushed_again() {
    let mut unheard = trigger("postgresql", "postgresql", known(0.0), false);
    unheard.index = 2;
    unheard.push_trouble = Some("a pooler is between".to_owned());
    let after = scaled(&object(), &ok(), &[function(vec![unheard.clone()])]);
    assert_eq!(said(&after, "Push"), ("False", "PolledAlone"));
    let message = &condition(&after, "Push")["message"];
    let expected = "trigger 2 (postgresql): a pooler is between; polling goes on";
    assert_eq!(message, expected);
    // Its value is known all the same.
    assert_eq!(said(&after, "Ready"), ("True", "ScaledObjectReady"));

    unheard.push_trouble = None;
    let again = scaled(&after, &ok(), &[function(vec![unheard])]);
    assert_eq!(said(&again, "Push"), ("True", "Resolved"));
}
