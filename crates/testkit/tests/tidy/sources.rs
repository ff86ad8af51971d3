//! Rules about the source files themselves.

use std::fs;
use std::path::Path;

use crate::tree::{assert_none, files, root, texts};

/// About 600 lines fit in a head; this leaves room to finish a concept before it is split.
const FILE_LINES_MAX: usize = 700;

/// Names that say nothing: a module is a concept.
const NAMES_THAT_SAY_NOTHING: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];

/// Marks of work that is not done. Spelled in pieces, for this file is read too.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[", "ignore"), concat!("HA", "CK:")];

/// What only one machine has, and hosts that only the package managers need to know.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("registry.npm", "js.org"),
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("files.pythonhosted", ".org"),
    concat!("proxy.golang", ".org"),
];

fn lines_with<'a>(path: &str, text: &'a str, marks: &'a [&str]) -> Vec<String> {
    let lines = text.lines().enumerate();
    let hits =
        lines.filter_map(|(number, line)| Some((number, marks.iter().find(|mark| line.contains(*mark))?)));
    hits.map(|(number, mark)| format!("{path}:{}: {mark}", number + 1)).collect()
}

#[test]
fn every_file_opens_with_what_lives_in_it() {
    let found = texts(".rs").into_iter().filter(|(_, text)| !text.starts_with("//!"));
    assert_none("open the file with `//!`: what lives here and why", found.map(|(path, _)| path).collect());
}

#[test]
fn a_file_fits_in_a_head() {
    let found = texts(".rs").into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{path}: {lines} lines"))
    });
    assert_none("split the file along a concept", found.collect());
}

#[test]
fn a_module_is_named_for_a_concept() {
    let found = files().into_iter().filter(|path| {
        let parts = Path::new(path).iter().filter_map(|part| part.to_str());
        path.ends_with(".rs")
            && parts
                .map(|part| part.trim_end_matches(".rs"))
                .any(|part| NAMES_THAT_SAY_NOTHING.contains(&part))
    });
    assert_none("name the module for what it is about", found.collect());
}

#[test]
fn nothing_is_left_for_later() {
    let sources = [".rs", ".sh", ".sql", ".toml", ".yml", "Makefile"].into_iter().flat_map(texts);
    let found = sources.flat_map(|(path, text)| lines_with(&path, &text, UNFINISHED));
    assert_none("finish it, or open an issue", found.collect());
}

#[test]
fn nothing_names_a_machine_or_a_package_host() {
    let readable = files().into_iter().filter(|path| !path.ends_with(".lock"));
    let found = readable.flat_map(|path| {
        let text = fs::read_to_string(root().join(&path)).unwrap_or_default();
        lines_with(&path, &text, FOREIGN)
    });
    assert_none("this holds on one machine only", found.collect());
}

#[test]
fn text_ends_in_one_newline_and_lines_in_no_blank() {
    let sources = [".rs", ".md", ".sql", ".toml", ".yml", "Makefile"].into_iter().flat_map(texts);
    let found = sources.flat_map(|(path, text)| {
        let blank = text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t']));
        let mut found: Vec<_> =
            blank.map(|(number, _)| format!("{path}:{}: trailing blank", number + 1)).collect();
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            found.push(format!("{path}: must end in one newline"));
        }
        found
    });
    assert_none("tidy the text", found.collect());
}
