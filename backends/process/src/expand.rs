//! Expands `$(NAME)` in commands, arguments and environment, by Kubernetes' rules.

/// Replaces each `$(NAME)` that `lookup` knows; others stay as they are. `$$` stands for `$`, so
/// that `$$(NAME)` is the text `$(NAME)`.
pub(crate) fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(rest) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The name in a leading `(NAME)`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn run(text: &str) -> String {
        expand(text, |name| match name {
            "PORT" => Some("8080"),
            "EMPTY" => Some(""),
            _ => None,
        })
    }

    #[test]
    fn known_names_are_replaced_wherever_they_stand() {
        assert_eq!(run("--port=$(PORT)"), "--port=8080");
        assert_eq!(run("$(PORT)$(PORT)"), "80808080");
        assert_eq!(run("a$(EMPTY)b"), "ab");
    }

    #[test]
    fn unknown_names_and_broken_references_stay() {
        assert_eq!(run("$(NOPE)"), "$(NOPE)");
        assert_eq!(run("$(PORT"), "$(PORT");
        assert_eq!(run("$PORT ${PORT} 5$"), "$PORT ${PORT} 5$");
        assert_eq!(run("$()"), "$()");
    }

    #[test]
    fn doubled_dollars_escape() {
        assert_eq!(run("$$(PORT)"), "$(PORT)");
        assert_eq!(run("$$$(PORT)"), "$8080");
        assert_eq!(run("$$$$"), "$$");
    }

    #[test]
    fn replaced_text_is_not_expanded_again() {
        assert_eq!(expand("$(A)", |_| Some("$(A)")), "$(A)");
    }
}
