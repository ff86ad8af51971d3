//! Looking at the catalogue every few seconds, for what happens to a table's rows or form without any event in the stream.
//!
//! `ALTER … TYPE … USING`, a volatile default, `VACUUM FULL`, a partition that is attached, detached or truncated: none of them sends a
//! row. They leave traces in the catalogue, above all another `relfilenode`. What is seen is told once per change; whether the stream explains it
//! (a TRUNCATE does) or the table has to be compared is the listener's to decide.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use millstream_core::{Lsn, TableId, TableName, TableSchema};
use tokio::{sync::mpsc, time::sleep};

use crate::{
    capture::{Observer, SourceEvent, TableChange},
    catalog::{publication, table_schemas},
    config::Connection,
    error::Result,
    sql,
    stop::Stop,
    wire::Wire,
};

/// How often the catalogue is looked at, unless chosen otherwise: soon enough for a person who waits for it, at a cost of a few
/// milliseconds to the source.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// The pause after a failed look: capture says what is wrong with the server, this only tries again.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(5);

/// What to watch.
#[derive(Debug, Clone)]
pub struct WatchConfig {
    /// The source.
    pub connection: Connection,
    /// Whose retained WAL is measured.
    pub slot: String,
    /// Whose tables are watched.
    pub publication: String,
    /// [`WATCH_INTERVAL`].
    pub interval: Duration,
}

/// Watches until stopped. `known` is how the tables were last seen, from before a restart too: what differs is told at the first look.
///
/// Tables outside of `known` that the publication has are told as published, once.
pub async fn run(
    config: WatchConfig,
    known: Vec<TableSchema>,
    observer: Arc<Observer>,
    events: mpsc::Sender<SourceEvent>,
    mut stop: Stop,
) {
    let known = known.into_iter().map(|schema| (schema.id, schema)).collect();
    let mut watcher =
        Watcher { config, known, events, observer, marks: HashMap::new(), partitions: BTreeMap::new() };
    let mut connection = None;
    while !stop.is_requested() {
        let looked = tokio::select! {
            () = stop.requested() => break,
            looked = watcher.look(&mut connection) => looked,
        };
        let pause = match looked {
            Ok(true) => watcher.config.interval,
            // Nobody listens any more.
            Ok(false) => break,
            Err(error) => {
                tracing::debug!(event = "catalogue_unread", %error, "the catalogue could not be looked at");
                connection = None;
                PAUSE_AFTER_ERROR
            }
        };
        tokio::select! {
            () = stop.requested() => break,
            () = sleep(pause) => {}
        }
    }
    if let Some(wire) = connection {
        wire.close().await;
    }
}

struct Watcher {
    config: WatchConfig,
    known: HashMap<TableId, TableSchema>,
    events: mpsc::Sender<SourceEvent>,
    observer: Arc<Observer>,
    /// A short mark of each table's catalogue rows, so that unchanged ones cost one row of an answer.
    marks: HashMap<TableId, String>,
    /// The leaves of each partitioned table.
    partitions: BTreeMap<TableId, BTreeMap<TableId, Leaf>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    name: TableName,
    relfilenode: u32,
    /// Whether it came into being as a partition, and so never held a row that its root did not send.
    born_here: bool,
}

impl Watcher {
    /// Whether somebody still listens.
    async fn look(&mut self, connection: &mut Option<Wire>) -> Result<bool> {
        let wire = match connection {
            Some(wire) => wire,
            None => connection.insert(Wire::connect(&self.config.connection).await?),
        };
        self.measure(wire).await?;
        let Some(publication) = publication(wire, &self.config.publication).await? else { return Ok(true) };
        let published: HashMap<TableId, &TableName> =
            publication.tables.iter().map(|table| (table.id, &table.name)).collect();

        let mut watched: Vec<TableId> = published.keys().chain(self.known.keys()).copied().collect();
        watched.sort_unstable();
        watched.dedup();
        let marks = marks(wire, &watched).await?;
        let changed: Vec<TableId> = watched
            .iter()
            .copied()
            .filter(|id| marks.get(id) != self.marks.get(id) || !self.marks.contains_key(id))
            .collect();
        let now = table_schemas(wire, Some(&self.config.publication), &changed).await?;
        let now: HashMap<TableId, TableSchema> = now.into_iter().map(|schema| (schema.id, schema)).collect();

        for id in changed {
            let current = now.get(&id);
            let found = match self.known.get(&id) {
                Some(known) => changes(known, current),
                None => vec![TableChange::Published],
            };
            // By the name it was known under: a rename says the new one itself.
            let name = self.known.get(&id).or(current).map(|schema| schema.name.clone());
            let Some(name) = name else { continue };
            for change in found {
                if !self.tell(id, &name, change).await {
                    return Ok(false);
                }
            }
            self.known.remove(&id);
            self.known.extend(current.map(|schema| (id, schema.clone())));
        }
        let unpublished: Vec<(TableId, TableName)> = self
            .known
            .values()
            .filter(|known| !published.contains_key(&known.id) && marks.contains_key(&known.id))
            .map(|known| (known.id, known.name.clone()))
            .collect();
        for (id, name) in unpublished {
            self.known.remove(&id);
            if !self.tell(id, &name, TableChange::Unpublished).await {
                return Ok(false);
            }
        }
        // A table that left and comes back is looked at anew.
        self.marks = marks.into_iter().filter(|(id, _)| self.known.contains_key(id)).collect();
        self.look_at_partitions(wire).await
    }

    async fn look_at_partitions(&mut self, wire: &mut Wire) -> Result<bool> {
        let roots: Vec<TableId> = self.known.keys().copied().collect();
        let mut now = leaves(wire, &roots).await?;
        for root in &roots {
            // Tables without partitions have an empty entry, so that losing the last one shows.
            let leaves = now.entry(*root).or_default();
            let Some(before) = self.partitions.get(root) else { continue };
            if let (Some(change), Some(known)) = (partition_changes(before, leaves), self.known.get(root)) {
                let name = known.name.clone();
                if !self.tell(*root, &name, change).await {
                    return Ok(false);
                }
            }
        }
        self.partitions = now;
        Ok(true)
    }

    /// Where the source is, for status.
    async fn measure(&self, wire: &mut Wire) -> Result<()> {
        let statement = format!(
            "SELECT pg_current_wal_lsn(), coalesce((SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint \
             FROM pg_replication_slots WHERE slot_name = {}), 0)",
            sql::literal(&self.config.slot)
        );
        let row = wire.query_one("asking for the source's position", &statement).await?;
        let (end, retained): (Lsn, i64) = (row.parse(0)?, row.parse(1)?);
        self.observer.set_source(end, retained.max(0) as u64);
        Ok(())
    }

    async fn tell(&self, table: TableId, name: &TableName, change: TableChange) -> bool {
        tracing::info!(event = "table_changed", table = %name, ?change, "a table has changed at the source");
        self.events.send(SourceEvent::TableChanged { table, name: name.clone(), change }).await.is_ok()
    }
}

/// What differs between a table as it was and as it is. Pure.
fn changes(known: &TableSchema, now: Option<&TableSchema>) -> Vec<TableChange> {
    let Some(now) = now else { return vec![TableChange::Dropped] };
    let mut found = Vec::new();
    if known.name != now.name {
        found.push(TableChange::Renamed { to: now.name.clone() });
    }
    let form = |schema: &TableSchema| {
        let columns =
            schema.columns.iter().map(|c| (c.attnum, c.name.clone(), c.pg_type.oid, c.pg_type.typmod));
        (columns.collect::<Vec<_>>(), schema.key.clone(), schema.replica_identity)
    };
    if form(known) != form(now) {
        found.push(TableChange::Columns { schema: Box::new(now.clone()) });
    }
    // Partitions that were detached or rewritten while nobody watched; while somebody does, they are looked at by name.
    if now.may_be_rewritten_since(known) || now.partitions_changed_since(known).is_some() {
        found.push(TableChange::Rewritten { class_xmin: now.class_xmin });
    }
    found
}

/// What happened to a partitioned table's rows through its partitions, if anything. Pure.
fn partition_changes(before: &BTreeMap<TableId, Leaf>, now: &BTreeMap<TableId, Leaf>) -> Option<TableChange> {
    let names =
        |leaves: &mut dyn Iterator<Item = &Leaf>| leaves.map(|leaf| leaf.name.clone()).collect::<Vec<_>>();
    let attached =
        names(&mut now.iter().filter(|(id, l)| !before.contains_key(id) && !l.born_here).map(|(_, l)| l));
    let detached = names(&mut before.iter().filter(|(id, _)| !now.contains_key(id)).map(|(_, l)| l));
    let rewritten = names(
        &mut now
            .iter()
            .filter(|(id, l)| before.get(id).is_some_and(|b| b.relfilenode != l.relfilenode))
            .map(|(_, l)| l),
    );
    let nothing = attached.is_empty() && detached.is_empty() && rewritten.is_empty();
    (!nothing).then_some(TableChange::Partitions { attached, detached, rewritten })
}

fn oids(tables: &[TableId]) -> String {
    let oids: Vec<String> = tables.iter().map(TableId::to_string).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}

async fn marks(wire: &mut Wire, tables: &[TableId]) -> Result<HashMap<TableId, String>> {
    let statement = format!(
        "SELECT c.oid, md5(concat_ws('|', n.nspname, c.relname, c.relreplident, coalesce(pg_relation_filenode(c.oid), 0), \
         (SELECT string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull), ';' ORDER BY a.attnum) \
          FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
         (SELECT string_agg(concat_ws(',', i.indkey, i.indimmediate, i.indisprimary, i.indisreplident), ';' ORDER BY i.indexrelid) \
          FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident)))) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ({})",
        oids(tables)
    );
    let rows = wire.query("watching the tables", &statement).await?;
    rows.iter().map(|row| Ok((TableId(row.parse(0)?), row.text(1)?.to_owned()))).collect()
}

/// The leaves of those tables that are partitioned.
async fn leaves(wire: &mut Wire, tables: &[TableId]) -> Result<BTreeMap<TableId, BTreeMap<TableId, Leaf>>> {
    // Rows of system columns are written once, by the transaction that creates the table.
    const TABLEOID_ATTRIBUTE: i16 = -6;
    let statement = format!(
        "SELECT p.oid, c.oid, n.nspname, c.relname, coalesce(pg_relation_filenode(c.oid), 0), \
         h.xmin::text = (SELECT a.xmin::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = {TABLEOID_ATTRIBUTE}) \
         FROM pg_class p, LATERAL pg_partition_tree(p.oid) t JOIN pg_class c ON c.oid = t.relid \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits h ON h.inhrelid = c.oid \
         WHERE p.relkind = 'p' AND t.isleaf AND c.relkind = 'r' AND p.oid = ANY ({0})",
        oids(tables)
    );
    let mut roots: BTreeMap<TableId, BTreeMap<TableId, Leaf>> = BTreeMap::new();
    for row in wire.query("watching the partitions", &statement).await? {
        let leaf = Leaf {
            name: TableName::new(row.text(2)?, row.text(3)?),
            relfilenode: row.parse(4)?,
            born_here: row.flag(5),
        };
        roots.entry(TableId(row.parse(0)?)).or_default().insert(TableId(row.parse(1)?), leaf);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(relfilenode: u32, born_here: bool) -> Leaf {
        Leaf { name: TableName::new("s", format!("l{relfilenode}")), relfilenode, born_here }
    }

    #[test]
    fn a_partition_that_is_created_in_place_changes_no_rows_and_an_attached_one_does() {
        let before = BTreeMap::from([(TableId(1), leaf(1, true))]);
        let with = |more: Leaf| BTreeMap::from([(TableId(1), leaf(1, true)), (TableId(2), more)]);
        assert_eq!(partition_changes(&before, &before), None);
        assert_eq!(partition_changes(&before, &with(leaf(2, true))), None);
        assert!(partition_changes(&before, &with(leaf(2, false))).is_some());
        assert!(partition_changes(&with(leaf(2, true)), &before).is_some());
        assert!(partition_changes(&before, &BTreeMap::from([(TableId(1), leaf(9, true))])).is_some());
    }
}
