//! Where something was written, so that an error can show it.

use std::{fmt, sync::Arc};

/// A file's text, shared by all places in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// The file, as a person would name it: relative to the project.
    pub file: Arc<str>,
    /// What it holds.
    pub text: String,
}

/// A stretch of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub text: Arc<Text>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters are meant; at least 1.
    pub width: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.text.file, self.line, self.column)
    }
}

impl Place {
    /// The place of a line and column; what lies outside of the text is drawn into it.
    pub fn new(text: &Arc<Text>, line: usize, column: usize, width: usize) -> Self {
        Place { text: text.clone(), line: line.max(1), column: column.max(1), width: width.max(1) }
    }

    /// The place, the line and a caret under what is meant.
    pub fn snippet(&self) -> String {
        let line = self.text.text.lines().nth(self.line - 1).unwrap_or_default();
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let before: String =
            line.chars().take(self.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(self.width.min(line.chars().count().saturating_sub(self.column - 1)).max(1));
        format!("{gutter}--> {self}\n{gutter} |\n{number} | {line}\n{gutter} | {before}{carets}")
    }
}

/// The name nearest to one that isn't there, if one is near enough to have been meant.
pub fn nearest<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = (wanted.chars().count() / 3).clamp(1, 3);
    let distances = names.into_iter().map(|name| (distance(wanted, name), name));
    distances.filter(|(distance, _)| *distance <= allowed).min().map(|(_, name)| name)
}

/// Edits from one to the other: inserted, removed, replaced, two neighbours swapped.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) =
        (left.to_lowercase().chars().collect(), right.to_lowercase().chars().collect());
    if left.len().abs_diff(right.len()) > 3 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_may_have_been_meant() {
        assert_eq!(nearest("stg_ordres", ["stg_orders", "stg_items"]), Some("stg_orders"));
        assert_eq!(nearest("orders", ["customers"]), None);
    }

    #[test]
    fn a_snippet_shows_the_line_and_points_at_the_column() {
        let text = Arc::new(Text { file: "models/a.sql".into(), text: "select\n\t{{ rf('a') }}\n".into() });
        let place = Place::new(&text, 2, 5, 2);
        assert_eq!(place.snippet(), " --> models/a.sql:2:5\n  |\n2 | \t{{ rf('a') }}\n  | \t   ^^");
    }
}
