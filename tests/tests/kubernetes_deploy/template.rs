//! The part of Helm's template language that the chart keeps to, so that no `helm` is needed here.

use serde_json::{Map, Value, json};

/// A piece of a template.
enum Node {
    Text(String),
    Show(String),
    If(String, Vec<Node>, Vec<Node>),
    Range(String, Vec<Node>),
}

/// What `.` and `$` are.
struct Scope<'s> {
    root: &'s Value,
    dot: &'s Value,
}

/// Renders `template` with `root` (`Values`, `Release`, `Chart`).
pub(crate) fn render(template: &str, root: &Value) -> String {
    let tokens = tokens(template);
    let mut tokens = tokens.into_iter();
    let (nodes, end) = parse(&mut tokens);
    assert_eq!(end, None, "an end without a beginning");
    let mut text = String::new();
    write(&nodes, &Scope { root, dot: root }, &mut text);
    text
}

enum Token {
    Text(String),
    Action(String),
}

fn tokens(template: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = template;
    let mut is_trimmed = false;
    while let Some(start) = rest.find("{{") {
        let (text, action) = rest.split_at(start);
        let end = action.find("}}").expect("an action ends");
        let mut inner = &action[2..end];
        let mut text = if is_trimmed { text.trim_start() } else { text };
        if let Some(trimmed) = inner.strip_prefix('-') {
            inner = trimmed;
            text = text.trim_end();
        }
        is_trimmed = inner.ends_with('-');
        inner = inner.strip_suffix('-').unwrap_or(inner);
        tokens.push(Token::Text(text.to_owned()));
        tokens.push(Token::Action(inner.trim().to_owned()));
        rest = &action[end + 2..];
    }
    let last = if is_trimmed { rest.trim_start() } else { rest };
    tokens.push(Token::Text(last.to_owned()));
    tokens
}

/// Until an `else` or `end` of somebody further out, which is returned.
fn parse(tokens: &mut impl Iterator<Item = Token>) -> (Vec<Node>, Option<String>) {
    let mut nodes = Vec::new();
    while let Some(token) = tokens.next() {
        let action = match token {
            Token::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Token::Action(action) => action,
        };
        let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
        match word {
            "else" | "end" => return (nodes, Some(word.to_owned())),
            "if" => {
                let (then, end) = parse(tokens);
                let otherwise = match end.as_deref() {
                    Some("else") => parse(tokens).0,
                    _ => Vec::new(),
                };
                nodes.push(Node::If(rest.to_owned(), then, otherwise));
            }
            "range" => nodes.push(Node::Range(rest.to_owned(), parse(tokens).0)),
            _ => nodes.push(Node::Show(action)),
        }
    }
    (nodes, None)
}

fn write(nodes: &[Node], scope: &Scope<'_>, text: &mut String) {
    for node in nodes {
        match node {
            Node::Text(raw) => text.push_str(raw),
            Node::Show(expression) => text.push_str(&plain(&evaluate(expression, scope))),
            Node::If(condition, then, otherwise) => {
                let is_true = is_true(&evaluate(condition, scope));
                write(if is_true { then } else { otherwise }, scope, text);
            }
            Node::Range(list, body) => {
                let list = evaluate(list, scope);
                for dot in list.as_array().into_iter().flatten() {
                    let root = scope.root;
                    write(body, &Scope { root, dot }, text);
                }
            }
        }
    }
}

fn evaluate(expression: &str, scope: &Scope<'_>) -> Value {
    let mut piped: Option<Value> = None;
    for stage in expression.split('|') {
        let mut words = words(stage).into_iter();
        let first = words.next().expect("a stage has words");
        let mut arguments: Vec<Value> = words.map(|word| operand(&word, scope)).collect();
        arguments.extend(piped.take());
        piped = Some(match first.starts_with(['.', '$', '"']) {
            true => operand(&first, scope),
            false => call(&first, &arguments),
        });
    }
    piped.expect("an expression has a stage")
}

fn words(stage: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in stage.trim().chars() {
        is_quoted ^= c == '"';
        match c.is_whitespace() && !is_quoted {
            true => words.push(String::new()),
            false => words.last_mut().expect("never empty").push(c),
        }
    }
    words
}

fn operand(word: &str, scope: &Scope<'_>) -> Value {
    if let Some(text) = word.strip_prefix('"') {
        return json!(text.trim_end_matches('"'));
    }
    if let Ok(number) = word.parse::<i64>() {
        return json!(number);
    }
    let (mut value, path) = match word.strip_prefix('$') {
        Some(path) => (scope.root, path),
        // Outside of a range they are the same.
        None => (scope.dot, word),
    };
    for key in path.split('.').filter(|key| !key.is_empty()) {
        value = &value[key];
    }
    value.clone()
}

fn call(function: &str, arguments: &[Value]) -> Value {
    let text = |index: usize| plain(&arguments[index]);
    let number = |index: usize| arguments[index].as_u64().expect("a number");
    match function {
        "eq" => json!(arguments[0] == arguments[1]),
        "not" => json!(!is_true(&arguments[0])),
        "add" => json!(number(0) + number(1)),
        "default" => match is_true(&arguments[1]) {
            true => arguments[1].clone(),
            false => arguments[0].clone(),
        },
        "join" => {
            let parts = arguments[1].as_array().expect("a list").iter().map(plain);
            json!(parts.collect::<Vec<_>>().join(&text(0)))
        }
        "toJson" => json!(arguments[0].to_string()),
        "toYaml" => json!(yaml(&arguments[0])),
        "nindent" => {
            let width = usize::try_from(number(0)).expect("a width");
            let indent = format!("\n{}", " ".repeat(width));
            json!(format!("{indent}{}", text(1).replace('\n', &indent)))
        }
        other => panic!("the chart uses {other}, which this test does not know"),
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Whether it is read as text without quotes too, unlike `1` or `false`.
fn is_text(text: &str) -> bool {
    serde_saphyr::from_str::<Value>(text).is_ok_and(|value| value == text)
}

/// Maps in blocks, everything else as JSON, which is YAML too.
fn yaml(value: &Value) -> String {
    fn lines(map: &Map<String, Value>, indent: &str, out: &mut Vec<String>) {
        for (key, value) in map {
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    out.push(format!("{indent}{key}:"));
                    lines(inner, &format!("{indent}  "), out);
                }
                Value::String(text) if is_text(text) => out.push(format!("{indent}{key}: {text}")),
                other => out.push(format!("{indent}{key}: {other}")),
            }
        }
    }
    match value {
        Value::Object(map) => {
            let mut out = Vec::new();
            lines(map, "", &mut out);
            out.join("\n")
        }
        other => other.to_string(),
    }
}
