#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use zeron_core::FunctionId;
use zeron_core::workload::EnvVar;

use super::*;
use crate::config::KeeperCommand;
use crate::fleet::tests::function;

fn surroundings() -> Surroundings {
    let keeper = KeeperCommand {
        program: "/bin/true".into(),
        args: Vec::new(),
    };
    let mut config = ProcessConfig::new("/tmp".into(), "/".into(), keeper);
    config.path_prefix = vec!["/opt/first".into()];
    Surroundings::new(&config, "token".to_owned())
}

fn command(function: &Function, port: Option<u16>) -> Result<Command, LaunchError> {
    let name = "f-1";
    surroundings().command(Replica {
        function,
        name,
        port,
    })
}

fn environment(command: &Command) -> HashMap<String, String> {
    let text = |os: &std::ffi::OsStr| os.to_str().unwrap().to_owned();
    command
        .get_envs()
        .map(|(name, value)| (text(name), text(value.unwrap())))
        .collect()
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

#[test]
fn port_and_declared_variables_are_expanded_in_command_and_arguments() {
    let mut function = function("f", &["/bin/sh", "-c"]);
    function.workload.args = vec!["$(PORT) $(A) $$(A) $(HOME)".to_owned()];
    function.workload.env = vec![
        variable("LATE", "$(A)"),
        variable("A", "a"),
        variable("B", "$(A)$(PORT)"),
        variable("PORT", "1"),
    ];
    let command = command(&function, Some(8123)).unwrap();
    let args: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_str().unwrap())
        .collect();
    assert_eq!(args, ["-c", "8123 a $(A) $(HOME)"]);
    let environment = environment(&command);
    assert_eq!(environment["PORT"], "8123");
    assert_eq!(environment["B"], "a8123");
    assert_eq!(environment["LATE"], "$(A)");
}

#[test]
fn little_is_inherited_and_revisions_are_told_their_names() {
    let mut revision = function("hello-00001", &["sh"]);
    revision.id = FunctionId::new("default", "Revision", "hello-00001");
    "hello".clone_into(&mut revision.owner.name);
    let told = environment(&command(&revision, None).unwrap());
    assert_eq!(told["K_SERVICE"], "hello");
    assert_eq!(told["K_CONFIGURATION"], "hello");
    assert_eq!(told["K_REVISION"], "hello-00001");
    assert_eq!(told["ZERON_REPLICA"], "f-1");
    assert_eq!(told[INSTANCE_VARIABLE], "token");
    assert!(told["PATH"].starts_with("/opt/first:"));
    assert!(!told.contains_key("PORT") && !told.contains_key("CARGO_MANIFEST_DIR"));
    let plain = environment(&command(&function("f", &["sh"]), None).unwrap());
    assert!(!plain.contains_key("K_SERVICE"));
}

#[test]
fn what_cannot_be_started_is_named() {
    let message = |function: &Function| command(function, None).unwrap_err().to_string();
    assert!(message(&function("f", &[])).contains("no command"));
    let missing = message(&function("f", &["no-such-program"]));
    assert!(missing.contains("no-such-program"), "{missing}");
    let mut nowhere = function("f", &["sh"]);
    nowhere.workload.working_dir = Some("no/such/dir".into());
    assert!(message(&nowhere).contains("/no/such/dir"));
}

#[test]
fn file_names_keep_to_their_folder() {
    assert_eq!(file_name("hello-00001"), "hello-00001");
    assert_eq!(file_name("../x/y"), "_._x_y");
    assert_eq!(file_name(""), "_");
}
