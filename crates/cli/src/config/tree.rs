//! YAML as a tree whose every node knows where it was written.
//!
//! The library gives events with positions; the tree is ours, because interpolation, overrides and errors all need the position
//! of keys as well as of values, and the values as they were typed.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{
    error::{Problem, ProblemKind},
    place::Place,
    secret::redact_lines,
};

/// A file of a person's own has hundreds of nodes; the bound is against aliases that multiply.
const NODES_MAX: usize = 100_000;

/// A node and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Text as typed, with quotes and escapes resolved.
    Scalar {
        text: String,
        /// Whether it was quoted or a block: never a number, boolean or null.
        quoted: bool,
    },
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) place: Place,
}

impl Node {
    /// What it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { text, quoted: false } if text.parse::<f64>().is_ok() => "a number",
            Kind::Scalar { text, quoted: false } if matches!(text.as_str(), "true" | "false") => "a boolean",
            Kind::Scalar { .. } => "a text",
        }
    }

    /// Whether it says nothing (`key:` alone, `~`, `null`).
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, quoted: false } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The value of a key, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }
}

/// Turns spans of the text into places.
struct Lines {
    file: Arc<str>,
    /// Passwords covered: they are only ever shown.
    lines: Vec<Arc<str>>,
}

impl Lines {
    fn place(&self, line: usize, column: usize, width: usize) -> Place {
        let line = line.clamp(1, self.lines.len().max(1));
        Place::File {
            file: self.file.clone(),
            line,
            column: column + 1,
            width: width.max(1),
            text: self.lines.get(line - 1).cloned().unwrap_or_default(),
        }
    }

    fn of(&self, span: Span) -> Place {
        let width = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            // What goes on for several lines is pointed at by its first character.
            1
        };
        self.place(span.start.line(), span.start.col(), width)
    }
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
}

/// Parses one document. An empty one is an empty mapping.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Problem> {
    let lines = Lines { file: file.into(), lines: redact_lines(text) };
    let wrong = |message: String, place| Problem::new(ProblemKind::Syntax, message, Some(place));
    let mut open: Vec<(Open, Place, usize)> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut root: Option<Node> = None;
    let mut documents = 0;
    let mut nodes = 0;

    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            wrong(format!("not valid YAML: {}", error.info()), lines.place(at.line(), at.col(), 1))
                .hint("a value that holds `: `, `#` or begins with one of `*&!%@{[` must be quoted")
        })?;
        let place = lines.of(span);
        let (node, anchor) = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(wrong("a second YAML document begins here".into(), place)
                        .hint("a project is one document: remove the `---`"));
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
                    Open::Map { entries, .. } => Kind::Map(entries),
                };
                (Node { place: start, kind }, anchor)
            }
            Event::Scalar(value, style, anchor, _) => {
                let quoted = style != ScalarStyle::Plain;
                (Node { place, kind: Kind::Scalar { text: value.into_owned(), quoted } }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = anchors.get(&anchor) else {
                    return Err(wrong("this alias stands inside what it names".into(), place));
                };
                nodes += node.count();
                (node.clone(), 0)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
        };
        nodes += 1;
        if nodes > NODES_MAX {
            return Err(wrong(format!("more than {NODES_MAX} values"), node.place));
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => root = Some(node),
            Some((Open::List(items), ..)) => items.push(node),
            Some((Open::Map { entries, key }, ..)) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Kind::Scalar { text, .. } = node.kind else {
                        return Err(wrong("a key must be a text".into(), node.place));
                    };
                    if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text) {
                        let message = format!("`{text}` stands here a second time");
                        return Err(Problem::new(ProblemKind::DuplicateKey, message, Some(node.place))
                            .hint(format!("it is set at {} already: keep one of the two", first.place)));
                    }
                    *key = Some(Key { text, place: node.place });
                }
            },
        }
    }
    let mut root = root.unwrap_or(Node { place: lines.place(1, 0, 1), kind: Kind::Map(Vec::new()) });
    if root.is_null() {
        root.kind = Kind::Map(Vec::new());
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: &Place) -> (usize, usize, usize) {
        match place {
            Place::File { line, column, width, .. } => (*line, *column, *width),
            Place::Variable(_) => panic!("not in the file"),
        }
    }

    #[test]
    fn keys_and_values_know_where_they_stand() {
        let root = parse("f.yml", "a:\n  bé: x\n  c: [1, 'q']\n").unwrap();
        let a = root.get("a").unwrap();
        let Kind::Map(entries) = &a.kind else { panic!("{a:?}") };
        assert_eq!(at(&entries[0].0.place), (2, 3, 2));
        assert_eq!(at(&entries[0].1.place), (2, 7, 1));
        let Kind::List(items) = &a.get("c").unwrap().kind else { panic!("not a list") };
        assert_eq!(at(&items[1].place), (3, 10, 3));
        assert!(matches!(&items[1].kind, Kind::Scalar { quoted: true, .. }));
        assert_eq!(items[0].describe(), "a number");
    }

    #[test]
    fn an_alias_repeats_what_it_names_but_does_not_multiply_without_bound() {
        let root = parse("f.yml", "a: &x {k: v}\nb: *x\n").unwrap();
        assert!(root.get("b").unwrap().get("k").is_some());
        let mut bomb = String::from("l0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..8 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("l{level}: &a{level} [{below}]\n"));
        }
        assert!(parse("f.yml", &bomb).unwrap_err().message.contains("more than"));
    }

    #[test]
    fn a_key_twice_names_the_first() {
        let problem = parse("f.yml", "a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(problem.kind, ProblemKind::DuplicateKey);
        assert!(problem.hint.unwrap().contains("f.yml:1:1"));
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        for text in ["", "# only a comment\n", "---\n", "~\n"] {
            assert!(
                matches!(parse("f.yml", text).unwrap().kind, Kind::Map(entries) if entries.is_empty()),
                "{text}"
            );
        }
    }
}
