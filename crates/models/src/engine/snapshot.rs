//! Snapshots: the versions of a relation's rows, each with the time from which and to which it was seen.
//!
//! A run compares what the query gives with the versions that are current, gathers in a temporary table what ends and what begins, and brings both
//! into the snapshot within the transaction that is open. The statements are planned here from columns and configuration; only [`run`] talks to the warehouse.

use std::sync::Arc;

use millstream_core::build::RelationKind;

use super::{
    build::{columns_of, has, run_statement as execute, Built, Columns},
    compile::SharedConnection,
    ddl,
    incremental::widen,
    live::Shared,
    planned::word,
    run::warehouse_failed,
};
use crate::{
    context::{
        base::warn,
        relation::{quoted, Relation},
    },
    error::{Problem, ProblemKind, Result},
    parse::{
        node::Node,
        snapshot::{HardDeletes, Settings, Strategy},
    },
    project::Adapter,
    warning::Warning,
};

/// The time of a run: that of its transaction, without time zone, so that all that one run writes has the same.
const NOW: &str = "now()::timestamp";

/// What never comes here.
const BY_MACROS: &str = "a snapshot with a strategy of a project's own is made by macros";

/// What a staged row is for: `insert` begins a version, anything else ends one.
const CHANGE: &str = "dbt_change_type";

/// Makes a snapshot, or brings it up to date, in the transaction that is open.
pub(super) fn run(
    shared: &Arc<Shared>,
    node: &Node,
    sql: &str,
    connection: &SharedConnection,
) -> Result<Built> {
    let settings = Settings::of(node)?;
    let relation = node.relation();
    let plan = Plan { settings: &settings, sql, target: relation.render() };
    let dialect = shared.dialect();
    let first = || {
        let select = plan.first();
        check_times(shared, &plan, &select, connection)?;
        Ok(format!("create table {} as (\n{select});", plan.target))
    };
    make(shared, node, connection, first, || again(shared, &plan, dialect, &relation, connection))
}

/// Makes a snapshot's table by a statement where there is none, or brings up to date the one that is there.
pub(super) fn make(
    shared: &Shared,
    node: &Node,
    connection: &SharedConnection,
    first: impl FnOnce() -> Result<String>,
    again: impl FnOnce() -> Result<Built>,
) -> Result<Built> {
    match shared.kind_of(node) {
        Some(kind @ (RelationKind::View | RelationKind::MaterializedView)) => Err(Problem::new(
            ProblemKind::Configuration,
            format!("{} is a {}, and a snapshot is a table", node.relation().render(), word(kind)),
        )
        .hint("drop the view, or give the snapshot another alias or schema")
        .into()),
        None => {
            let main = first()?;
            let response = execute(connection, &main)?;
            shared.note(node, RelationKind::Table);
            Ok(Built::made(&response, main))
        }
        Some(RelationKind::Table) => again(),
    }
}

/// Warns where the times of versions are of another type than the time of a run is, which ends those that are gone.
fn check_times(shared: &Shared, plan: &Plan<'_>, select: &str, connection: &SharedConnection) -> Result<()> {
    let name = &plan.settings.names.updated_at;
    // dbt knows the column by this name only.
    if plan.updated_at() == NOW || !["dbt_updated_at", "DBT_UPDATED_AT"].contains(&name.as_str()) {
        return Ok(());
    }
    let of_run = columns_given(connection, &format!("select {NOW} as time_of_run"))?;
    let given = columns_given(connection, select)?;
    let given = given.into_iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
    let (Some((_, of_run)), Some((_, given))) = (of_run.into_iter().next(), given) else { return Ok(()) };
    if of_run == given {
        return Ok(());
    }
    let warning = Warning::snapshot_times(&of_run, &given);
    warn(&shared.manifest.world.project.base.warn_errors, &warning)
}

fn again(
    shared: &Shared,
    plan: &Plan<'_>,
    dialect: Adapter,
    relation: &Relation,
    connection: &SharedConnection,
) -> Result<Built> {
    let held = columns_of(connection, relation.database(), relation.schema(), relation.identifier())?;
    plan.check_target(&held)?;
    let given = columns_given(connection, plan.sql)?;
    let compared = match &plan.settings.strategy {
        Strategy::Check { columns, .. } if !columns.is_empty() => {
            let query = format!("select {} from (\n{}\n) as compared", columns.join(", "), plan.sql);
            columns_given(connection, &query)?
        }
        _ => given.clone(),
    };
    let gather = |staged: &str| plan.changes(staged, &given, &held, &compared);
    let bring_in = |staged: &str, _: &Columns| {
        let name = &plan.settings.names.updated_at;
        // Where what is gone ends, it does so at the time of the run: of both types together dbt makes one.
        let time = match plan.settings.hard_deletes {
            HardDeletes::Ignore => name.clone(),
            _ => format!("case when false then {NOW} else {name} end"),
        };
        check_times(shared, plan, &format!("select {time} as {name} from {staged}"), connection)?;
        Ok(plan.bring_in(staged, &given))
    };
    through_staged(connection, dialect, relation, &held, gather, bring_in)
}

/// Brings a snapshot up to date by a temporary table: what `gather` makes it of, then what `bring_in` does with it and its columns. Those that the snapshot,
/// whose columns are `held`, has not yet are added to it.
pub(super) fn through_staged(
    connection: &SharedConnection,
    dialect: Adapter,
    target: &Relation,
    held: &Columns,
    gather: impl FnOnce(&str) -> String,
    bring_in: impl FnOnce(&str, &Columns) -> Result<String>,
) -> Result<Built> {
    let staged_name = dialect.staged(target);
    let staged = quoted(&staged_name);
    if dialect == Adapter::DuckDb {
        execute(connection, &dialect.drop_staged(&staged_name))?;
    }
    execute(connection, &gather(&staged))?;
    let (temporary_database, temporary_schema) = dialect.temporary();
    let columns = columns_of(connection, temporary_database, temporary_schema, &staged_name)?;
    if dialect == Adapter::Postgres {
        widen(target, &columns, connection)?;
    }
    // Columns are added before a row is touched: a table that is altered after that can't be committed.
    for (name, kind) in columns.iter().filter(|(name, _)| name != CHANGE && !has(held, name)) {
        let add = format!("alter table {} add column {} {kind}", target.render(), quoted(name));
        execute(connection, &add)?;
    }
    let main = bring_in(&staged, &columns)?;
    let response = execute(connection, &main)?;
    execute(connection, &dialect.drop_staged(&staged_name))?;
    Ok(Built::made(&response, main))
}

/// The columns that a query gives.
pub(super) fn columns_given(connection: &SharedConnection, sql: &str) -> Result<Columns> {
    Ok(connection.borrow_mut().query(&ddl::no_rows(sql), 0).map_err(warehouse_failed)?.columns)
}

/// What a snapshot is to do.
struct Plan<'p> {
    settings: &'p Settings,
    /// The query whose rows are kept.
    sql: &'p str,
    /// The snapshot's relation.
    target: String,
}

impl Plan<'_> {
    fn updated_at(&self) -> &str {
        match &self.settings.strategy {
            Strategy::Timestamp { updated_at } => updated_at,
            Strategy::Check { updated_at, .. } => updated_at.as_deref().unwrap_or(NOW),
            Strategy::Own => unreachable!("{BY_MACROS}"),
        }
    }

    /// The end of a version that has none yet, of the type that its time has.
    fn open_end(&self, time: &str) -> String {
        let end = self.settings.valid_to_current.as_deref().unwrap_or("null");
        format!("case when false then {time} else {end} end")
    }

    /// The id of a version: dbt's, of its key and its time.
    fn id(&self) -> String {
        let parts = self.settings.keys.iter().map(String::as_str).chain([self.updated_at()]);
        id_of(parts)
    }

    fn new_record(&self) -> bool {
        self.settings.hard_deletes == HardDeletes::NewRecord
    }

    /// The query that makes the snapshot: every row is a first version.
    fn first(&self) -> String {
        let names = &self.settings.names;
        let time = self.updated_at();
        let deleted =
            if self.new_record() { format!(",\n  'False' as {}", names.is_deleted) } else { String::new() };
        format!(
            "select *,\n  {} as {},\n  {time} as {},\n  {time} as {},\n  {} as {}{deleted}\nfrom (\n{}\n) as rows_now",
            self.id(),
            names.scd_id,
            names.updated_at,
            names.valid_from,
            self.open_end(time),
            names.valid_to,
            self.sql
        )
    }

    /// Whether a version, named `of`, is the newest of its row.
    fn is_current(&self, of: &str) -> String {
        let end = &self.settings.names.valid_to;
        match &self.settings.valid_to_current {
            Some(open) => format!("({of}.{end} = {open} or {of}.{end} is null)"),
            None => format!("{of}.{end} is null"),
        }
    }

    /// An error where the relation lacks what a snapshot has.
    fn check_target(&self, held: &Columns) -> Result<()> {
        let names = &self.settings.names;
        let mut wanted = vec![&names.scd_id, &names.valid_from, &names.valid_to];
        if self.new_record() {
            wanted.push(&names.is_deleted);
        }
        let missing: Vec<String> =
            wanted.into_iter().filter(|name| !has(held, name)).map(|name| format!("`{name}`")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("{} is there without {} of a snapshot", self.target, missing.join(", "));
        Err(Problem::new(ProblemKind::Configuration, message)
            .hint("it was made by something else or with other settings: add the columns, or give the snapshot another alias")
            .into())
    }

    /// Whether a row differs from its current version.
    fn differs(&self, held: &Columns, compared: &Columns) -> String {
        let changed = match &self.settings.strategy {
            Strategy::Timestamp { updated_at } => {
                format!("held.{} < given.{updated_at}", self.settings.names.valid_from)
            }
            // A column that no version has yet makes every row another one.
            Strategy::Check { .. } if compared.iter().any(|(name, _)| !has(held, name)) => "true".into(),
            Strategy::Own => unreachable!("{BY_MACROS}"),
            Strategy::Check { .. } => {
                let each = compared.iter().map(|(name, _)| {
                    let name = quoted(name);
                    format!("held.{name} is distinct from given.{name}")
                });
                format!("({})", each.collect::<Vec<_>>().join(" or "))
            }
        };
        if self.new_record() {
            format!("({changed} or held.{} = 'True')", self.settings.names.is_deleted)
        } else {
            changed
        }
    }

    /// The statement that gathers what begins and what ends.
    fn changes(&self, staged: &str, given: &Columns, held: &Columns, compared: &Columns) -> String {
        let names = &self.settings.names;
        let keys = self.settings.keys.iter().enumerate();
        let keys: Vec<String> = keys.map(|(at, key)| format!("{key} as dbt_unique_key_{}", at + 1)).collect();
        let keys = keys.join(", ");
        let same: Vec<String> = (1..=self.settings.keys.len())
            .map(|at| format!("held.dbt_unique_key_{at} = given.dbt_unique_key_{at}"))
            .collect();
        let same = same.join(" and ");
        let time = self.updated_at();
        let differs = self.differs(held, compared);
        let of = |side: &str| -> String {
            given.iter().map(|(name, _)| format!("{side}.{}, ", quoted(name))).collect()
        };
        let deleted = |value: &str| {
            if self.new_record() {
                format!(", {value} as {}", names.is_deleted)
            } else {
                String::new()
            }
        };
        let mut parts = vec![format!(
            "select 'insert' as {CHANGE}, {}given.dbt_version_time as {}, given.dbt_version_time as {}, {} as {}, given.dbt_version_id as {}{}\n\
             from given left join held on {same}\nwhere held.dbt_unique_key_1 is null or {differs}",
            of("given"),
            names.updated_at,
            names.valid_from,
            self.open_end("given.dbt_version_time"),
            names.valid_to,
            names.scd_id,
            deleted("'False'")
        )];
        // As many columns as where a version begins: PostgreSQL unites them by their places.
        let nulls = |count: usize| "null, ".repeat(count);
        let ends = |why: &str, at: &str, id: &str, from: &str| {
            let deleted = if self.new_record() { ", null" } else { "" };
            format!("select '{why}', {}{at}, {id}{deleted}\n{from}", nulls(given.len() + 2))
        };
        let held_id = format!("held.{}", names.scd_id);
        parts.push(ends(
            "update",
            "given.dbt_version_time",
            &held_id,
            &format!("from given join held on {same}\nwhere {differs}"),
        ));
        if self.settings.hard_deletes != HardDeletes::Ignore {
            let mut gone =
                format!("from held left join given on {same}\nwhere given.dbt_unique_key_1 is null");
            if self.new_record() {
                // What is told to be deleted already is so still.
                gone.push_str(&format!(" and held.{} <> 'True'", names.is_deleted));
            }
            parts.push(ends("delete", NOW, &held_id, &gone));
            if self.new_record() {
                let last: String = given
                    .iter()
                    .map(|(name, _)| {
                        let side = if has(held, name) { "held" } else { "given" };
                        format!("{side}.{}, ", quoted(name))
                    })
                    .collect();
                parts.push(format!(
                    "select 'insert' as {CHANGE}, {last}{NOW} as {}, {NOW} as {}, held.{} as {}, {} as {}{}\n{gone}",
                    names.updated_at,
                    names.valid_from,
                    names.valid_to,
                    names.valid_to,
                    id_of([held_id.as_str(), NOW].into_iter()),
                    names.scd_id,
                    deleted("'True'")
                ));
            }
        }
        format!(
            "create temporary table {staged} as (\nwith rows_now as (\n{}\n),\n\
             given as (select *, {keys}, {time} as dbt_version_time, {} as dbt_version_id from rows_now),\n\
             held as (select *, {keys} from {} as versions where {})\n{}\n);",
            self.sql,
            self.id(),
            self.target,
            self.is_current("versions"),
            parts.join("\nunion all\n")
        )
    }

    /// The statements that end versions and begin others.
    fn bring_in(&self, staged: &str, given: &Columns) -> String {
        let names = &self.settings.names;
        let mut columns: Vec<String> = given.iter().map(|(name, _)| quoted(name)).collect();
        columns.extend(
            [&names.updated_at, &names.valid_from, &names.valid_to, &names.scd_id].map(String::to_owned),
        );
        if self.new_record() {
            columns.push(names.is_deleted.clone());
        }
        let columns = columns.join(", ");
        format!(
            "update {target} as versions set {to} = ends.{to} from {staged} as ends\n\
             where ends.{CHANGE} <> 'insert' and ends.{id} = versions.{id} and {current};\n\
             insert into {target} ({columns}) select {columns} from {staged} where {CHANGE} = 'insert';",
            target = self.target,
            to = names.valid_to,
            id = names.scd_id,
            current = self.is_current("versions"),
        )
    }
}

/// dbt's id of a version: the MD5 of the texts of these expressions, with `|` between them.
pub(super) fn id_of<'p>(parts: impl Iterator<Item = &'p str>) -> String {
    let texts: Vec<String> = parts.map(|part| format!("coalesce(cast({part} as varchar), '')")).collect();
    format!("md5({})", texts.join(" || '|' || "))
}
