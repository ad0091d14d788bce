use std::collections::BTreeSet;

use crate::services::annotations::{Ports, format_ports, parse_ports, parse_selector};
use crate::services::ledger::{Ledger, NoPortLeft, PORT_RANGE};

fn wanted(ports: &[u16]) -> BTreeSet<u16> {
    ports.iter().copied().collect()
}

#[test]
fn every_port_of_a_service_gets_one_of_its_own() {
    let mut ledger = Ledger::default();
    let a = ledger
        .settle("a", &wanted(&[80, 443]), &Ports::new())
        .unwrap();
    let b = ledger.settle("b", &wanted(&[80]), &Ports::new()).unwrap();
    assert_eq!(format_ports(&a), "80=20000,443=20001");
    assert_eq!(format_ports(&b), "80=20002");
}

#[test]
fn ports_are_stable_and_a_new_one_does_not_move_them() {
    let mut ledger = Ledger::default();
    let first = ledger.settle("a", &wanted(&[80]), &Ports::new()).unwrap();
    let more = ledger.settle("a", &wanted(&[79, 80]), &first).unwrap();
    assert_eq!(more[&80], first[&80]);
    assert_ne!(more[&79], more[&80]);
}

#[test]
fn a_port_that_two_claim_stays_with_the_first() {
    let claimed = parse_ports("80=20005");
    let mut ledger = Ledger::default();
    ledger.book("old", &claimed);
    ledger.book("copy", &claimed);
    let copy = ledger.settle("copy", &wanted(&[80]), &claimed).unwrap();
    assert_ne!(copy[&80].get(), 20_005);
    assert_eq!(
        ledger.settle("old", &wanted(&[80]), &claimed).unwrap(),
        claimed
    );
}

#[test]
fn a_claim_outside_the_range_is_not_believed() {
    let claimed = parse_ports("80=8012");
    let ports = Ledger::default()
        .settle("a", &wanted(&[80]), &claimed)
        .unwrap();
    assert!(PORT_RANGE.contains(&ports[&80].get()));
}

#[test]
fn two_ports_never_share_one() {
    let claimed = parse_ports("80=20005,81=20005");
    let ports = Ledger::default()
        .settle("a", &wanted(&[80, 81]), &claimed)
        .unwrap();
    assert_ne!(ports[&80], ports[&81]);
}

#[test]
fn a_freed_port_is_used_again_but_last() {
    let mut ledger = Ledger::default();
    let a = ledger.settle("a", &wanted(&[80]), &Ports::new()).unwrap();
    ledger.retain(|uid| uid != "a");
    let b = ledger.settle("b", &wanted(&[80]), &Ports::new()).unwrap();
    assert_ne!(a[&80], b[&80]);
    let all: BTreeSet<u16> = (1..=9_999).collect();
    let rest = ledger.settle("c", &all, &Ports::new()).unwrap();
    assert!(rest.values().any(|port| *port == a[&80]));
    assert_eq!(
        ledger.settle("d", &wanted(&[80]), &Ports::new()),
        Err(NoPortLeft)
    );
}

#[test]
fn what_cannot_be_read_in_an_annotation_is_left_out() {
    assert_eq!(
        format_ports(&parse_ports("80=20000, x=1,81=0,82,=,83=99999")),
        "80=20000"
    );
    assert_eq!(parse_selector("{}"), None);
    assert_eq!(parse_selector("app=x"), None);
    assert!(parse_selector(r#"{"app":"x"}"#).is_some());
}
