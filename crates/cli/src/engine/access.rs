//! Who may read what: the configuration's roles as the warehouse and the servers take them, and the API keys.

use std::{fs, path::PathBuf, sync::Arc};

use millstream_api::access::{Access, TokenConfig, Tokens};
use millstream_apply::layout::Selection;
use millstream_core::{warehouse::TableLayout, Mask, Restriction, Restrictions, TableName, Timestamp};
use millstream_store::{Key, NewKey, Store};
use millstream_warehouse::check_restriction;
use serde_json::{json, value::to_raw_value, Value};

use super::{
    desk::{done, Desk},
    provision::Remembered,
};
use crate::{
    config::{
        nearest, units::print_instant, AuthSettings, ConfigError, Project, RoleSettings, TokenKey,
        TokenSettings,
    },
    error::ProgramError,
    failure::{Doing, Failure},
    instance::{Emit, Event},
    output::Column,
};

/// What a secret of the store is called that masks are made with.
const MASK_KEY: &str = "masks";

fn path(project: &Project) -> PathBuf {
    project.data_dir().join("store.sqlite")
}

/// Opens the program's own state.
pub(super) fn store(project: &Project) -> Result<Store, Failure> {
    Store::open(&path(project)).doing("opening the program's own state")
}

/// What the servers need to know who may ask for what; `None`: everybody may for everything.
pub(super) fn access(desk: &Desk) -> Result<Option<Arc<Access>>, Failure> {
    let settings = &desk.project.access;
    if settings.auth == AuthSettings::None {
        return Ok(None);
    }
    let rights = settings.roles.iter().map(RoleSettings::rights);
    let tokens = match &settings.auth {
        AuthSettings::Tokens(settings) => Some(tokens(settings)?),
        AuthSettings::None | AuthSettings::Keys => None,
    };
    Ok(Some(Arc::new(Access::new(desk.store()?, rights.collect(), tokens)?)))
}

/// What checks tokens.
fn tokens(settings: &TokenSettings) -> Result<Tokens, ProgramError> {
    let key = match &settings.key {
        TokenKey::Secret(secret) => secret.expose().as_bytes().to_vec(),
        TokenKey::File(path) => {
            fs::read(path).map_err(|source| ProgramError::Unreadable { path: path.clone(), source })?
        }
    };
    let config = TokenConfig {
        algorithms: settings.algorithms.clone(),
        audience: settings.audience.clone(),
        issuer: settings.issuer.clone(),
        role_claim: settings.role_claim.clone(),
        key,
    };
    Tokens::new(&config).map_err(|error| ProgramError::TokenKey { detail: error.to_string() })
}

/// What roles do not see, as the warehouse keeps it.
pub(super) fn restrictions(project: &Project) -> Result<Restrictions, Failure> {
    let roles = &project.access.roles;
    let all: Vec<Restriction> = roles.iter().flat_map(|role| role.restrictions.clone()).collect();
    let hashes = all.iter().flat_map(|restriction| &restriction.masks).any(|(_, mask)| *mask == Mask::Hash);
    let mask_key = if hashes { store(project)?.secret(MASK_KEY)? } else { String::new() };
    Ok(Restrictions { roles: roles.iter().map(|role| role.name.clone()).collect(), all, mask_key })
}

/// Whether every restriction can be applied to the table that it names. One that the source no longer has is no mistake: its history is still there.
pub(super) fn check(
    project: &Project,
    selection: &Selection,
    layouts: &[TableLayout],
    remembered: Option<&Remembered>,
) -> Result<(), ConfigError> {
    let same = |a: &TableName, b: &TableName| a.to_string().eq_ignore_ascii_case(&b.to_string());
    let were: Vec<TableName> = remembered
        .into_iter()
        .flat_map(|remembered| remembered.warehouse.tables())
        .map(|name| selection.target(name))
        .collect();
    let problems = project.access.check(|restriction| {
        let table = &restriction.table;
        match layouts.iter().find(|layout| same(&layout.target, table)) {
            Some(layout) => check_restriction(layout, restriction),
            None if were.iter().any(|name| same(name, table)) => Ok(()),
            None => {
                let names: Vec<String> = layouts.iter().map(|layout| layout.target.to_string()).collect();
                let near = nearest(&table.to_string(), names.iter().map(String::as_str));
                let near = near.map(|near| format!(": did you mean {near}?")).unwrap_or_default();
                Err(format!("{table} is no replicated table in the warehouse{near}"))
            }
        }
    });
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Wrong(problems))
    }
}

/// Makes a key. It is in the answer, and nowhere else from then on.
pub(super) fn create_key(desk: &Desk, new: NewKey) -> Result<Event, Failure> {
    let settings = &desk.project.access;
    if settings.role(&new.role).is_none() {
        let roles: Vec<String> = settings.roles.iter().map(|role| role.name.clone()).collect();
        return Err(ProgramError::NoSuchRole { name: new.role, roles }.into());
    }
    let created = desk.store()?.create_key(&new)?;
    let mut document = document(&created.key);
    document["key"] = created.text.into();
    done(0, &document)
}

/// All keys, without what is secret of them.
pub(super) fn list_keys(desk: &Desk, emit: &mut dyn Emit) -> Result<Event, Failure> {
    const COLUMNS: [&str; 6] = ["id", "role", "name", "created", "expires", "state"];
    emit.emit(Event::Columns(COLUMNS.map(Column::text).to_vec()))?;
    let mut rows = Vec::new();
    for key in desk.store()?.keys() {
        let document = document(&key);
        let cells = COLUMNS.map(|column| to_raw_value(&document[column]));
        let cells = cells.into_iter().collect::<Result<Vec<_>, _>>();
        rows.push(cells.map_err(|error| ProgramError::InstanceLost { detail: error.to_string() })?);
    }
    emit.emit(Event::Rows(rows))?;
    Ok(Event::Done { exit: 0, value: None })
}

/// Makes a key good for nothing from here on.
pub(super) fn revoke_key(desk: &Desk, id: &str) -> Result<Event, Failure> {
    done(0, &document(desk.store()?.revoke_key(id)?.as_ref()))
}

fn document(key: &Key) -> Value {
    let state = match (key.revoked, key.is_good(now())) {
        (Some(_), _) => "revoked",
        (None, true) => "good",
        (None, false) => "expired",
    };
    json!({
        "id": key.id,
        "role": key.role,
        "name": key.name,
        "created": print_instant(key.created),
        "expires": key.expires.map(print_instant),
        "state": state,
    })
}

/// The time now.
pub(super) fn now() -> Timestamp {
    super::warehouse_file::now()
}
