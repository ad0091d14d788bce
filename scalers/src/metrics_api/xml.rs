//! XML as a tree like JSON; the module's documentation has the mapping.

use std::borrow::Cow;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

/// Deepest element.
const MAX_DEPTH: usize = 100;

/// An element that is not complete.
#[derive(Debug, Default)]
struct Element {
    name: String,
    children: Map<String, Value>,
    text: String,
}

/// The tree of a document; `None` where it is not well formed, too deep, or has entities of its own.
pub(super) fn tree(text: &str) -> Option<Value> {
    let mut reader = Reader::from_str(text);
    // The bottom stands for the document, whose only child is the root element.
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return None;
                }
                open.push(element(&start)?);
            }
            Event::Empty(start) => {
                let element = element(&start)?;
                close(element, open.last_mut()?);
            }
            Event::End(_) => {
                let element = open.pop()?;
                close(element, open.last_mut()?);
            }
            Event::Text(text) => {
                let text = text.xml10_content().ok()?;
                open.last_mut()?.text.push_str(&text);
            }
            Event::CData(text) => {
                let text = text.xml10_content().ok()?;
                open.last_mut()?.text.push_str(&text);
            }
            Event::GeneralRef(entity) => {
                let text = resolve(&entity)?;
                open.last_mut()?.text.push_str(&text);
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    let document = open.pop()?;
    let is_whole = open.is_empty() && document.text.trim().is_empty();
    let has_root = document.children.len() == 1;
    let root = document.children.values().next();
    // Two elements of one name at the top would have become an array.
    let is_one = root.is_some_and(|root| !root.is_array());
    (is_whole && has_root && is_one).then_some(Value::Object(document.children))
}

fn element(start: &BytesStart<'_>) -> Option<Element> {
    let mut element = Element {
        name: name(start.local_name().as_ref())?,
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let key = format!("-{}", name(attribute.key.local_name().as_ref())?);
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .ok()?
            .into_owned();
        add(&mut element.children, key, Value::String(value));
    }
    Some(element)
}

fn name(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Hangs a complete element into its parent.
fn close(mut element: Element, parent: &mut Element) {
    let text = element.text.trim();
    let value = if element.children.is_empty() {
        Value::String(text.to_owned())
    } else {
        if !text.is_empty() {
            let text = Value::String(text.to_owned());
            add(&mut element.children, "_text".to_owned(), text);
        }
        Value::Object(element.children)
    };
    add(&mut parent.children, element.name, value);
}

/// Several of one name are an array.
fn add(children: &mut Map<String, Value>, name: String, value: Value) {
    match children.get_mut(&name) {
        Some(Value::Array(several)) => several.push(value),
        Some(one) => {
            let first = one.take();
            *one = Value::Array(vec![first, value]);
        }
        None => {
            children.insert(name, value);
        }
    }
}

/// A character, or one of the five entities that every document has.
fn resolve(entity: &BytesRef<'_>) -> Option<Cow<'static, str>> {
    if let Some(character) = entity.resolve_char_ref().ok()? {
        return Some(Cow::Owned(character.to_string()));
    }
    let name = entity.decode().ok()?;
    resolve_predefined_entity(&name).map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_with_nothing_but_text_are_that_text() {
        let text = "<?xml version=\"1.0\"?>\n<!-- c -->\n<a>\n <b> 7 </b>\n <c/>\n</a>\n";
        assert_eq!(tree(text), Some(json!({"a": {"b": "7", "c": ""}})));
        assert_eq!(tree("<a>7</a>"), Some(json!({"a": "7"})));
    }

    #[test]
    fn elements_of_one_name_are_an_array_and_attributes_are_keys() {
        let text = r#"<queues total="2"><queue name="a">1</queue><queue name="b"><size>2</size></queue></queues>"#;
        let wanted = json!({"queues": {
            "-total": "2",
            "queue": [
                {"-name": "a", "_text": "1"},
                {"-name": "b", "size": "2"},
            ],
        }});
        assert_eq!(tree(text), Some(wanted));
    }

    #[test]
    fn prefixes_are_dropped_and_characters_resolved() {
        let text = r#"<x:a xmlns:x="urn:x"><x:b>1 &lt; &#50;</x:b><![CDATA[<3>]]></x:a>"#;
        let wanted = json!({"a": {"-x": "urn:x", "b": "1 < 2", "_text": "<3>"}});
        assert_eq!(tree(text), Some(wanted));
    }

    #[test]
    fn what_is_not_well_formed_is_none() {
        let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        for text in [
            "",
            "7",
            "{\"a\": 1}",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/><a/>",
            "<a/>text",
            "<a>&unknown;</a>",
            "<a b=c/>",
            deep.as_str(),
        ] {
            assert_eq!(tree(text), None, "{text}");
        }
    }

    #[test]
    fn entities_of_the_document_are_not_expanded() {
        let text = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>";
        assert_eq!(tree(text), None);
    }
}
