//! Text into documents.

use super::*;

#[test]
fn every_field_has_its_line_and_column() {
    let document = one(
        "# comment\nspec:\n  template:\n    containers:\n    - name: a\n      image: b\n    - {name: c, \"x/y.z\": 1}\n",
    );
    let at = |path: &str| {
        let found = document.location(path);
        (found.line, found.column)
    };
    assert_eq!(at("spec"), (2, 1));
    assert_eq!(at("spec.template"), (3, 3));
    assert_eq!(at("spec.template.containers[0]"), (5, 7));
    assert_eq!(at("spec.template.containers[0].image"), (6, 7));
    assert_eq!(at("spec.template.containers[1].name"), (7, 8));
    assert_eq!(at("spec.template.containers[1][x/y.z]"), (7, 17));
    assert_eq!(at("spec.template.containers[0].missing"), (5, 7));
    assert_eq!(at("spec.missing.too[3].deep"), (2, 1));
}

#[test]
fn scalars_follow_the_core_schema() {
    let document = one(
        "[1, -2, 0x1f, 0o17, 1.5, 1e3, true, ~, null, yes, 1m, 'true', \"7\", !!str 7, 0755, 1.2.3, .inf, a-]",
    );
    let expected = json!([
        1, -2, 31, 15, 1.5, 1000.0, true, null, null, "yes", "1m", "true", "7", "7", 755, "1.2.3",
        ".inf", "a-"
    ]);
    assert_eq!(document.value, expected);
}

#[test]
fn documents_of_one_file_are_read_apart() {
    let (documents, problems) = read("a: 1\n---\n---\n# nothing\n---\nb: 2\n...\n");
    assert_eq!(problems, []);
    assert_eq!(
        documents
            .iter()
            .map(|d| d.value.clone())
            .collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"b": 2})]
    );
    assert_eq!(documents[1].location("b").line, 6);
}

#[test]
fn a_syntax_error_names_its_place_and_costs_only_its_document() {
    let (documents, problems) = read("a: 1\n---\nb: [1, 2\nc: }\n---\nd: 4\n");
    assert_eq!(
        documents
            .iter()
            .map(|d| d.value.clone())
            .collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"d": 4})]
    );
    assert_eq!(problems.len(), 1);
    let text = problems[0].to_string();
    assert!(
        text.starts_with("a.yaml:4:") || text.starts_with("a.yaml:3:"),
        "{text}"
    );
    assert!(text.contains("error: not valid YAML"), "{text}");
}

#[test]
fn a_list_is_its_items_each_in_its_place() {
    let (documents, problems) =
        read("kind: List\napiVersion: v1\nitems:\n- {kind: A}\n- kind: B\n  spec:\n    x: 1\n");
    assert_eq!(problems, []);
    assert_eq!(
        documents
            .iter()
            .map(|d| d.value["kind"].clone())
            .collect::<Vec<_>>(),
        [json!("A"), json!("B")]
    );
    assert_eq!(
        (
            documents[1].location("spec.x").line,
            documents[1].location("").line
        ),
        (7, 5)
    );
}

#[test]
fn a_key_given_twice_is_refused() {
    let (_, problems) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(
        problems[0].to_string(),
        "a.yaml:3:1: error: key \"a\" is given twice"
    );
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let document = one("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nsame: *b\n");
    assert_eq!(
        document.value,
        json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}, "same": {"x": 1, "y": 2}})
    );
    assert_eq!(document.location("same.x").line, 3);
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(",");
        text.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    let (documents, problems) = read(&text);
    assert!(documents.is_empty());
    assert!(
        problems[0]
            .to_string()
            .contains("aliases expand to more than"),
        "{}",
        problems[0]
    );
}

#[test]
fn an_alias_of_itself_is_refused() {
    let (_, problems) = read("a: &a [*a]\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn deep_nesting_is_refused() {
    let (_, problems) = read(&"[".repeat(5_000));
    assert_eq!(problems.len(), 1);
    let (_, problems) = read(&format!("{}{}", "[".repeat(100), "]".repeat(100)));
    assert!(
        problems[0]
            .to_string()
            .contains("nested deeper than 64 levels")
    );
}
