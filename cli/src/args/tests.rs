//! The command line itself.
#![allow(clippy::unwrap_used)]

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(line.split_whitespace())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn up_listens_on_loopback_by_default() {
    let Command::Up(up) = parse("zeron up examples").unwrap().command else {
        panic!("not up");
    };
    assert_eq!(up.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(up.admin_listen.to_string(), "http://127.0.0.1:8081");
    assert_eq!(up.drain_grace, Duration::from_secs(30));
    assert_eq!(up.domain, "localhost");
}

#[test]
fn trusted_proxies_are_networks_in_a_list() {
    let line = "zeron up . --trusted-proxy 10.0.0.0/8,::1/128 --trusted-proxy 192.0.2.0/24";
    let Command::Up(up) = parse(line).unwrap().command else {
        panic!("not up");
    };
    assert_eq!(up.requests.trusted_proxy.len(), 3);
    assert!(parse("zeron up . --trusted-proxy 10.0.0.0/33").is_err());
}

#[test]
fn a_tls_listener_needs_certificate_and_key() {
    assert!(parse("zeron up --tls-listen 127.0.0.1:8443 --tls-cert a.pem").is_err());
    let whole = "zeron up --tls-listen 127.0.0.1:8443 --tls-cert a.pem --tls-key a.key";
    assert!(parse(whole).is_ok());
}

#[test]
fn in_the_place_of_knatives_own_the_ports_are_those_of_its_services() {
    let knative = parse("zeron activator --dialect knative").unwrap().command;
    let own = parse("zeron activator").unwrap().command;
    let (Command::Activator(knative), Command::Activator(own)) = (knative, own) else {
        panic!("not activators");
    };
    let ports = |it: &ActivatorArgs| (it.listen.port(), it.cluster.health_listen.port());
    assert_eq!((ports(&knative), ports(&own)), ((8012, 9090), (8080, 8081)));
    assert_eq!(knative.lame_duck, Duration::from_secs(45));
    let asked = "zeron autoscaler --dialect knative --listen 127.0.0.1:1";
    let Command::Autoscaler(asked) = parse(asked).unwrap().command else {
        panic!("not an autoscaler");
    };
    assert_eq!(
        (asked.listen.port(), asked.cluster.health_listen.port()),
        (1, 9090)
    );
}

#[test]
fn delete_takes_an_object_or_manifests_but_not_both() {
    assert!(parse("zeron delete").is_err());
    assert!(parse("zeron delete service").is_err());
    assert!(parse("zeron delete service hello").is_ok());
    assert!(parse("zeron delete -f a.yaml").is_ok());
    assert!(parse("zeron delete service hello -f a.yaml").is_err());
}

#[test]
fn a_cluster_is_named_as_for_kubectl() {
    let line = "zeron logs web -f --tail 5 -n shop --context test --kubeconfig a.yaml";
    let Command::Logs(logs) = parse(line).unwrap().command else {
        panic!("not logs");
    };
    assert_eq!(logs.name.cluster.context.as_deref(), Some("test"));
    assert_eq!(logs.name.cluster.kubeconfig, Some(PathBuf::from("a.yaml")));
    let Command::Ls(ls) = parse("zeron ls -A -a").unwrap().command else {
        panic!("not ls");
    };
    assert!(ls.all && ls.cluster.all_namespaces);
    assert!(parse("zeron ls --zeron-namespace ../x").is_err());
    assert!(parse("zeron apply -f a.yaml --context test").is_err());
}

#[test]
fn global_options_may_follow_the_command() {
    let cli = parse("zeron ls -n shop -o json --admin unix:/tmp/z").unwrap();
    assert_eq!(cli.global.namespace.as_deref(), Some("shop"));
    assert_eq!(cli.global.output, Format::Json);
    assert_eq!(
        cli.global.admin(),
        AdminAddress::Unix(PathBuf::from("/tmp/z"))
    );
}

#[test]
fn it_is_known_whether_the_line_names_an_admin_address() {
    let is_given = |line: &str| parse(line).unwrap().global.is_admin_given;
    assert!(!is_given("zeron ls"));
    assert!(is_given("zeron ls --admin unix:/tmp/z"));
    assert!(is_given("zeron --admin unix:/tmp/z ls"));
}
