//! `api.auth` and `api.roles`: who may read what. What one key alone can't show to be wrong is checked here.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_core::{Grants, Mask, Restriction, Role, TableName};

use millstream_api::access::{Limits, Rights, SECRET_BYTES_MIN};

use super::{
    check::nearest,
    error::{Problem, ProblemKind},
    place::Place,
    scalar,
    secret::Secret,
    text_at,
    tree::{Key, Kind, Node},
    units::{parse_duration, parse_size},
};

/// How clients show who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AuthSettings {
    /// Not at all.
    #[default]
    None,
    /// By API keys.
    Keys,
    /// By tokens, or by API keys.
    Tokens(TokenSettings),
}

/// `api.auth.jwt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Whom tokens must be for.
    pub audience: String,
    /// Algorithms of their signatures.
    pub algorithms: Vec<String>,
    /// What their signatures are checked with.
    pub key: TokenKey,
    /// Who must have made them.
    pub issuer: Option<String>,
    /// The claim that names the role.
    pub role_claim: String,
}

/// What signatures are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKey {
    /// The file of a public key.
    File(PathBuf),
    /// A secret that is shared with the issuer.
    Secret(Secret),
}

/// One of `api.roles`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleSettings {
    /// Its name.
    pub name: String,
    /// Patterns of tables, histories and models that it may read, in the order of the file.
    pub tables: Vec<String>,
    /// Patterns of paths of endpoints that it may call.
    pub endpoints: Vec<String>,
    /// Whether it may ask in SQL of its own.
    pub sql: bool,
    /// Whether it may do everything.
    pub admin: bool,
    /// What it does not see of tables.
    pub restrictions: Vec<Restriction>,
    /// How much its requests may take.
    pub limits: Limits,
}

/// `api.auth` and `api.roles`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessSettings {
    /// How clients show who they are.
    pub auth: AuthSettings,
    /// The roles, in the order of the file.
    pub roles: Vec<RoleSettings>,
    /// Origins whose pages may ask.
    pub cors: Vec<String>,
    /// How much requests may take.
    pub limits: Limits,
    /// Where each restriction's parts are written, in the order of the roles and their restrictions.
    places: Vec<RestrictionPlaces>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct RestrictionPlaces {
    table: Place,
    rows: Option<Place>,
    masks: Vec<Place>,
}

impl RoleSettings {
    /// What it may do.
    pub fn rights(&self) -> Rights {
        Rights {
            role: Arc::new(self.role()),
            endpoints: self.endpoints.clone(),
            sql: self.sql,
            admin: self.admin,
            limits: self.limits,
        }
    }

    /// As questions carry it.
    pub fn role(&self) -> Role {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        Role {
            name: self.name.clone(),
            tables: Grants::new(&self.tables),
            fingerprint: hasher.finish(),
            restricted: !self.restrictions.is_empty(),
        }
    }
}

/// The `roles` that a file is for; `None`: it says nothing of them. Those that the project does not have become problems: one that is spelled wrong
/// would shut everybody out.
pub(super) fn named_roles(
    root: &Node,
    access: &AccessSettings,
    what: &str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<String>> {
    let items = match root.get("roles").map(|node| &node.kind) {
        Some(Kind::List(items)) => items,
        _ => return None,
    };
    problems.extend(items.iter().filter_map(|role| unknown_role(role, access, what)));
    Some(items.iter().filter_map(scalar).map(str::to_owned).collect())
}

fn unknown_role(node: &Node, access: &AccessSettings, what: &str) -> Option<Problem> {
    let name = scalar(node)?;
    if access.role(name).is_some() {
        return None;
    }
    let problem = |message: String| Problem::new(ProblemKind::BadValue, message, Some(node.place.clone()));
    if access.roles.is_empty() {
        let problem = problem(format!("{what} is for the role `{name}`, and the project has no roles"));
        return Some(problem.hint("add `api.auth` and `api.roles` to millstream.yml"));
    }
    let names = || access.roles.iter().map(|role| role.name.as_str());
    let problem = problem(format!("there is no role `{name}`"));
    Some(match nearest(name, names()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("api.roles has {}", names().collect::<Vec<_>>().join(", "))),
    })
}

impl AccessSettings {
    /// Of a tree that has passed the shape.
    pub(super) fn of(dir: &Path, root: &Node) -> Self {
        let auth = match text_at(root, &["api", "auth"]) {
            Some("keys") => AuthSettings::Keys,
            None if jwt(root).is_some() => AuthSettings::Tokens(tokens(dir, root)),
            _ => AuthSettings::None,
        };
        let cors = texts(root.get("api").and_then(|api| api.get("cors")));
        let mut settings = AccessSettings {
            auth,
            cors,
            limits: limits(root.get("api").and_then(|api| api.get("limits"))),
            ..AccessSettings::default()
        };
        for (name, node) in roles(root) {
            let (role, places) = role(name, node);
            settings.roles.push(role);
            settings.places.extend(places);
        }
        settings
    }

    /// The role of a name.
    pub fn role(&self, name: &str) -> Option<&RoleSettings> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// Every restriction of every role, each with a check of it: `check` says what is wrong with it, and where this tells, which mask.
    pub fn check(&self, check: impl Fn(&Restriction) -> Result<(), String>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let restrictions = self.roles.iter().flat_map(|role| &role.restrictions);
        for (restriction, places) in restrictions.zip(&self.places) {
            let only = |rows: Option<String>, masks: Vec<(String, Mask)>| Restriction {
                rows,
                masks,
                ..restriction.clone()
            };
            let role = &restriction.role;
            if let Err(why) = check(&only(None, Vec::new())) {
                problems.push(Problem::new(ProblemKind::BadValue, why, Some(places.table.clone())));
                continue;
            }
            if let (Some(rows), Some(place)) = (&restriction.rows, &places.rows) {
                if let Err(why) = check(&only(Some(rows.clone()), Vec::new())) {
                    let message = format!(
                        "the rows of {} for the role `{role}` can't be told: {why}",
                        restriction.table
                    );
                    let problem = Problem::new(ProblemKind::BadValue, message, Some(place.clone()));
                    problems.push(problem.hint(
                        "write a condition over the table's columns, as it would stand behind WHERE: no SELECT, no aggregate",
                    ));
                }
            }
            for (mask, place) in restriction.masks.iter().zip(&places.masks) {
                if let Err(why) = check(&only(None, vec![mask.clone()])) {
                    problems.push(Problem::new(ProblemKind::BadValue, why, Some(place.clone())));
                }
            }
        }
        problems
    }
}

fn entries(node: Option<&Node>) -> &[(Key, Node)] {
    match node.map(|node| &node.kind) {
        Some(Kind::Map(entries)) => entries,
        _ => &[],
    }
}

fn limits(node: Option<&Node>) -> Limits {
    let text = |key: &str| node.and_then(|node| text_at(node, &[key]));
    Limits {
        requests_per_second: text("requests_per_second").and_then(|text| text.parse().ok()),
        time: text("time").and_then(parse_duration),
        rows: text("rows").and_then(|text| text.parse().ok()),
        memory_bytes: text("memory").and_then(parse_size),
    }
}

/// A rate or a time of nothing would shut everybody out.
fn check_limits(node: &Node) -> Vec<Problem> {
    let found = limits(Some(node));
    let none = |key: &str, wrong: bool| {
        let place = node.get(key).filter(|_| wrong)?.place.clone();
        let message = format!("`{key}` must be more than nothing");
        Some(Problem::new(ProblemKind::BadValue, message, Some(place)))
    };
    let rate = none("requests_per_second", found.requests_per_second.is_some_and(|rate| rate <= 0.0));
    rate.into_iter().chain(none("time", found.time.is_some_and(|time| time.is_zero()))).collect()
}

fn jwt(root: &Node) -> Option<&Node> {
    root.get("api")?.get("auth")?.get("jwt")
}

fn tokens(dir: &Path, root: &Node) -> TokenSettings {
    let text = |key: &str| text_at(root, &["api", "auth", "jwt", key]).map(str::to_owned);
    TokenSettings {
        audience: text("audience").unwrap_or_default(),
        algorithms: texts(jwt(root).and_then(|jwt| jwt.get("algorithms"))),
        key: match text("secret") {
            Some(secret) => TokenKey::Secret(Secret::new(secret)),
            None => TokenKey::File(dir.join(text("key").unwrap_or_default())),
        },
        issuer: text("issuer"),
        role_claim: text("role_claim").unwrap_or_else(|| "role".to_owned()),
    }
}

/// A public key must never be taken for a secret: which of them it is follows from the algorithms, and all of them must say the same.
fn check_tokens(jwt: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let algorithms = texts(jwt.get("algorithms"));
    let kind = |name: &String| name.get(..2).map(|kind| if kind == "PS" { "RS" } else { kind }.to_owned());
    let kinds: Vec<Option<String>> = algorithms.iter().map(kind).collect();
    let at = |key: &str| jwt.get(key).map_or_else(|| jwt.place.clone(), |node| node.place.clone());
    if kinds.windows(2).any(|pair| pair[0] != pair[1]) {
        let message = "the algorithms are for different kinds of keys";
        let problem = Problem::new(ProblemKind::BadValue, message, Some(at("algorithms")));
        problems.push(problem.hint("RS and PS go together; ES and HS each take a key of their own"));
    }
    let secret = kinds.first().is_some_and(|kind| kind.as_deref() == Some("HS"));
    let (wanted, other) = if secret { ("secret", "key") } else { ("key", "secret") };
    if jwt.get(wanted).is_none() {
        let message = format!("`{}` takes a `{wanted}`", algorithms.join(", "));
        problems.push(Problem::new(ProblemKind::MissingKey, message, Some(at("algorithms"))));
    }
    if jwt.get(other).is_some() {
        let message = format!("`{}` does not take a `{other}`", algorithms.join(", "));
        problems.push(Problem::new(ProblemKind::BadValue, message, Some(at(other))));
    }
    if jwt.get("secret").and_then(scalar).is_some_and(|secret| secret.len() < SECRET_BYTES_MIN) {
        let message = format!("the secret has fewer than {SECRET_BYTES_MIN} bytes: it could be guessed");
        problems.push(
            Problem::new(ProblemKind::BadValue, message, Some(at("secret")))
                .hint("make one with `openssl rand -hex 32`"),
        );
    }
    problems
}

fn texts(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.kind) {
        Some(Kind::List(items)) => items.iter().filter_map(scalar).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn roles(root: &Node) -> &[(Key, Node)] {
    entries(root.get("api").and_then(|api| api.get("roles")))
}

fn role(name: &Key, node: &Node) -> (RoleSettings, Vec<RestrictionPlaces>) {
    let is = |key: &str| text_at(node, &[key]) == Some("true");
    let mut restrictions: Vec<Restriction> = Vec::new();
    let mut places: Vec<RestrictionPlaces> = Vec::new();
    let mut at = |key: &Key| -> usize {
        let (schema, table) = key.text.split_once('.').unwrap_or(("", &key.text));
        let table = TableName::new(schema, table);
        match restrictions.iter().position(|known| known.table == table) {
            Some(at) => at,
            None => {
                let role = name.text.clone();
                restrictions.push(Restriction { table, role, rows: None, masks: Vec::new() });
                places.push(RestrictionPlaces { table: key.place.clone(), rows: None, masks: Vec::new() });
                restrictions.len() - 1
            }
        }
    };
    let rows: Vec<(usize, &Node)> =
        entries(node.get("rows")).iter().map(|(key, node)| (at(key), node)).collect();
    let masks: Vec<(usize, &Node)> =
        entries(node.get("mask")).iter().map(|(key, node)| (at(key), node)).collect();
    for (at, node) in rows {
        restrictions[at].rows = scalar(node).map(str::to_owned);
        places[at].rows = Some(node.place.clone());
    }
    for (at, node) in masks {
        for (column, how) in entries(Some(node)) {
            let mask = if how.is_null() { Mask::Null } else { Mask::Hash };
            restrictions[at].masks.push((column.text.clone(), mask));
            places[at].masks.push(column.place.clone());
        }
    }
    let role = RoleSettings {
        name: name.text.clone(),
        tables: texts(node.get("tables")),
        endpoints: texts(node.get("endpoints")),
        sql: is("sql"),
        admin: is("admin"),
        restrictions,
        limits: limits(node.get("limits")),
    };
    (role, places)
}

/// What is wrong with the keys together. Each of them alone has passed the shape.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let api = root.get("api");
    let at = |key: &str| api.and_then(|api| api.get(key)).map(|node| node.place.clone());
    let of_roles = roles(root).iter().filter_map(|(_, role)| role.get("limits"));
    let all = api.and_then(|api| api.get("limits")).into_iter().chain(of_roles);
    problems.extend(all.flat_map(check_limits));
    problems.extend(jwt(root).into_iter().flat_map(check_tokens));
    let open = jwt(root).is_none() && matches!(text_at(root, &["api", "auth"]), None | Some("none"));
    let roles = roles(root);
    if open && !roles.is_empty() {
        let message = "roles need clients that show who they are, and `api.auth` is none";
        problems.push(
            Problem::new(ProblemKind::BadValue, message, at("roles"))
                .hint("write `auth: keys`, and make keys with `millstream keys create --role NAME`"),
        );
    }
    if !open && roles.is_empty() {
        let message = "clients show who they are, and no role says what they may do";
        problems.push(
            Problem::new(ProblemKind::MissingKey, message, at("auth"))
                .hint("add `api.roles`, such as `roles: {reader: {tables: [\"*\"]}}`"),
        );
    }
    let serve = root.get("serve");
    for key in ["http", "postgres"] {
        let Some(node) = serve.and_then(|serve| serve.get(key)) else { continue };
        let address = scalar(node).and_then(|text| text.parse::<std::net::SocketAddr>().ok());
        if address.is_none_or(|address| address.ip().is_loopback()) {
            continue;
        }
        let mut add = |message: String, hint: &str| {
            let problem = Problem::new(ProblemKind::BadValue, message, Some(node.place.clone()));
            problems.push(problem.hint(hint));
        };
        if open {
            let message = format!("`serve.{key}` can be reached by other machines, and `api.auth` is none");
            add(message, "set `api.auth`, or listen on 127.0.0.1");
        } else if key == "postgres" && serve.and_then(|serve| serve.get("postgres_tls")).is_none() {
            let message =
                "`serve.postgres` can be reached by other machines, and what they read could be read along";
            add(message.to_owned(), "add `serve.postgres_tls` with `cert` and `key`, or listen on 127.0.0.1");
        }
    }
    for (key, node) in roles {
        if !is_role_name(&key.text) {
            let message = format!("`{}` can't be the name of a role", key.text);
            problems.push(
                Problem::new(ProblemKind::BadValue, message, Some(key.place.clone()))
                    .hint("lowercase letters, digits, `-` and `_`, at most 63"),
            );
        }
        for part in ["rows", "mask"] {
            for (table, _) in entries(node.get(part)) {
                let plain = !table.text.contains(['*', '?', '!'])
                    && table.text.split_once('.').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
                if !plain {
                    let message = format!("`{}` is not the name of one table", table.text);
                    problems.push(
                        Problem::new(ProblemKind::TablePattern, message, Some(table.place.clone()))
                            .hint("write schema.table, as it is called in the warehouse"),
                    );
                }
            }
            let first = entries(node.get(part)).first().filter(|_| text_at(node, &["admin"]) == Some("true"));
            problems.extend(first.map(|(table, _)| {
                let message =
                    format!("the role `{}` may do everything, so nothing can be kept from it", key.text);
                Problem::new(ProblemKind::BadValue, message, Some(table.place.clone()))
                    .hint(format!("remove `admin` or `{part}`"))
            }));
        }
    }
    problems
}

fn is_role_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}
