//! Names, marks and quoted texts, of a selector or of a sample's labels.

/// What is left of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// All of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text.trim_start(),
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(self) -> bool {
        self.rest.is_empty()
    }

    /// What is left.
    pub(super) fn rest(self) -> &'a str {
        self.rest
    }

    /// Takes a mark, if it is next.
    pub(super) fn take(&mut self, mark: &str) -> bool {
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.map_or(self.rest, str::trim_start);
        rest.is_some()
    }

    /// Takes the name of a metric or a label, if one is next.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
        let is_part = |c: char| is_first(c) || c.is_ascii_digit();
        let is_name = self.rest.starts_with(is_first);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        is_name.then(|| {
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest.trim_start();
            name
        })
    }

    /// Takes a text in quotes of any kind.
    pub(super) fn quoted(&mut self) -> Result<String, String> {
        let quote = self.rest.chars().next();
        let quote = quote.filter(|it| matches!(it, '"' | '\'' | '`'));
        let quote = quote.ok_or("has a value without quotes")?;
        let mut value = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = self.rest[at + 1..].trim_start();
                return Ok(value);
            }
            if character != '\\' || quote == '`' {
                value.push(character);
                continue;
            }
            match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped @ ('\\' | '"' | '\''))) => value.push(escaped),
                _ => return Err("has an escape that is not known".to_owned()),
            }
        }
        Err("has quotes that are not closed".to_owned())
    }
}
