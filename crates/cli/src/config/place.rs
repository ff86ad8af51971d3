//! Where a setting was written, so that an error can show it.

use std::{fmt, sync::Arc};

use unicode_width::UnicodeWidthStr;

/// A stretch of one line of the file, or the environment variable that set a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// The file's name as a person would type it.
        file: Arc<str>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// How many characters are meant; at least 1.
        width: usize,
        /// The whole line, without its end.
        text: Arc<str>,
    },
    /// In an environment variable such as `MILLSTREAM__WAREHOUSE__DUCKDB`, whose value may be secret and is not shown.
    Variable(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column, .. } => write!(f, "{file}:{line}:{column}"),
            Place::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

impl Place {
    /// The place, the line and a caret under what is meant.
    pub fn snippet(&self) -> String {
        let Place::File { line, column, width, text, .. } = self else {
            return format!("--> {self}");
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        // A tab is as wide as the terminal says; the caret stands right only under what was printed the same.
        let before: String = text.chars().take(column - 1).collect::<String>().replace('\t', "    ");
        let meant: String = text.chars().skip(column - 1).take(*width).collect();
        let text = text.replace('\t', "    ");
        let carets = "^".repeat(UnicodeWidthStr::width(meant.as_str()).max(1));
        let indent = " ".repeat(UnicodeWidthStr::width(before.as_str()));
        format!("{gutter}--> {self}\n{gutter} |\n{number} | {text}\n{gutter} | {indent}{carets}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_meant_behind_wide_characters_and_tabs() {
        let place = Place::File {
            file: "millstream.yml".into(),
            line: 12,
            column: 5,
            width: 4,
            text: "\t名前\tslot: x".into(),
        };
        assert_eq!(
            place.snippet(),
            "  --> millstream.yml:12:5\n   |\n12 |     名前    slot: x\n   |             ^^^^"
        );
    }
}
