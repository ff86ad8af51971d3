//! Files of the project that define something: where they are, and the head that some of them have.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use millstream_core::Diagnostic;

use super::error::{ConfigError, Problem, ProblemKind};

/// What a head begins and ends with, each on a line of its own.
const HEAD_BEGIN: &str = "/*---";
const HEAD_END: &str = "---*/";

/// The files with one of these suffixes in the directory and those below it, by path. A directory that is not there has none.
pub(super) fn below(dir: &Path, suffixes: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // A link could lead in a circle, and is no place for a file of one's own.
            let kind = entry.file_type()?;
            let path = entry.path();
            let suffix = path.extension().and_then(|suffix| suffix.to_str());
            if kind.is_dir() {
                left.push(path);
            } else if suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A file that defines something.
pub(super) struct Source<'a> {
    /// Relative to the project.
    pub(super) file: &'a str,
    /// Relative to its directory, without the suffix.
    pub(super) name: &'a str,
    /// What stands in it.
    pub(super) text: &'a str,
}

/// What the files of a directory came to.
pub(super) struct Defined<T> {
    /// What the good ones define, by path.
    pub(super) served: Vec<T>,
    /// The others, and what is wrong with each, for a page.
    pub(super) broken: Vec<(String, String)>,
    /// The same as errors.
    pub(super) errors: Vec<ConfigError>,
}

/// Reads files, each with what those before it define. What is wrong with one does not keep others from being served.
pub(super) fn read_each<T>(
    project: &Path,
    dir: &Path,
    suffixes: &[&str],
    mut read: impl FnMut(&Source<'_>, &[T]) -> Result<T, ConfigError>,
) -> Result<Defined<T>, ConfigError> {
    let mut defined = Defined { served: Vec::new(), broken: Vec::new(), errors: Vec::new() };
    for path in below(dir, suffixes).map_err(unreadable(dir))? {
        let file = path.strip_prefix(project).unwrap_or(&path).display().to_string();
        let name = path.strip_prefix(dir).unwrap_or(&path).with_extension("").display().to_string();
        let text = fs::read_to_string(&path).map_err(unreadable(&path));
        match text.and_then(|text| read(&Source { file: &file, name: &name, text: &text }, &defined.served)) {
            Ok(one) => defined.served.push(one),
            Err(error) => {
                defined.broken.push((file, told(&error)));
                defined.errors.push(error);
            }
        }
    }
    Ok(defined)
}

/// That a file can't be read.
fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ConfigError {
    let path = path.to_owned();
    move |source| ConfigError::Unreadable { path, source }
}

/// What is wrong with a file, for a page: the message, and where it is below.
pub(super) fn told(error: &ConfigError) -> String {
    let parts = [Some(error.to_string()), error.detail(), error.hint()];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

/// The head, with its lines where they are in the file, and the SQL below it.
pub(super) fn split<'a>(file: &str, text: &'a str) -> Result<(String, &'a str), Problem> {
    let Some(rest) = text.trim_start_matches(['\u{feff}', '\n', '\r', ' ', '\t']).strip_prefix(HEAD_BEGIN)
    else {
        return Ok((String::new(), text));
    };
    let lines_before = text[..text.len() - rest.len()].matches('\n').count();
    let Some(end) = rest.find(HEAD_END) else {
        let message = format!("the head of {file} does not end");
        let problem = Problem::new(ProblemKind::Syntax, message, None);
        return Err(problem.hint(format!("write {HEAD_END} below its last line")));
    };
    let head = format!("{}{}", "\n".repeat(lines_before), &rest[..end]);
    Ok((head, &rest[end + HEAD_END.len()..]))
}
