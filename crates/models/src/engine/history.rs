//! Snapshots from history: a table whose changes are kept anyway is not polled. Every version that anybody could have seen is in the snapshot, with the time of its
//! transaction, whenever the snapshot is brought up to date.
//!
//! A version that one transaction both opened and closed was never seen and is left out. Versions are known again by their key and the position that opened them, so
//! a run changes only what is new or has ended since, and what the history no longer holds stays. The statements are planned here; only [`run`] talks to the warehouse.

use std::sync::Arc;

use super::{
    build::{columns_of, has, Built, Columns},
    compile::SharedConnection,
    live::Shared,
    snapshot::{columns_given, id_of, make, through_staged},
};
use crate::{
    context::relation::{quoted, Relation},
    error::{Problem, ProblemKind, Result},
    parse::{
        names,
        node::Node,
        snapshot::{HardDeletes, Settings},
    },
    project::{
        home::{HistoryColumns, LiveTable},
        Adapter,
    },
};

/// Makes the snapshot, or brings it up to date, in the transaction that is open.
///
/// Errors: it is not of one replicated table as it is, or that keeps no history.
pub(super) fn run(
    shared: &Arc<Shared>,
    node: &Node,
    sql: &str,
    connection: &SharedConnection,
) -> Result<Built> {
    let settings = Settings::of(node)?;
    let (history, columns) = history_of(shared, node, sql)?;
    let given = columns_given(connection, sql)?;
    let target = node.relation();
    let mut source = Relation::new(&node.database, &history.schema, &history.name);
    source.limit = shared.manifest.world.project.options.empty.then_some(0);
    let plan = Plan {
        settings: &settings,
        columns,
        history: source.in_from(),
        given: &given,
        target: target.render(),
    };
    let first = || Ok(format!("create table {} as (\n{}\n);", plan.target, plan.versions()));
    make(shared, node, connection, first, || again(&plan, shared.dialect(), &target, connection))
}

fn again(
    plan: &Plan<'_>,
    dialect: Adapter,
    target: &Relation,
    connection: &SharedConnection,
) -> Result<Built> {
    let held = columns_of(connection, target.database(), target.schema(), target.identifier())?;
    let names = &plan.settings.names;
    if let Some(missing) =
        [&names.scd_id, &names.valid_from, &names.valid_to].into_iter().find(|name| !has(&held, name))
    {
        let message = format!("{} is there without `{missing}` of a snapshot", plan.target);
        return Err(Problem::new(ProblemKind::Configuration, message)
            .hint("it was made by something else: give the snapshot another alias")
            .into());
    }
    let gather = |staged: &str| format!("create temporary table {staged} as (\n{}\n);", plan.versions());
    let bring_in = |staged: &str, columns: &Columns| Ok(plan.bring_in(staged, columns));
    through_staged(connection, dialect, target, &held, gather, bring_in)
}

/// The history of the one table that a snapshot reads, and what its columns are called.
fn history_of(shared: &Shared, node: &Node, sql: &str) -> Result<(LiveTable, HistoryColumns)> {
    let manifest = &shared.manifest;
    let wrong = |message: &str, hint: &str| {
        Problem::new(ProblemKind::Configuration, message).around(names::describe(node)).hint(hint)
    };
    let home = manifest.world.project.options.home.as_ref();
    let tables = home.and_then(|home| home.tables.as_deref());
    let Some(tables) = tables else {
        let hint = "build the project beside its millstream.yml, or leave `snapshot_from_history` out: the snapshot is polled then";
        return Err(wrong("a snapshot from history needs a warehouse that keeps one", hint).into());
    };
    let as_it_is = "a snapshot from history is of one replicated table as it is";
    let hint = "select * from {{ source('schema', 'table') }}, or `relation: source('schema', 'table')`";
    let read = match node.depends_on.as_slice() {
        [one] => manifest.source(one).map(Node::relation),
        _ => None,
    };
    let Some(mut read) = read else { return Err(wrong(as_it_is, hint).into()) };
    read.limit = manifest.world.project.options.empty.then_some(0);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    if words(sql) != words(&format!("select * from {}", read.in_from())) {
        return Err(wrong(as_it_is, hint).into());
    }
    let is = |table: &&LiveTable, name: &str| {
        table.schema.eq_ignore_ascii_case(read.schema()) && table.name.eq_ignore_ascii_case(name)
    };
    let current = tables.iter().find(|table| is(table, read.identifier()) && table.history.is_none());
    let name = format!("{}_history", read.identifier());
    let history = tables.iter().find(|table| is(table, &name));
    match (current, history.and_then(|history| Some((history.clone(), history.history.clone()?)))) {
        (None, _) => Err(wrong(as_it_is, hint).into()),
        (Some(_), None) => {
            let hint =
                format!("set `history: true` for {}.{} in millstream.yml", read.schema(), read.identifier());
            Err(wrong("the table keeps no history", &hint).into())
        }
        (Some(_), Some(found)) => Ok(found),
    }
}

/// What a snapshot from history is to do.
struct Plan<'p> {
    settings: &'p Settings,
    /// What the history calls its own columns.
    columns: HistoryColumns,
    /// The history's relation.
    history: String,
    /// The table's columns.
    given: &'p Columns,
    /// The snapshot's relation.
    target: String,
}

impl Plan<'_> {
    fn keys(&self) -> String {
        self.settings.keys.join(", ")
    }

    /// The end of a version: a time, or what an open one has.
    fn end(&self, time: &str) -> String {
        match &self.settings.valid_to_current {
            Some(open) => format!("coalesce({time}, cast({open} as timestamptz))"),
            None => time.to_owned(),
        }
    }

    /// All versions, as the snapshot has them.
    fn versions(&self) -> String {
        let HistoryColumns { valid_from, valid_to, operation_type } = &self.columns;
        let [valid_from, valid_to, operation_type] =
            [valid_from, valid_to, operation_type].map(|name| quoted(name));
        let names = &self.settings.names;
        let keys = self.keys();
        let columns: Vec<String> = self.given.iter().map(|(name, _)| quoted(name)).collect();
        let columns = columns.join(", ");
        // An open version's end can be called something else than nothing; where it closed is not.
        let seen = format!(
            "select {columns}, {valid_from} as dbt_from, case when _lsn_to is null then null else {valid_to} end as dbt_to, _lsn as dbt_lsn, _lsn_to as dbt_lsn_to,\n    \
             {} as dbt_id,\n    \
             lead({valid_from}) over dbt_row as dbt_next, lead(_lsn) over dbt_row as dbt_next_lsn\n  \
             from {}\n  where {operation_type} not in ('DELETE', 'TRUNCATE') and (_lsn_to is null or _lsn_to > _lsn)\n  \
             window dbt_row as (partition by {keys} order by _lsn, _seq)",
            id_of(self.settings.keys.iter().map(String::as_str).chain(["_lsn", "_seq"])),
            self.history,
        );
        let to = match self.settings.hard_deletes {
            // What is gone stays as it was until it is there again.
            HardDeletes::Ignore => "dbt_next",
            HardDeletes::Invalidate | HardDeletes::NewRecord => "dbt_to",
        };
        let select = |id: &str, from: &str, to: &str, deleted: &str| {
            let deleted = match self.settings.hard_deletes {
                HardDeletes::NewRecord => format!(", {deleted} as {}", names.is_deleted),
                _ => String::new(),
            };
            format!(
                "select {columns}, {id} as {}, {from} as {}, {from} as {}, {} as {}{deleted}\nfrom seen",
                names.scd_id,
                names.updated_at,
                names.valid_from,
                self.end(to),
                names.valid_to
            )
        };
        let mut parts = vec![select("dbt_id", "dbt_from", to, "'False'")];
        if self.settings.hard_deletes == HardDeletes::NewRecord {
            // From where a row went to where one of its key came back, if that was not in the same transaction.
            let gone = select("md5(dbt_id || '|deleted')", "dbt_to", "dbt_next", "'True'");
            parts.push(format!(
                "{gone}\nwhere dbt_lsn_to is not null and dbt_next_lsn is distinct from dbt_lsn_to"
            ));
        }
        format!("with seen as (\n  {seen}\n)\n{}", parts.join("\nunion all\n"))
    }

    /// The statements that end versions and add others.
    fn bring_in(&self, staged: &str, columns: &Columns) -> String {
        let names = &self.settings.names;
        let (id, from, to, target) = (&names.scd_id, &names.valid_from, &names.valid_to, &self.target);
        let columns: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let columns = columns.join(", ");
        let keys = self.settings.keys.iter().enumerate();
        let (firsts, same): (Vec<String>, Vec<String>) = keys
            .map(|(at, key)| (format!("{key} as dbt_key_{at}"), format!("firsts.dbt_key_{at} = {key}")))
            .unzip();
        let open = match &self.settings.valid_to_current {
            Some(open) => format!("({to} is null or {to} = cast({open} as timestamptz))"),
            None => format!("{to} is null"),
        };
        format!(
            "update {target} as versions set {to} = now_so.{to} from {staged} as now_so\n\
             where now_so.{id} = versions.{id} and now_so.{to} is distinct from versions.{to};\n\
             update {target} as versions set {to} = firsts.dbt_first\n\
             from (select {firsts}, min({from}) as dbt_first from {staged} group by all) as firsts\n\
             where {open} and {same} and versions.{id} not in (select {id} from {staged});\n\
             insert into {target} ({columns}) select {columns} from {staged} where {id} not in (select {id} from {target});",
            firsts = firsts.join(", "),
            same = same.join(" and "),
        )
    }
}
