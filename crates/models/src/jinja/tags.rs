//! Where a template's tags stand, found without parsing what is in them; and the blocks at the top level of a file of macros, tests, snapshots or docs.
//!
//! dbt cuts its files into such blocks before any Jinja runs, and has kinds of them that Jinja does not know.

use std::ops::Range;

use super::error::JinjaError;
use crate::jinja::ast::Spot;

/// What a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// `{{ … }}`
    Expression,
    /// `{% … %}`
    Statement,
    /// `{# … #}`
    Comment,
}

/// A tag's place in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) kind: TagKind,
    /// With its delimiters.
    pub(crate) whole: Range<usize>,
    /// Between delimiters and whitespace control.
    pub(crate) inner: Range<usize>,
}

impl Tag {
    /// The statement's keyword.
    pub(crate) fn keyword<'s>(&self, source: &'s str) -> &'s str {
        let inner = source[self.inner.clone()].trim_start();
        &inner[..inner.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inner.len())]
    }

    /// What follows the keyword.
    pub(crate) fn rest<'s>(&self, source: &'s str) -> &'s str {
        source[self.inner.clone()].trim_start()[self.keyword(source).len()..].trim()
    }
}

/// The place of an offset.
pub(crate) fn spot_of(source: &str, offset: usize) -> Spot {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Spot {
        line: before.matches('\n').count() as u32 + 1,
        column: before[line_start..].chars().count() as u32 + 1,
    }
}

/// All tags, what is between `raw` and `endraw` left out.
pub(crate) fn tags(source: &str) -> Result<Vec<Tag>, JinjaError> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    let mut raw = false;
    while let Some(open) = next_open(bytes, at) {
        let kind = match bytes[open + 1] {
            b'{' => TagKind::Expression,
            b'%' => TagKind::Statement,
            _ => TagKind::Comment,
        };
        if raw && kind != TagKind::Statement {
            at = open + 2;
            continue;
        }
        let Some(close) = close_of(bytes, open, kind) else {
            if raw {
                at = open + 2;
                continue;
            }
            let what = match kind {
                TagKind::Expression => "`{{` is never closed by `}}`",
                TagKind::Statement => "`{%` is never closed by `%}`",
                TagKind::Comment => "`{#` is never closed by `#}`",
            };
            return Err(JinjaError::syntax(what, spot_of(source, open)));
        };
        let mut inner = open + 2..close;
        if inner.start < inner.end && matches!(bytes[inner.start], b'-' | b'+') {
            inner.start += 1;
        }
        if inner.start < inner.end && matches!(bytes[inner.end - 1], b'-' | b'+') {
            inner.end -= 1;
        }
        let tag = Tag { kind, whole: open..close + 2, inner };
        let keyword = if kind == TagKind::Statement { tag.keyword(source) } else { "" };
        if raw {
            if keyword != "endraw" {
                at = open + 2;
                continue;
            }
            raw = false;
        } else if keyword == "raw" {
            raw = true;
        }
        at = tag.whole.end;
        found.push(tag);
    }
    Ok(found)
}

fn next_open(bytes: &[u8], from: usize) -> Option<usize> {
    (from..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// Where a tag's closing delimiter begins. Strings are passed over, and so are the braces of a dict.
fn close_of(bytes: &[u8], open: usize, kind: TagKind) -> Option<usize> {
    let mut at = open + 2;
    let mut quote = None;
    let mut depth = 0usize;
    while at + 1 < bytes.len() {
        let (this, next) = (bytes[at], bytes[at + 1]);
        if kind == TagKind::Comment {
            if this == b'#' && next == b'}' {
                return Some(at);
            }
        } else if let Some(open_quote) = quote {
            if this == b'\\' {
                at += 1;
            } else if this == open_quote {
                quote = None;
            }
        } else {
            match this {
                b'\'' | b'"' => quote = Some(this),
                b'{' => depth += 1,
                b'}' if kind == TagKind::Expression && next == b'}' && depth == 0 => return Some(at),
                b'}' => depth = depth.saturating_sub(1),
                b'%' if kind == TagKind::Statement && next == b'}' => return Some(at),
                _ => {}
            }
        }
        at += 1;
    }
    None
}

/// A block at the top level of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// `macro`, `test`, `materialization`, `snapshot` or `docs`.
    pub(crate) kind: String,
    /// What stands in the opening tag behind the kind: a name, and for macros the parameters.
    pub(crate) header: String,
    /// From the opening tag's start to the closing tag's end.
    pub(crate) whole: Range<usize>,
    /// Between the two tags.
    pub(crate) contents: Range<usize>,
    /// Where it begins.
    pub(crate) spot: Spot,
}

impl Block {
    /// The name.
    pub(crate) fn name(&self) -> &str {
        let end = self.header.find(|c: char| !c.is_alphanumeric() && c != '_');
        &self.header[..end.unwrap_or(self.header.len())]
    }
}

const STATEMENTS_WITH_END: &[&str] = &["if", "for", "filter", "with", "call", "autoescape"];

/// The blocks of the kinds wanted; `data_test` is told as `test`.
pub(crate) fn blocks(source: &str, kinds: &[&str]) -> Result<Vec<Block>, JinjaError> {
    let mut found = Vec::new();
    let mut open: Option<(Tag, String)> = None;
    // Depth of other statements around, so that a macro within an `if` is not taken for one of the top level.
    let mut around = 0usize;
    for tag in tags(source)? {
        if tag.kind != TagKind::Statement {
            continue;
        }
        let keyword = tag.keyword(source).to_owned();
        let plain = if keyword == "data_test" { "test".to_owned() } else { keyword.clone() };
        match &open {
            Some((start, kind)) => {
                let ends = keyword == format!("end{kind}") || (kind == "test" && keyword == "enddata_test");
                if ends {
                    found.push(Block {
                        kind: kind.clone(),
                        header: start.rest(source).to_owned(),
                        whole: start.whole.start..tag.whole.end,
                        contents: start.whole.end..tag.whole.start,
                        spot: spot_of(source, start.whole.start),
                    });
                    open = None;
                } else if plain == *kind && kind != "docs" {
                    let message = format!("a `{kind}` begins within another `{kind}`");
                    return Err(JinjaError::syntax(message, spot_of(source, tag.whole.start)));
                }
            }
            None if kinds.contains(&plain.as_str()) && around == 0 => open = Some((tag, plain)),
            None if STATEMENTS_WITH_END.contains(&plain.as_str()) => around += 1,
            None if keyword.strip_prefix("end").is_some_and(|what| STATEMENTS_WITH_END.contains(&what)) => {
                around = around.saturating_sub(1);
            }
            None => {}
        }
    }
    match open {
        None => Ok(found),
        Some((tag, kind)) => Err(JinjaError::syntax(
            format!("`{{% {kind} … %}}` is never closed by `{{% end{kind} %}}`"),
            spot_of(source, tag.whole.start),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_around_strings_comments_and_raw() {
        let source = "{# {% macro no() %} #}\n{% raw %}{% macro no() %}{% endraw %}\n\
                      {%- macro yes(a='%}') -%} {{ {'a': {'b': 1}} }} {%- endmacro -%}\n{% data_test t(model) %}x{% enddata_test %}";
        let found = blocks(source, &["macro", "test"]).unwrap();
        let names: Vec<_> = found.iter().map(|block| (block.kind.as_str(), block.name())).collect();
        assert_eq!(names, [("macro", "yes"), ("test", "t")]);
        assert_eq!(found[0].spot, Spot { line: 3, column: 1 });
        assert_eq!(&source[found[1].contents.clone()], "x");
    }

    #[test]
    fn what_is_never_closed_is_named_with_its_place() {
        for (source, word, line) in
            [("a\n{{ x", "}}", 2), ("{% macro a() %}", "endmacro", 1), ("\n\n{% if 'x %}", "%}", 3)]
        {
            let error = blocks(source, &["macro"]).unwrap_err();
            assert!(error.message.contains(word), "{}", error.message);
            assert_eq!(error.spot.unwrap().line, line);
        }
    }
}
