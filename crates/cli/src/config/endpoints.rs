//! `api/*.sql`: endpoints, each a SELECT under a head in YAML between `/*---` and `---*/`.

use std::{io, path::PathBuf};

use millstream_api::{
    endpoint::{limit_parameter, Endpoint, Kind, Param},
    host::Endpoints,
};

use super::{
    access::{named_roles, AccessSettings},
    check::check_head,
    error::{ConfigError, Problem, ProblemKind},
    files,
    place::Place,
    scalar, text_at,
    tree::{self, Kind as NodeKind, Node},
    units, Project,
};

/// What the files end with.
const SUFFIXES: &[&str] = &["sql"];

/// The endpoints' files by path. A project without endpoints has no directory.
pub(crate) fn endpoint_files(project: &Project) -> io::Result<Vec<PathBuf>> {
    files::below(&project.api, SUFFIXES)
}

/// Reads them.
pub(crate) fn read_endpoints(project: &Project) -> Result<(Endpoints, Vec<ConfigError>), ConfigError> {
    let read = files::read_each(&project.dir, &project.api, SUFFIXES, |of, others: &[Endpoint]| {
        let endpoint = parse(of.file, &format!("/{}", of.name), of.text, &project.access);
        let endpoint = endpoint.map_err(ConfigError::Wrong)?;
        match others.iter().find(|other| other.path == endpoint.path) {
            Some(other) => {
                let message =
                    format!("{} answers at {}, where {} answers already", of.file, endpoint.path, other.file);
                let problem = Problem::new(ProblemKind::BadValue, message, None);
                Err(problem.hint("give one of them another `path`").into())
            }
            None => Ok(endpoint),
        }
    })?;
    Ok((Endpoints { served: read.served, broken: read.broken }, read.errors))
}

/// One file. `default_path`: where it answers unless its head says otherwise.
fn parse(
    file: &str,
    default_path: &str,
    text: &str,
    access: &AccessSettings,
) -> Result<Endpoint, Vec<Problem>> {
    let (head, sql) = files::split(file, text).map_err(|problem| vec![problem])?;
    let root = tree::parse(file, &head).map_err(|problem| vec![problem])?;
    let mut problems = check_head(&root);
    let params: Vec<(Param, Place)> = match root.get("params").map(|node| &node.kind) {
        Some(NodeKind::Map(entries)) if problems.is_empty() => {
            entries.iter().map(|(key, node)| (param(&key.text, node), key.place.clone())).collect()
        }
        _ => Vec::new(),
    };
    for (param, place) in &params {
        problems.extend(wrong(param, place));
    }
    let roles = named_roles(&root, access, "the endpoint", &mut problems);
    if sql.trim().is_empty() {
        let problem = Problem::new(ProblemKind::MissingKey, format!("{file} has no SELECT"), None);
        problems.push(problem.hint("write one below the head"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let sql = sql.trim().trim_end_matches(';');
    Ok(Endpoint {
        path: text_at(&root, &["path"]).unwrap_or(default_path).to_owned(),
        file: file.to_owned(),
        description: text_at(&root, &["description"]).map(str::to_owned),
        params: params.into_iter().map(|(param, _)| param).collect(),
        cache: text_at(&root, &["cache"]).and_then(units::parse_duration),
        live: text_at(&root, &["live"]) == Some("true"),
        roles,
        sql: sql.to_owned(),
        limited_by: limit_parameter(sql),
    })
}

fn param(name: &str, node: &Node) -> Param {
    let text = |key: &str| text_at(node, &[key]).map(str::to_owned);
    let number = |key: &str| text_at(node, &[key]).and_then(|text| text.parse().ok());
    let kind = Kind::ALL.into_iter().find(|(name, _)| text_at(node, &["type"]) == Some(name));
    let default = text("default");
    let choices = match node.get("enum").map(|node| &node.kind) {
        Some(NodeKind::List(items)) => items.iter().filter_map(scalar).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Param {
        name: name.to_owned(),
        kind: kind.map_or(Kind::String, |(_, kind)| kind),
        description: text("description"),
        required: text_at(node, &["required"]).map_or(default.is_none(), |text| text == "true"),
        default,
        choices,
        min: number("min"),
        max: number("max"),
    }
}

/// What a parameter can't be: a name that SQL could not have behind `$`, a default or a choice that it would refuse itself.
fn wrong(param: &Param, place: &Place) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |message: String, hint: &str| {
        problems.push(Problem::new(ProblemKind::BadValue, message, Some(place.clone())).hint(hint));
    };
    let starts = param.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !param.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        add(
            format!("`{}` can't be the name of a parameter", param.name),
            "letters, digits and underscores: it stands behind $ in the SQL",
        );
    }
    let unbounded = Param { choices: Vec::new(), ..param.clone() };
    for choice in param.choices.iter().filter(|choice| unbounded.read(choice).is_err()) {
        add(format!("`{choice}` is not {}", unbounded.expected()), "correct the list, or the type");
    }
    if let Some(default) = param.default.as_ref().filter(|default| param.read(default).is_err()) {
        add(
            format!("the default `{default}` is not {}", param.expected()),
            "correct the default, or what is allowed",
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Result<Endpoint, String> {
        parse("api/orders.sql", "/orders", text, &AccessSettings::default()).map_err(|problems| {
            let error = ConfigError::Wrong(problems);
            let detail = millstream_core::Diagnostic::detail(&error).unwrap_or_default();
            format!("{error}\n{detail}")
        })
    }

    #[test]
    fn a_head_says_what_the_endpoint_takes() {
        let endpoint = read(
            "/*---\npath: /orders/all\ndescription: All of them\nparams:\n  status: {type: string, default: open, enum: [open, all]}\n  \
             limit: {type: integer, default: 100, min: 1, max: 10000}\n  day: {type: date, required: false}\ncache: 10s\nlive: true\n---*/\nSELECT 1;\n",
        )
        .unwrap();
        assert_eq!((endpoint.path.as_str(), endpoint.sql.as_str()), ("/orders/all", "SELECT 1"));
        assert_eq!((endpoint.cache, endpoint.live), (Some(Duration::from_secs(10)), true));
        let [status, limit, day] = &endpoint.params[..] else { panic!("{:?}", endpoint.params) };
        assert_eq!((status.choices.len(), status.required), (2, false));
        assert_eq!(
            (limit.min, limit.max, limit.default.as_deref()),
            (Some(1.0), Some(10_000.0), Some("100"))
        );
        assert!(!day.required && day.default.is_none());
    }

    #[test]
    fn a_file_without_a_head_answers_at_its_name() {
        let endpoint = read("SELECT 1").unwrap();
        assert_eq!((endpoint.path.as_str(), endpoint.params.len()), ("/orders", 0));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, said) in [
            ("/*---\npath: orders\n---*/\nSELECT 1", "api/orders.sql:2:7"),
            ("/*---\npath: /metrics/x\n---*/\nSELECT 1", "must be a path of plain segments"),
            ("/*---\npath: /../x\n---*/\nSELECT 1", "must be a path of plain segments"),
            ("\n/*---\nparms: {}\n---*/\nSELECT 1", "api/orders.sql:3:1"),
            ("/*---\nparams:\n  n: {type: int}\n---*/\nSELECT 1", "did you mean"),
            (
                "/*---\nparams:\n  n: {type: integer, default: x}\n---*/\nSELECT 1",
                "the default `x` is not a whole number",
            ),
            (
                "/*---\nparams:\n  n: {type: integer, enum: [1, two]}\n---*/\nSELECT 1",
                "`two` is not a whole number",
            ),
            ("/*---\nparams:\n  a-b: {type: integer}\n---*/\nSELECT 1", "can't be the name of a parameter"),
            ("/*---\nroles: [clerk]\n---*/\nSELECT 1", "the project has no roles"),
            ("/*---\nroles: clerk\n---*/\nSELECT 1", "must be a list"),
            ("/*---\npath: /x\n", "does not end"),
            ("/*---\npath: /x\n---*/\n", "has no SELECT"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said) || said == "did you mean", "{text}\n{error}");
        }
    }
}
