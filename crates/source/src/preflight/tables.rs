//! The tables and their publication: there, readable, and fit to be published.

use millstream_core::TableId;

use super::{Before, Check};
use crate::{
    catalog::{publication, tables, TableInfo},
    config::SourceConfig,
    error::{Result, SourceError},
    provision::{create_publication, select, Selection},
    sql,
    wire::Wire,
};

pub(super) async fn check(
    wire: &mut Wire,
    config: &SourceConfig,
    before: &Before,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let all = tables(wire).await?;
    let published = publication(wire, &config.publication).await?;
    let selection = select(&all, &config.tables, published.as_ref(), before.publication_is_ours);
    let (mut of_publication, mut of_tables) = (Vec::new(), Vec::new());
    for problem in &selection.problems {
        match problem {
            SourceError::Publication { .. } => of_publication.push(Check::failed("publication", problem)),
            SourceError::PatternMatchesNothing { .. } => of_tables.push(Check::failed("patterns", problem)),
            _ => of_tables.push(Check::failed("table", problem)),
        }
    }
    if selection.tables.is_empty() && of_tables.is_empty() {
        let pattern = SourceError::PatternMatchesNothing { pattern: "tables".into(), nearest: None };
        of_tables.push(Check::failed("patterns", &pattern));
    }
    checks.push(Check::ok("tables", format!("{} tables are selected", selection.tables.len())));
    checks.append(&mut of_tables);
    privileges(wire, config, &selection, checks).await?;
    match published {
        Some(publication) if of_publication.is_empty() => {
            let count = publication.tables.len();
            checks.push(Check::ok(
                "publication",
                format!("`{}` is there, with {count} tables", publication.name),
            ));
        }
        Some(_) => checks.append(&mut of_publication),
        None => checks.push(Check::of("publication", creatable(wire, config, &selection).await)),
    }
    Ok(())
}

async fn privileges(
    wire: &mut Wire,
    config: &SourceConfig,
    selection: &Selection,
    checks: &mut Vec<Check>,
) -> Result<()> {
    let role = sql::identifier(&config.connection.user);
    let lacks = |privilege: &str, object: String, remedy: String| {
        let role = config.connection.user.clone();
        Check::failed(
            "privileges",
            &SourceError::NoPrivilege { role, privilege: privilege.into(), object, remedy },
        )
    };
    let before = checks.len();
    let mut schemas: Vec<&str> =
        selection.tables.iter().filter(|t| !t.schema_usable).map(|t| t.name.schema.as_str()).collect();
    schemas.dedup();
    for schema in schemas {
        let remedy = format!("GRANT USAGE ON SCHEMA {} TO {role}", sql::identifier(schema));
        checks.push(lacks("USAGE", format!("schema {schema}"), remedy));
    }
    for table in unreadable(wire, selection).await? {
        let remedy = format!("GRANT SELECT ON {} TO {role}", sql::table(&table.name));
        checks.push(lacks("SELECT", format!("table {}", table.name), remedy));
    }
    for table in hidden_rows(wire, selection).await? {
        let object = format!("all rows of table {}", table.name);
        checks.push(lacks("BYPASSRLS", object, format!("ALTER ROLE {role} BYPASSRLS")));
    }
    if checks.len() == before && !selection.tables.is_empty() {
        checks.push(Check::ok("privileges", format!("role `{}` may read them all", config.connection.user)));
    }
    Ok(())
}

/// Also what is hidden by a schema's missing USAGE lacks SELECT or does not; both are needed.
async fn unreadable<'a>(wire: &mut Wire, selection: &'a Selection) -> Result<Vec<&'a TableInfo>> {
    rows_of(wire, selection, "NOT has_table_privilege(oid, 'SELECT')").await
}

/// Tables with a row security policy that holds for this role: an error when copied, never a gap.
async fn hidden_rows<'a>(wire: &mut Wire, selection: &'a Selection) -> Result<Vec<&'a TableInfo>> {
    rows_of(wire, selection, "has_table_privilege(oid, 'SELECT') AND row_security_active(oid)").await
}

async fn rows_of<'a>(
    wire: &mut Wire,
    selection: &'a Selection,
    condition: &str,
) -> Result<Vec<&'a TableInfo>> {
    let oids: Vec<String> = selection.tables.iter().map(|table| table.id.to_string()).collect();
    let statement =
        format!("SELECT oid FROM pg_class WHERE oid = ANY ('{{{}}}'::oid[]) AND {condition}", oids.join(","));
    let rows = wire.query("reading privileges", &statement).await?;
    let found: Vec<TableId> = rows.iter().map(|row| row.parse(0).map(TableId)).collect::<Result<_>>()?;
    Ok(selection.tables.iter().filter(|table| found.contains(&table.id)).collect())
}

/// Whether this role may create the publication that is missing.
async fn creatable(wire: &mut Wire, config: &SourceConfig, selection: &Selection) -> Result<String> {
    let statement = "SELECT has_database_privilege(current_database(), 'CREATE')";
    let may_create = wire.query_one("reading privileges", statement).await?.flag(0);
    let foreign = rows_of(wire, selection, "NOT pg_has_role(relowner, 'USAGE')").await?;
    if may_create && foreign.is_empty() {
        return Ok(format!("`{}` will be created", config.publication));
    }
    let missing = match may_create {
        false => "the right to create the publication".to_owned(),
        true => format!("the ownership of {} that creating the publication needs", foreign[0].name),
    };
    Err(SourceError::NoPrivilege {
        role: config.connection.user.clone(),
        privilege: missing,
        object: format!("database {}", config.connection.database),
        remedy: create_publication(wire.version().major, &config.publication, &selection.tables),
    })
}
