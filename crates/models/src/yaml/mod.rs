//! YAML as dbt reads it: 1.1, by PyYAML's rules; every node knows where it was written.

mod scalar;

pub(crate) use scalar::resolve as plain_scalar;

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value as Json;

use crate::{
    error::{Problem, ProblemKind},
    place::{Place, Text},
    warning::Warning,
};

/// A file of a project has thousands of nodes at most; the bound is against aliases that multiply.
const NODES_MAX: usize = 1_000_000;

/// A node and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A scalar, resolved by YAML 1.1's rules.
    Scalar(Json),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file, merge keys resolved. Of a key that stands twice the last value is kept.
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    /// The entries of a mapping; none otherwise.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none otherwise.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(Json::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it says nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Json::Null))
    }

    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar(Json::Null) => "nothing",
            Kind::Scalar(Json::Bool(_)) => "a boolean",
            Kind::Scalar(Json::Number(_)) => "a number",
            Kind::Scalar(_) => "a text",
        }
    }

    /// Without places.
    pub fn to_json(&self) -> Json {
        match &self.kind {
            Kind::Scalar(json) => json.clone(),
            Kind::List(items) => items.iter().map(Node::to_json).collect(),
            Kind::Map(entries) => {
                Json::Object(entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect())
            }
        }
    }

    /// A problem at this node.
    pub fn wrong(&self, message: impl Into<String>) -> Problem {
        Problem::new(ProblemKind::Yaml, message).at(&self.place)
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar(_) => 0,
            Kind::List(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
}

fn place_of(text: &Arc<Text>, span: Span) -> Place {
    let width = if span.start.line() == span.end.line() {
        span.end.col().saturating_sub(span.start.col())
    } else {
        // What goes on for several lines is pointed at by its first character.
        1
    };
    Place::new(text, span.start.line(), span.start.col() + 1, width)
}

/// Parses one document. An empty one is nothing; a second one is an error.
pub fn parse(text: &Arc<Text>) -> Result<Node, Problem> {
    checked(text).map(|(root, _)| root)
}

/// The same, and the keys that stand once more in their mapping, in the order of the file. As with dbt that isn't looked for in a mapping that begins with a
/// merge key; behind another one a key that the merge brings too counts.
pub fn checked(text: &Arc<Text>) -> Result<(Node, Vec<Key>), Problem> {
    let wrong = |message: String, place: &Place| Problem::new(ProblemKind::Yaml, message).at(place);
    let mut open: Vec<(Open, Place, usize)> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut root: Option<Node> = None;
    let (mut documents, mut nodes) = (0, 0);
    let mut again: Vec<Key> = Vec::new();
    for event in Parser::new_from_str(&text.text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            let place = Place::new(text, at.line(), at.col() + 1, 1);
            wrong(format!("not valid YAML: {}", error.info()), &place)
                .hint("a value that holds `: ` or `#`, or begins with one of `*&!%@{[`, must be quoted")
        })?;
        let place = place_of(text, span);
        let (node, anchor) = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(wrong("a second YAML document begins here".into(), &place));
                }
                continue;
            }
            Event::SequenceStart(anchor, _) => {
                open.push((Open::List(Vec::new()), place, anchor));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push((Open::Map { entries: Vec::new(), key: None }, place, anchor));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((container, start, anchor)) = open.pop() else { continue };
                let kind = match container {
                    Open::List(items) => Kind::List(items),
                    Open::Map { entries, .. } => {
                        let merges = entries.iter().filter(|(key, _)| key.text == "<<");
                        let brought = merges.flat_map(|(_, node)| {
                            let many = matches!(node.kind, Kind::List(_)).then(|| node.items());
                            many.unwrap_or(std::slice::from_ref(node)).iter().flat_map(Node::entries)
                        });
                        let brought: Vec<&str> = brought.map(|(key, _)| key.text.as_str()).collect();
                        if entries.first().is_none_or(|(key, _)| key.text != "<<") {
                            let keys = entries.iter().map(|(key, _)| key);
                            again.extend(keys.filter(|key| brought.contains(&key.text.as_str())).cloned());
                        }
                        Kind::Map(merged(entries))
                    }
                };
                (Node { place: start, kind }, anchor)
            }
            Event::Scalar(value, style, anchor, tag) => {
                let tagged_text = tag.as_ref().is_some_and(|tag| tag.suffix == "str");
                let json = if style == ScalarStyle::Plain && !tagged_text {
                    scalar::resolve(&value)
                } else {
                    Json::String(value.into_owned())
                };
                (Node { place, kind: Kind::Scalar(json) }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = anchors.get(&anchor) else {
                    return Err(wrong("this alias stands inside what it names".into(), &place));
                };
                nodes += node.count();
                (node.clone(), 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
        };
        nodes += 1;
        if nodes > NODES_MAX {
            return Err(wrong(format!("more than {NODES_MAX} values"), &node.place));
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => root = Some(node),
            Some((Open::List(items), ..)) => items.push(node),
            Some((Open::Map { entries, key }, ..)) => match key.take() {
                Some(key) => {
                    let begins_with_merge = entries.first().is_some_and(|(first, _)| first.text == "<<");
                    if !begins_with_merge
                        && key.text != "<<"
                        && entries.iter().any(|(other, _)| other.text == key.text)
                    {
                        again.push(key.clone());
                    }
                    entries.retain(|(other, _)| other.text != key.text || key.text == "<<");
                    entries.push((key, node));
                }
                None => {
                    let Kind::Scalar(json) = &node.kind else {
                        return Err(wrong("a key must be a text".into(), &node.place));
                    };
                    let text = match json {
                        Json::String(text) => text.clone(),
                        // As the key of a mapping a number or boolean is told by its text.
                        other => other.to_string(),
                    };
                    *key = Some(Key { text, place: node.place });
                }
            },
        }
    }
    let empty = || Node { place: Place::new(text, 1, 1, 1), kind: Kind::Scalar(Json::Null) };
    again.sort_by_key(|key| (key.place.line, key.place.column));
    Ok((root.unwrap_or_else(empty), again))
}

/// What is warned of a key that stands once more.
pub fn stands_twice(key: &Key) -> Warning {
    Warning::of(
        "DuplicateYAMLKeysDeprecation",
        format!("{}: the key `{}` stands here once more; its last value counts", key.place, key.text),
    )
}

/// Resolves merge keys: what a mapping has itself counts more.
fn merged(entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
    if !entries.iter().any(|(key, _)| key.text == "<<") {
        return entries;
    }
    let (merges, own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| key.text == "<<");
    let mut all: Vec<(Key, Node)> = Vec::new();
    for (_, node) in merges {
        let sources = if let Kind::List(items) = node.kind { items } else { vec![node] };
        for source in sources {
            let new: Vec<_> = source
                .entries()
                .iter()
                .filter(|(key, _)| !all.iter().any(|(other, _)| other.text == key.text))
                .cloned()
                .collect();
            all.extend(new);
        }
    }
    all.retain(|(key, _)| !own.iter().any(|(other, _)| other.text == key.text));
    all.extend(own);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Node, Problem> {
        parse(&Arc::new(Text { file: "f.yml".into(), text: text.into() }))
    }

    #[test]
    fn nodes_know_where_they_stand() {
        let root = of("a:\n  bé: x\n  c: [1, 'q']\n").unwrap();
        let a = root.get("a").unwrap();
        let (key, value) = &a.entries()[0];
        assert_eq!((key.place.line, key.place.column, key.place.width), (2, 3, 2));
        assert_eq!((value.place.line, value.place.column), (2, 7));
        assert_eq!(a.get("c").unwrap().items()[1].as_str(), Some("q"));
    }

    #[test]
    fn merge_keys_give_way_to_what_is_there() {
        let root = of("base: &b {x: 1, y: 2}\nover: {<<: *b, y: 3}\n").unwrap();
        assert_eq!(root.get("over").unwrap().to_json(), serde_json::json!({"x": 1, "y": 3}));
    }

    #[test]
    fn keys_that_stand_twice_are_told() {
        let text = "a: 1\nb: {c: 1, c: 2}\na: 3\nbase: &b {x: 1}\nover: {<<: *b, x: 2, y: 1, y: 2}\nbehind: {z: 1, <<: *b, x: 2}\n";
        let (root, again) = checked(&Arc::new(Text { file: "f.yml".into(), text: text.into() })).unwrap();
        let told: Vec<(&str, usize, usize)> =
            again.iter().map(|key| (key.text.as_str(), key.place.line, key.place.column)).collect();
        assert_eq!(told, [("c", 2, 11), ("a", 3, 1), ("x", 6, 24)]);
        assert_eq!(root.to_json()["a"], 3);
    }

    #[test]
    fn aliases_do_not_multiply_without_bound() {
        let mut bomb = String::from("l0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..8 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("l{level}: &a{level} [{below}]\n"));
        }
        assert!(of(&bomb).unwrap_err().message.contains("more than"));
    }

    #[test]
    fn what_is_no_yaml_is_shown() {
        let problem = of("models:\n  - name: a\n   columns: x\n").unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Yaml);
        assert_eq!(problem.place.unwrap().line, 3);
    }
}
