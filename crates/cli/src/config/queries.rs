//! `queries/*.sql`: saved queries, each a SELECT under a head that says what it is called.

use std::{io, path::PathBuf};

use millstream_api::host::{SavedQueries, SavedQuery};

use super::{
    access::{named_roles, AccessSettings},
    check::check_query,
    error::{ConfigError, Problem, ProblemKind},
    files, text_at, tree, Project,
};

/// What the files end with.
const SUFFIXES: &[&str] = &["sql"];

/// The saved queries' files by path. A project without any has no directory.
pub(crate) fn query_files(project: &Project) -> io::Result<Vec<PathBuf>> {
    files::below(&project.queries, SUFFIXES)
}

/// Reads them.
pub(crate) fn read_queries(project: &Project) -> Result<(SavedQueries, Vec<ConfigError>), ConfigError> {
    let read = files::read_each(&project.dir, &project.queries, SUFFIXES, |of, _| {
        parse(of.file, of.name, of.text, &project.access).map_err(ConfigError::Wrong)
    })?;
    Ok((SavedQueries { served: read.served, broken: read.broken }, read.errors))
}

fn parse(file: &str, name: &str, text: &str, access: &AccessSettings) -> Result<SavedQuery, Vec<Problem>> {
    let (head, sql) = files::split(file, text).map_err(|problem| vec![problem])?;
    let root = tree::parse(file, &head).map_err(|problem| vec![problem])?;
    let mut problems = check_query(&root);
    let roles = named_roles(&root, access, "the query", &mut problems);
    if sql.trim().is_empty() {
        let problem = Problem::new(ProblemKind::MissingKey, format!("{file} has no SELECT"), None);
        problems.push(problem.hint("write one below the head"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(SavedQuery {
        name: name.to_owned(),
        title: text_at(&root, &["title"]).unwrap_or(name).to_owned(),
        description: text_at(&root, &["description"]).map(str::to_owned),
        roles,
        file: file.to_owned(),
        sql: sql.trim().trim_end_matches(';').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_a_query_is_called_and_its_file_does_otherwise() {
        let read = |text: &str| parse("queries/top.sql", "top", text, &AccessSettings::default());
        let query = read("/*---\ntitle: Top customers\ndescription: By orders\n---*/\nSELECT 1;\n").unwrap();
        assert_eq!((query.title.as_str(), query.sql.as_str()), ("Top customers", "SELECT 1"));
        assert_eq!(query.description.as_deref(), Some("By orders"));
        assert_eq!(read("SELECT 1").unwrap().title, "top");
        for (text, said) in [
            ("/*---\ntitel: x\n---*/\nSELECT 1", "unknown key `titel`"),
            ("/*---\nroles: [clerk]\n---*/\nSELECT 1", "the project has no roles"),
            ("/*---\ntitle: x\n---*/\n", "has no SELECT"),
            ("/*---\ntitle: x\n", "does not end"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems[0].to_string().contains(said), "{text}: {problems:?}");
        }
    }
}
