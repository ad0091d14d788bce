//! The part of Go's `text/template` that request logs are written in.

use http::HeaderName;
use http::header::{REFERER, USER_AGENT};
use thiserror::Error;

/// Why a template cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("an action has no end")]
    Unclosed,
    /// Something that request logs here know nothing of.
    #[error("the action {0:?} is not understood")]
    Unknown(String),
}

/// A template, ready to be filled.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    headers: Vec<HeaderName>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Field(Field, Escape),
}

/// What may stand in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Method,
    Target,
    Host,
    Protocol,
    Length,
    Client,
    /// The first value.
    Header(HeaderName),
    /// All values.
    Headers(HeaderName),
    Status,
    Size,
    Latency,
    Revision,
    Namespace,
    Service,
    Configuration,
    /// Known to queue-proxies only.
    Nothing,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    Js,
    Html,
    Query,
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, action)) = rest.split_once("{{") {
            let (action, after) = action.split_once("}}").ok_or(TemplateError::Unclosed)?;
            let trims_before = action.starts_with("- ");
            let trims_after = action.ends_with(" -");
            let before = match trims_before {
                true => before.trim_end(),
                false => before,
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(piece(action)?);
            rest = match trims_after {
                true => after.trim_start(),
                false => after,
            };
        }
        pieces.push(Piece::Text(format!("{}\n", rest.trim_end_matches('\n'))));
        let headers = pieces.iter().filter_map(|piece| match piece {
            Piece::Field(Field::Header(name) | Field::Headers(name), _) => Some(name.clone()),
            _ => None,
        });
        let headers: Vec<_> = headers
            .filter(|name| *name != USER_AGENT && *name != REFERER)
            .collect();
        Ok(Self { pieces, headers })
    }

    /// Header fields that it names, beside the usual ones.
    pub(super) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// The line, with its end.
    pub(super) fn fill(&self, value: impl Fn(&Field) -> String) -> String {
        let mut line = String::with_capacity(512);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line += text,
                Piece::Field(field, escape) => escape.append(&mut line, &value(field)),
            }
        }
        line
    }
}

/// An action: a field, or a function and its field, in either order.
fn piece(action: &str) -> Result<Piece, TemplateError> {
    let unknown = || TemplateError::Unknown(action.trim().to_owned());
    let inner = action
        .trim_start_matches("- ")
        .trim_end_matches(" -")
        .trim();
    let (inner, function) = match inner.split_once('|') {
        Some((field, function)) => (field.trim(), Some(function.trim())),
        None => match inner.split_once(' ') {
            Some((function @ ("js" | "html" | "urlquery"), field)) => {
                (field.trim(), Some(function))
            }
            _ => (inner, None),
        },
    };
    let escape = match function {
        None => Escape::None,
        Some("js") => Escape::Js,
        Some("html") => Escape::Html,
        Some("urlquery") => Escape::Query,
        Some(_) => return Err(unknown()),
    };
    let inner = inner.trim_start_matches('(').trim_end_matches(')');
    let field = field(inner).ok_or_else(unknown)?;
    Ok(Piece::Field(field, escape))
}

fn field(text: &str) -> Option<Field> {
    Some(match text {
        ".Request.Method" => Field::Method,
        ".Request.RequestURI" | ".Request.URL" => Field::Target,
        ".Request.Host" => Field::Host,
        ".Request.Proto" => Field::Protocol,
        ".Request.ContentLength" => Field::Length,
        ".Request.RemoteAddr" => Field::Client,
        ".Request.UserAgent" => Field::Header(USER_AGENT),
        ".Request.Referer" => Field::Header(REFERER),
        ".Response.Code" => Field::Status,
        ".Response.Size" => Field::Size,
        ".Response.Latency" => Field::Latency,
        ".Revision.Name" => Field::Revision,
        ".Revision.Namespace" => Field::Namespace,
        ".Revision.Service" => Field::Service,
        ".Revision.Configuration" => Field::Configuration,
        ".Revision.PodName" | ".Revision.PodIP" => Field::Nothing,
        ".TraceID" => Field::Trace,
        text => {
            let get = text.strip_prefix(".Request.Header.Get ");
            let index = text.strip_prefix("index .Request.Header ");
            let name = get.or(index)?.trim().strip_prefix('"')?.strip_suffix('"')?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            match get {
                Some(_) => Field::Header(name),
                None => Field::Headers(name),
            }
        }
    })
}

impl Escape {
    fn append(self, line: &mut String, text: &str) {
        use std::fmt::Write as _;
        if self == Self::None {
            return line.push_str(text);
        }
        for letter in text.chars() {
            // Writing to a string cannot fail.
            match (self, letter) {
                (Self::Js, '\\' | '\'' | '"') => write!(line, "\\{letter}"),
                (Self::Js, '<' | '>' | '&' | '=' | '\0'..' ') => {
                    write!(line, "\\u{:04X}", u32::from(letter))
                }
                (Self::Html, '<') => write!(line, "&lt;"),
                (Self::Html, '>') => write!(line, "&gt;"),
                (Self::Html, '&') => write!(line, "&amp;"),
                (Self::Html, '"') => write!(line, "&#34;"),
                (Self::Html, '\'') => write!(line, "&#39;"),
                (Self::Query, ' ') => write!(line, "+"),
                (Self::Query, letter)
                    if !letter.is_ascii_alphanumeric() && !"-_.~".contains(letter) =>
                {
                    let mut bytes = [0; 4];
                    let mut bytes = letter.encode_utf8(&mut bytes).bytes();
                    bytes.try_for_each(|byte| write!(line, "%{byte:02X}"))
                }
                (_, letter) => write!(line, "{letter}"),
            }
            .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> String {
        let template = Template::parse(template).unwrap();
        template.fill(|field| match field {
            Field::Method => "GET".to_owned(),
            Field::Target => "/a?b=\"c\"<\u{e4}".to_owned(),
            Field::Status => "200".to_owned(),
            field => format!("{field:?}"),
        })
    }

    #[test]
    fn fields_are_filled_in_and_escaped_as_asked() {
        let template = "{{.Request.Method}} {{js .Request.RequestURI}} {{ .Response.Code }}";
        assert_eq!(
            filled(template),
            "GET /a?b\\u003D\\\"c\\\"\\u003C\u{e4} 200\n"
        );
        assert_eq!(
            filled("{{.Request.RequestURI | html}}\n"),
            "/a?b=&#34;c&#34;&lt;\u{e4}\n"
        );
        assert_eq!(
            filled("{{urlquery .Request.URL}}"),
            "%2Fa%3Fb%3D%22c%22%3C%C3%A4\n"
        );
        assert_eq!(filled("a  {{- .Request.Method -}}  b"), "aGETb\n");
    }

    #[test]
    fn knatives_own_template_is_understood() {
        let template = r#"{"httpRequest": {"requestMethod": "{{.Request.Method}}", "requestUrl": "{{js .Request.RequestURI}}", "requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, "responseSize": "{{.Response.Size}}", "userAgent": "{{js .Request.UserAgent}}", "remoteIp": "{{js .Request.RemoteAddr}}", "serverIp": "{{.Revision.PodIP}}", "referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", "protocol": "{{.Request.Proto}}"}, "traceId": "{{index .Request.Header "X-B3-Traceid"}}", "trace": "{{.TraceID}}"}"#;
        let parsed = Template::parse(template).unwrap();
        assert_eq!(parsed.headers(), ["x-b3-traceid"]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let parse = |text: &str| Template::parse(text).map(drop);
        assert_eq!(parse("{{.Request"), Err(TemplateError::Unclosed));
        for action in [
            "if .Request",
            ".Request.Body",
            "printf \"%s\" .TraceID",
            "end",
        ] {
            let unknown = TemplateError::Unknown(action.to_owned());
            assert_eq!(parse(&format!("{{{{{action}}}}}")), Err(unknown));
        }
    }
}
