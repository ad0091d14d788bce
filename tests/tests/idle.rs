//! Ten thousand functions at rest cost next to nothing.
#![allow(clippy::unwrap_used)]

use zeron_tests::process::{cpu_ticks, descendants, resident_bytes};
use zeron_tests::wait::{throughout, within};
use zeron_tests::{Service, Setup};

const FUNCTIONS: u64 = 10_000;
/// Manifests of one file.
const PER_FILE: u64 = 1000;
/// Far above what is promised (bench/ measures that): a build for debugging is larger.
const BYTES_EACH: u64 = 64 * 1024;

#[test]
fn ten_thousand_functions_rest_without_cost_and_any_of_them_wakes() {
    let setup = (0..FUNCTIONS / PER_FILE).fold(Setup::new(), |setup, file| {
        let names = (0..PER_FILE).map(|i| format!("f{}", file * PER_FILE + i));
        let documents: Vec<String> = names.map(|name| Service::new(&name).yaml()).collect();
        setup.manifest(&format!("many-{file}.yaml"), &documents.join("---\n"))
    });
    let mut zeron = setup.start();
    within(
        std::time::Duration::from_secs(240),
        "zeron to be ready",
        || {
            assert!(zeron.is_running(), "{}", zeron.log());
            zeron
                .admin("GET", "/readyz", "")
                .ok()
                .filter(|answer| answer.status == 200)
        },
    );
    within(
        std::time::Duration::from_secs(60),
        "all of them to be known",
        || (zeron.functions().len() as u64 == FUNCTIONS).then_some(()),
    );
    for name in ["f0", "f5000", "f9999"] {
        assert_eq!(
            zeron.get(name, "/").text(),
            format!("Hello from {name}-00001\n")
        );
    }
    for name in ["f0", "f5000", "f9999"] {
        zeron.wait_for_zero(name);
    }
    let bytes = resident_bytes(zeron.pid());
    assert!(
        bytes < FUNCTIONS * BYTES_EACH,
        "{} MiB for {FUNCTIONS}",
        bytes >> 20
    );
    assert!(
        descendants(zeron.pid()).len() <= 1,
        "nobody runs but the keeper"
    );
    let before = cpu_ticks(zeron.pid());
    throughout(std::time::Duration::from_secs(5), "rest", || true);
    let spent = cpu_ticks(zeron.pid()) - before;
    assert!(
        spent < 250,
        "half a processor at rest: {spent} hundredths of a second in 5 s"
    );
}
