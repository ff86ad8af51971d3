//! What has to be created at the source before it can be replicated, and creating it.
//!
//! The plan is pure: from what the catalogue holds and what is configured to what is selected, what is missing and what stands in the
//! way. Nothing that exists is changed, but for a publication that we created ourselves.

use std::{collections::BTreeSet, time::Duration};

use millstream_core::{TableId, TableName};

use crate::{
    blockers::wait_for_transactions,
    catalog::{publication, tables, PrimaryKey, Publication, TableInfo},
    config::SourceConfig,
    error::{Result, SourceError},
    patterns::TablePatterns,
    slot::Slot,
    sql,
    wire::Wire,
};

/// How long transactions that were open before a publication came into being are waited for.
const PUBLICATION_WAIT_MAX: Duration = Duration::from_secs(60);

/// What is there and what would be created.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The tables that will be replicated, as the stream names them.
    pub tables: Vec<TableInfo>,
    /// Whether the slot has to be created. Not a statement: it is created together with the snapshot that it exports.
    pub create_slot: bool,
    /// What creates or completes the publication.
    pub statements: Vec<String>,
    /// Whether the publication has to be created.
    pub create_publication: bool,
}

/// A selection of tables, and what stands in its way.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Selected, by name.
    pub tables: Vec<TableInfo>,
    /// Why they can't all be replicated.
    pub problems: Vec<SourceError>,
    /// Selected tables that a publication of ours lacks.
    pub unpublished: Vec<TableId>,
}

/// Which tables the patterns select, and whether the publication, existing or to be created, can carry them. Pure.
///
/// Partitions are replicated as their root where the publication says so, which one of ours does; otherwise one by one.
pub fn select(
    all: &[TableInfo],
    patterns: &TablePatterns,
    publication: Option<&Publication>,
    ours: bool,
) -> Selection {
    let mut selection =
        Selection { problems: patterns.unmatched(all.iter().map(|t| &t.name)), ..Default::default() };
    let via_root = publication.is_none_or(|publication| publication.via_root);
    let mut selected = BTreeSet::new();
    for table in all.iter().filter(|table| patterns.matches(&table.name)) {
        match (table.partition_root, via_root) {
            // It is in its root's stream, if its root is wanted.
            (Some(root), true) if all.iter().any(|t| t.id == root && patterns.matches(&t.name)) => {}
            (Some(root), true)
                if publication.is_some_and(|publication| publication.table(root).is_some()) =>
            {
                selection.problems.push(SourceError::Publication {
                    publication: publication.map(|publication| publication.name.clone()).unwrap_or_default(),
                    what: format!(
                        "{} as a table of its own: it is published as part of its root",
                        table.name
                    ),
                    remedy: format!(
                        "ALTER PUBLICATION {} SET (publish_via_partition_root = false)",
                        sql::identifier(&publication.map(|p| p.name.clone()).unwrap_or_default())
                    ),
                });
            }
            // Rows are in the leaves, which the patterns reach by the root's name too.
            (_, false) if table.partitioned => {
                let leaves =
                    all.iter().filter(|leaf| leaf.partition_root == Some(table.id) && !leaf.partitioned);
                selected.extend(leaves.map(|leaf| leaf.id));
            }
            (Some(_), true) if table.partitioned => {}
            _ => {
                selected.insert(table.id);
            }
        }
    }
    for table in all.iter().filter(|table| selected.contains(&table.id)) {
        check_table(table, all, &mut selection.problems);
        if publication.is_some_and(|publication| publication.table(table.id).is_none()) && !table.unlogged {
            selection.unpublished.push(table.id);
        }
        selection.tables.push(table.clone());
    }
    if let Some(publication) = publication {
        if !ours {
            for table in selection.tables.iter().filter(|table| selection.unpublished.contains(&table.id)) {
                selection.problems.push(SourceError::Publication {
                    publication: publication.name.clone(),
                    what: format!("table {}", table.name),
                    remedy: format!(
                        "ALTER PUBLICATION {} ADD TABLE {}",
                        sql::identifier(&publication.name),
                        sql::table(&table.name)
                    ),
                });
            }
        }
        check_operations(publication, &mut selection.problems);
    }
    selection
}

fn check_operations(publication: &Publication, problems: &mut Vec<SourceError>) {
    let operations = publication.operations;
    let all = [
        (operations.insert, "insert"),
        (operations.update, "update"),
        (operations.delete, "delete"),
        (operations.truncate, "truncate"),
    ];
    let missing: Vec<&str> =
        all.into_iter().filter(|(published, _)| !published).map(|(_, name)| name).collect();
    if !missing.is_empty() {
        problems.push(SourceError::Publication {
            publication: publication.name.clone(),
            what: format!("{} (changes of this kind would be missed)", missing.join(", ")),
            remedy: format!(
                "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                sql::identifier(&publication.name)
            ),
        });
    }
}

/// Whether a table can be published without harm to the application, and read.
fn check_table(table: &TableInfo, all: &[TableInfo], problems: &mut Vec<SourceError>) {
    let name = sql::table(&table.name);
    if table.unlogged {
        problems.push(SourceError::NotLogged {
            table: table.name.to_string(),
            what: "unlogged".into(),
            remedy: format!("ALTER TABLE {name} SET LOGGED"),
        });
        return;
    }
    // What an update says is decided by the partition that it happens in.
    let leaves = all
        .iter()
        .filter(|leaf| table.partitioned && leaf.partition_root == Some(table.id) && !leaf.partitioned);
    for heap in std::iter::once(table).chain(leaves).filter(|heap| !heap.has_identity()) {
        let remedy = format!("ALTER TABLE {} REPLICA IDENTITY FULL", sql::table(&heap.name));
        let what = match (heap.replica_identity, heap.primary_key) {
            (millstream_core::ReplicaIdentity::Default, PrimaryKey::Deferrable) => {
                "has only a deferrable primary key, which identifies no row: updates and deletes would fail once it is published"
            }
            (millstream_core::ReplicaIdentity::Default, _) => {
                "has no primary key: updates and deletes would fail once it is published"
            }
            (millstream_core::ReplicaIdentity::Index, _) => {
                "has lost the index of its replica identity: updates and deletes would fail once it is published"
            }
            _ => "has REPLICA IDENTITY NOTHING: updates and deletes would fail once it is published",
        };
        problems.push(SourceError::NoIdentity { table: heap.name.to_string(), what: what.into(), remedy });
    }
}

/// Two source tables whose names would be one: `target` gives the name in the warehouse, as the warehouse compares it.
pub fn colliding_names(tables: &[TableName], target: impl Fn(&TableName) -> TableName) -> Vec<SourceError> {
    let mut seen: std::collections::BTreeMap<TableName, &TableName> = Default::default();
    let mut collisions = Vec::new();
    for table in tables {
        if let Some(first) = seen.insert(target(table), table) {
            collisions
                .push(SourceError::NamesCollide { first: first.to_string(), second: table.to_string() });
        }
    }
    collisions
}

/// Reads the source and plans. `ours`: whether the publication was created by us, so that tables can be added to it. The first thing that
/// stands in the way is the error.
pub async fn plan(wire: &mut Wire, config: &SourceConfig, ours: bool) -> Result<Plan> {
    let all = tables(wire).await?;
    let publication = publication(wire, &config.publication).await?;
    let slot = Slot::read(wire, &config.slot).await?;
    if let Some(slot) = &slot {
        slot.check_kind()?;
        slot.check_wal()?;
    }
    let selection = select(&all, &config.tables, publication.as_ref(), ours);
    if let Some(problem) = selection.problems.into_iter().next() {
        return Err(problem);
    }
    let mut statements = Vec::new();
    if publication.is_none() {
        statements.push(create_publication(wire.version().major, &config.publication, &selection.tables));
    } else if !selection.unpublished.is_empty() {
        let missing = selection.tables.iter().filter(|table| selection.unpublished.contains(&table.id));
        let missing: Vec<String> = missing.map(|table| sql::table(&table.name)).collect();
        let name = sql::identifier(&config.publication);
        statements.push(format!("ALTER PUBLICATION {name} ADD TABLE {}", missing.join(", ")));
    }
    Ok(Plan {
        tables: selection.tables,
        create_slot: slot.is_none(),
        create_publication: publication.is_none(),
        statements,
    })
}

/// The statement that creates a publication of these tables, and never of all there are: those to come could have no identity.
pub(crate) fn create_publication(major: u32, name: &str, tables: &[TableInfo]) -> String {
    let tables: Vec<String> = tables.iter().map(|table| sql::table(&table.name)).collect();
    // Changes of a partition are its root's: partitions come and go without a new table in the warehouse.
    let options = if major >= 13 { " WITH (publish_via_partition_root = true)" } else { "" };
    format!("CREATE PUBLICATION {} FOR TABLE {}{options}", sql::identifier(name), tables.join(", "))
}

/// Executes the plan but for the slot, which is created with the first snapshot.
///
/// A transaction that wrote to a table before the table was published sends only what it writes afterwards. So whoever was open when the
/// publication changed is waited for: the snapshot, taken later, then holds all that they did. `skip_to_now`: the slot exists, nothing of it was read
/// yet, and what it holds from before the publication can't be decoded with it.
pub async fn execute(wire: &mut Wire, config: &SourceConfig, plan: &Plan, skip_to_now: bool) -> Result<()> {
    if plan.statements.is_empty() {
        return Ok(());
    }
    for statement in &plan.statements {
        let done = wire.query("creating the publication", statement).await;
        done.map_err(|error| match error.sqlstate() {
            Some("42501") => SourceError::NoPrivilege {
                role: config.connection.user.clone(),
                privilege: "the right to create or change the publication".into(),
                object: format!("publication {}", config.publication),
                remedy: statement.clone(),
            },
            _ => error,
        })?;
        tracing::info!(event = "source_changed", statement = statement.as_str(), "changed the source");
    }
    // A new slot waits by itself.
    if !plan.create_slot {
        wait_for_transactions(wire, "publishing the tables", PUBLICATION_WAIT_MAX).await?;
        if plan.create_publication && skip_to_now {
            let slot = sql::literal(&config.slot);
            let statement = format!("SELECT pg_replication_slot_advance({slot}, pg_current_wal_lsn())");
            wire.query("moving the slot behind the new publication", &statement).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use millstream_core::ReplicaIdentity;

    use super::*;
    use crate::catalog::{Operations, PublishedTable};

    fn table(id: u32, name: &str) -> TableInfo {
        TableInfo {
            id: TableId(id),
            name: TableName::new("s", name),
            partitioned: false,
            partition_root: None,
            unlogged: false,
            replica_identity: ReplicaIdentity::Default,
            primary_key: PrimaryKey::Immediate,
            identity_index: false,
            readable: true,
            schema_usable: true,
            rows_estimated: -1.0,
            bytes: 0,
        }
    }

    fn publication(tables: &[&TableInfo], via_root: bool) -> Publication {
        let tables =
            tables.iter().map(|t| PublishedTable { id: t.id, name: t.name.clone(), row_filter: None });
        Publication {
            name: "p".into(),
            all_tables: false,
            operations: Operations { insert: true, update: true, delete: true, truncate: true },
            via_root,
            tables: tables.collect(),
        }
    }

    fn partitioned() -> Vec<TableInfo> {
        let root = TableInfo { partitioned: true, ..table(1, "root") };
        let leaf = |id, name| TableInfo { partition_root: Some(TableId(1)), ..table(id, name) };
        vec![root, leaf(2, "root_a"), leaf(3, "root_b"), table(4, "other")]
    }

    fn ids(selection: &Selection) -> Vec<u32> {
        selection.tables.iter().map(|table| table.id.0).collect()
    }

    fn everything() -> TablePatterns {
        TablePatterns::new(["*"]).unwrap()
    }

    #[test]
    fn partitions_are_their_root_or_themselves_as_the_publication_says() {
        let all = partitioned();
        assert_eq!(ids(&select(&all, &everything(), None, false)), [1, 4]);
        let by_leaf = publication(&[&all[1], &all[2], &all[3]], false);
        assert_eq!(ids(&select(&all, &everything(), Some(&by_leaf), false)), [2, 3, 4]);
        let named = TablePatterns::new(["s.root"]).unwrap();
        assert_eq!(ids(&select(&all, &named, Some(&by_leaf), false)), [2, 3]);
        let by_root = publication(&[&all[0], &all[3]], true);
        let selection = select(&all, &everything(), Some(&by_root), false);
        assert_eq!((ids(&selection), selection.problems.len()), (vec![1, 4], 0));
        let leaf_only = TablePatterns::new(["s.root_a"]).unwrap();
        assert_eq!(select(&all, &leaf_only, Some(&by_root), false).problems.len(), 1);
    }

    #[test]
    fn what_a_publication_lacks_is_an_error_unless_it_is_ours() {
        let all = vec![table(1, "a"), table(2, "b")];
        let mut lacking = publication(&[&all[0]], true);
        let selection = select(&all, &everything(), Some(&lacking), false);
        assert!(
            matches!(&selection.problems[..], [SourceError::Publication { remedy, .. }] if remedy.contains("ADD TABLE"))
        );
        let selection = select(&all, &everything(), Some(&lacking), true);
        assert_eq!((selection.problems.len(), selection.unpublished), (0, vec![TableId(2)]));
        lacking.operations.truncate = false;
        assert_eq!(select(&all, &everything(), Some(&lacking), true).problems.len(), 1);
    }

    #[test]
    fn tables_that_publishing_would_harm_are_refused() {
        let broken = [
            TableInfo { primary_key: PrimaryKey::None, ..table(1, "a") },
            TableInfo { primary_key: PrimaryKey::Deferrable, ..table(2, "b") },
            TableInfo { replica_identity: ReplicaIdentity::Nothing, ..table(3, "c") },
            TableInfo { unlogged: true, ..table(4, "d") },
            TableInfo { replica_identity: ReplicaIdentity::Index, ..table(5, "e") },
        ];
        for table in broken {
            assert_eq!(
                select(std::slice::from_ref(&table), &everything(), None, false).problems.len(),
                1,
                "{}",
                table.name
            );
        }
        let full = TableInfo {
            primary_key: PrimaryKey::None,
            replica_identity: ReplicaIdentity::Full,
            ..table(1, "a")
        };
        assert!(select(&[full], &everything(), None, false).problems.is_empty());
    }

    #[test]
    fn a_partition_without_identity_is_found_under_its_root() {
        let mut all = partitioned();
        all[2].replica_identity = ReplicaIdentity::Nothing;
        assert_eq!(select(&all, &everything(), None, false).problems.len(), 1);
    }

    #[test]
    fn names_that_become_one_are_found() {
        let tables = [TableName::new("s", "ID"), TableName::new("s", "id"), TableName::new("t", "x")];
        let fold = |name: &TableName| TableName::new("", name.name.to_lowercase());
        assert_eq!(colliding_names(&tables, fold).len(), 1);
        assert!(colliding_names(&tables, TableName::clone).is_empty());
    }
}
