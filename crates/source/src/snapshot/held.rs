//! A snapshot held open: what it sees, as fence; its tables as they are in it; and their rows.
//!
//! A snapshot keeps rows visible, not tables intact: a TRUNCATE or a rewriting ALTER that commits after it makes a table
//! look empty to it. So the tables are locked in ACCESS SHARE mode for as long as the snapshot is held, as `pg_dump` does: reads and
//! writes go on, DDL waits. Where the snapshot had to come first (a slot exports its own), tables that changed before the lock are found and
//! left to another snapshot.

use millstream_core::{
    base::{CopyEncoding, PageRange},
    Fence, TableId, TableName, TableSchema, Timestamp, XidSnapshot,
};

use crate::{
    blockers::open_transactions,
    catalog::{clock, publication, read_tables, CatalogTables},
    config::Connection,
    error::{Result, SourceError},
    position::flushed_position,
    replication::CreatedSlot,
    sql,
    wire::Wire,
};

/// How long a table's lock is waited for: something like VACUUM FULL holds it.
const LOCK_WAIT_S: u64 = 30;

/// Pieces of a table are read in one statement each.
const COPY_READ_BYTES: usize = 256 * 1024;

/// A snapshot on a connection of its own.
pub struct HeldSnapshot {
    wire: Wire,
    /// For other connections to import.
    pub(crate) exported: String,
    /// What it sees.
    pub fence: Fence,
    /// All transactions with a lower id had ended when it was taken; 64 bits.
    pub(crate) horizon: u64,
    /// All transactions from this id on had not begun.
    pub(crate) next_xid: u64,
    /// The source's clock, read before it was taken.
    pub taken_at: Timestamp,
    /// Its tables.
    pub tables: Vec<HeldTable>,
}

/// A table in a snapshot.
#[derive(Debug, Clone)]
pub struct HeldTable {
    /// As it is in the snapshot.
    pub schema: TableSchema,
    /// Rows as of the last ANALYZE, if there was one, as far as the table has grown since.
    pub rows_estimated: Option<u64>,
    /// Where its rows are: itself, or its partitions.
    pub(crate) heaps: Vec<Heap>,
    pub(crate) row_filter: Option<String>,
    /// Fingerprint of all enums' labels.
    pub(crate) enum_labels: String,
    partitioned: bool,
}

/// Something with rows.
#[derive(Debug, Clone)]
pub(crate) struct Heap {
    pub(crate) id: TableId,
    pub(crate) filenode: u32,
    pub(crate) name: TableName,
    pub(crate) pages: u64,
    /// Whether ranges of pages can be read without reading the rest.
    pub(crate) by_range: bool,
}

impl HeldTable {
    /// Size of its rows, TOAST not included, in bytes.
    pub fn bytes(&self) -> u64 {
        const PAGE_BYTES: u64 = 8192;
        self.heaps.iter().map(|heap| heap.pages * PAGE_BYTES).sum()
    }

    /// The statement that copies all rows.
    fn copy_whole(&self, encodings: &[CopyEncoding]) -> String {
        let from = match self.partitioned {
            true => sql::table(&self.schema.name),
            false => format!("ONLY {}", sql::table(&self.schema.name)),
        };
        let filter = self.row_filter.as_ref().map_or(String::new(), |filter| format!(" WHERE ({filter})"));
        copy_binary(&format!("SELECT {} FROM {from}{filter}", self.columns(encodings, |_| true)))
    }

    /// The statement that copies a part of a heap.
    pub(crate) fn copy_part(&self, encodings: &[CopyEncoding], part: &Part<'_>) -> String {
        copy_binary(&format!("SELECT {} {}", self.columns(encodings, |_| true), self.rows_of(part)))
    }

    /// The same with nothing but the key's columns, in the table's order.
    pub(crate) fn copy_keys(&self, encodings: &[CopyEncoding], key: &[usize], part: &Part<'_>) -> String {
        let columns = self.columns(encodings, |index| key.contains(&index));
        copy_binary(&format!("SELECT {columns} {}", self.rows_of(part)))
    }

    /// The statement that counts a part's rows, separately those written before the horizon and those written since.
    pub(crate) fn count_by_age(&self, part: &Part<'_>, horizon: u64) -> String {
        format!(
            "SELECT count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {}) {}",
            Written::Before(horizon).condition().unwrap_or_default(),
            Written::Since(horizon).condition().unwrap_or_default(),
            self.rows_of(part)
        )
    }

    fn columns(&self, encodings: &[CopyEncoding], wanted: impl Fn(usize) -> bool) -> String {
        let columns = self.schema.columns.iter().zip(encodings).enumerate();
        let columns = columns.filter(|(index, _)| wanted(*index)).map(|(_, (column, encoding))| {
            let name = sql::identifier(&column.name);
            match encoding {
                CopyEncoding::Binary => name,
                // format() prints as the type's output function does, which a cast does not (inet, boolean, char(n)). IS DISTINCT FROM
                // NULL asks for the value itself to be null, IS NULL would look into a composite.
                CopyEncoding::Text => {
                    format!("CASE WHEN {name} IS DISTINCT FROM NULL THEN format('%s', {name}) END")
                }
            }
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    fn rows_of(&self, part: &Part<'_>) -> String {
        let mut conditions = Vec::new();
        if part.pages.from > 0 {
            conditions.push(format!("ctid >= '({},0)'::tid", part.pages.from));
        }
        if let Some(to) = part.pages.to {
            conditions.push(format!("ctid < '({to},0)'::tid"));
        }
        conditions.extend(part.written.condition());
        if let Some(filter) = &self.row_filter {
            conditions.push(format!("({filter})"));
        }
        let filter = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        format!("FROM ONLY {}{filter}", sql::table(&part.heap.name))
    }
}

fn copy_binary(select: &str) -> String {
    format!("COPY ({select}) TO STDOUT (FORMAT binary)")
}

/// Some rows of a heap.
#[derive(Debug, Clone)]
pub(crate) struct Part<'a> {
    pub(crate) heap: &'a Heap,
    pub(crate) pages: PageRange,
    pub(crate) written: Written,
}

/// When the version of a row that is visible was written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Written {
    Whenever,
    /// By a transaction below this id.
    Before(u64),
    /// By any other.
    Since(u64),
}

impl Written {
    /// `xmin` has 32 bits and stays in a row that was frozen long ago; `age` measures around the circle from now, so a row written since the horizon
    /// is always taken for one while fewer than 2^31 transactions have begun since. One that is ancient can be taken for new, which costs a row and
    /// harms nothing.
    fn condition(self) -> Option<String> {
        let compare = |comparison: &str, horizon: u64| {
            Some(format!("age(xmin) {comparison} age('{}'::xid)", horizon as u32))
        };
        match self {
            Written::Whenever => None,
            Written::Before(horizon) => compare(">", horizon),
            Written::Since(horizon) => compare("<=", horizon),
        }
    }
}

impl HeldSnapshot {
    /// Takes a snapshot fenced by transaction id. Waits for nobody but who holds a table in ACCESS EXCLUSIVE mode.
    ///
    /// With a publication, its column lists and row filters hold. Tables that are gone are left out.
    pub async fn take(
        connection: &Connection,
        publication: Option<&str>,
        tables: &[TableId],
    ) -> Result<Self> {
        let doing = "taking a snapshot";
        let mut wire = Wire::connect(connection).await?;
        let taken_at = clock(&mut wire).await?;
        wire.query(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        // Locks first: this statement does not fix the transaction's snapshot yet, the next one does.
        let names = names(connection, tables).await?;
        lock(&mut wire, &names).await?;
        let (exported, seen) = export(&mut wire, doing).await?;
        let (horizon, next_xid) = (seen.xmin, seen.xmax);
        // Read after the snapshot was taken. Not the insert position: what an idle server has written but not flushed is no commit
        // (a pruned page, for one), and it says nothing of it to the stream until a checkpoint or its next standby snapshot, 15 s later.
        let fence = Fence::Snapshot { snapshot: seen, read_after: flushed_position(&mut wire).await? };
        let catalog = read_tables(&mut wire, publication, tables, &[]).await?;
        let tables = describe(&mut wire, publication, tables, &catalog).await?;
        Ok(HeldSnapshot { wire, exported, fence, horizon, next_xid, taken_at, tables })
    }

    /// Holds on to the snapshot that a slot's creation exported. Also returns the tables that changed between the two in a way that the
    /// snapshot can't bear: they need a snapshot of their own.
    pub async fn import(
        connection: &Connection,
        publication: Option<&str>,
        tables: &[TableId],
        slot: &CreatedSlot,
        taken_at: Timestamp,
    ) -> Result<(Self, Vec<TableId>)> {
        let doing = "importing the slot's snapshot";
        let mut wire = Wire::connect(connection).await?;
        wire.query(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        wire.query(doing, &format!("SET TRANSACTION SNAPSHOT {}", sql::literal(&slot.snapshot))).await?;
        lock(&mut wire, &names(connection, tables).await?).await?;
        // Exported again, so that it can be imported for as long as this connection lives.
        let (exported, seen) = export(&mut wire, doing).await?;
        // What the snapshot sees must be durable: a server that crashed would give the ids of transactions that it lost to others.
        flushed_position(&mut wire).await?;
        let then = read_tables(&mut wire, publication, tables, &[]).await?;
        let moved = moved(&mut wire, connection, publication, tables, &then).await?;
        let kept: Vec<TableId> = tables.iter().copied().filter(|table| !moved.contains(table)).collect();
        let tables = describe(&mut wire, publication, &kept, &then).await?;
        let fence = Fence::ConsistentPoint(slot.consistent_point);
        let (horizon, next_xid) = (seen.xmin, seen.xmax);
        Ok((HeldSnapshot { wire, exported, fence, horizon, next_xid, taken_at, tables }, moved))
    }

    /// A table of the snapshot.
    pub fn table(&self, id: TableId) -> Option<&HeldTable> {
        self.tables.iter().find(|table| table.schema.id == id)
    }

    /// Starts copying all rows of a table of the snapshot; `encodings` as for its schema's columns.
    pub async fn copy(&mut self, table: TableId, encodings: &[CopyEncoding]) -> Result<TableCopy<'_>> {
        let doing = "copying a table";
        let statement = match self.table(table) {
            Some(table) => table.copy_whole(encodings),
            None => {
                return Err(SourceError::protocol(doing, format!("table {table} is not in the snapshot")))
            }
        };
        self.wire.copy_out(doing, &statement).await?;
        Ok(TableCopy { wire: &mut self.wire, buffer: Vec::new(), rows: None, messages: 0 })
    }

    /// Lets go of it.
    pub async fn release(self) {
        self.wire.close().await;
    }
}

/// Rows on their way. Must be read to the end before the snapshot is used for anything else.
pub struct TableCopy<'a> {
    wire: &'a mut Wire,
    buffer: Vec<u8>,
    rows: Option<u64>,
    messages: u64,
}

impl TableCopy<'_> {
    /// The next bytes of COPY output, not aligned to rows; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<&[u8]>> {
        self.buffer.clear();
        if self.rows.is_none() {
            self.rows = self
                .wire
                .copy_read("copying a table", &mut self.buffer, COPY_READ_BYTES, &mut self.messages)
                .await?;
        }
        Ok((!self.buffer.is_empty()).then_some(&self.buffer))
    }

    /// How many rows there were, once the end is reached.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }
}

/// Exports the transaction's snapshot, and says what it sees.
async fn export(wire: &mut Wire, doing: &str) -> Result<(String, XidSnapshot)> {
    let current = if wire.version().major >= 13 { "pg_current_snapshot" } else { "txid_current_snapshot" };
    let row = wire.query_one(doing, &format!("SELECT pg_export_snapshot(), {current}()")).await?;
    Ok((row.text(0)?.to_owned(), parse_snapshot(row.text(1)?)?))
}

/// Current names. Asked on another connection, so that the snapshot's own transaction is not fixed by it.
async fn names(connection: &Connection, tables: &[TableId]) -> Result<Vec<TableName>> {
    let mut wire = Wire::connect(connection).await?;
    let catalog = read_tables(&mut wire, None, tables, &[]).await?;
    wire.close().await;
    Ok(catalog.tables.into_values().map(|table| table.name).collect())
}

async fn lock(wire: &mut Wire, tables: &[TableName]) -> Result<()> {
    let doing = "locking the tables against changes of their form";
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(sql::table).collect();
    let statement = format!(
        "SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'; LOCK TABLE {} IN ACCESS SHARE MODE; SET LOCAL lock_timeout = 0",
        names.join(", ")
    );
    match wire.query(doing, &statement).await {
        Ok(_) => Ok(()),
        Err(error) if error.sqlstate() == Some("55P03") => {
            // The transaction is aborted and only good for being ended.
            wire.query(doing, "ROLLBACK").await?;
            let blockers = open_transactions(wire).await?;
            Err(SourceError::OpenTransactions { doing: doing.into(), waited_s: LOCK_WAIT_S, blockers })
        }
        Err(error) => Err(error),
    }
}

/// Tables whose form or storage is not the snapshot's any more.
async fn moved(
    wire: &mut Wire,
    connection: &Connection,
    publication: Option<&str>,
    tables: &[TableId],
    then: &CatalogTables,
) -> Result<Vec<TableId>> {
    let mut other = Wire::connect(connection).await?;
    let now = read_tables(&mut other, publication, tables, &[]).await?;
    other.close().await;
    // The function reads what is current, the column what the snapshot sees; partitions count as their root.
    let statement = "SELECT coalesce(CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END, c.oid) FROM pg_class c \
                     WHERE c.relkind = 'r' AND c.relfilenode <> 0 AND c.relfilenode <> pg_relation_filenode(c.oid)";
    let rows = wire.query("comparing the tables with their snapshot", statement).await?;
    let rewritten: Vec<TableId> = rows.iter().map(|row| row.parse(0).map(TableId)).collect::<Result<_>>()?;
    let changed = |table: &&TableId| {
        rewritten.contains(table)
            || match (then.tables.get(table), now.tables.get(table)) {
                (Some(then), Some(now)) => then.attributes != now.attributes || then.name != now.name,
                (then, now) => then.is_some() != now.is_some(),
            }
    };
    Ok(tables.iter().filter(changed).copied().collect())
}

async fn describe(
    wire: &mut Wire,
    publication_name: Option<&str>,
    tables: &[TableId],
    catalog: &CatalogTables,
) -> Result<Vec<HeldTable>> {
    let doing = "measuring the tables";
    let publication = match publication_name {
        Some(name) => publication(wire, name).await?,
        None => None,
    };
    // Renaming a label changes rows without touching them.
    let labels = "SELECT coalesce(md5(string_agg(e::text, ' ' ORDER BY e.oid)), '') FROM pg_enum e";
    let enum_labels = wire.query_one(doing, labels).await?.text(0)?.to_owned();
    let mut described = Vec::new();
    for table in tables.iter().filter_map(|table| catalog.tables.get(table)) {
        // Tid Range Scan came with 14; other access methods than heap have no pages to speak of.
        let statement = format!(
            "SELECT n.nspname, c.relname, coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint, \
             coalesce(a.amname = 'heap', false), c.reltuples, c.oid <> {id}, c.oid, coalesce(pg_relation_filenode(c.oid), 0), \
             c.relpages FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam \
             WHERE c.relkind = 'r' AND (c.oid = {id} OR c.oid IN (SELECT relid FROM pg_partition_tree({id}) WHERE isleaf)) \
             ORDER BY c.oid",
            id = table.id
        );
        let rows = wire.query(doing, &statement).await?;
        let mut heaps = Vec::new();
        let mut rows_estimated = Some(0.0);
        for row in &rows {
            heaps.push(Heap {
                id: TableId(row.parse(6)?),
                filenode: row.parse(7)?,
                name: TableName::new(row.text(0)?, row.text(1)?),
                pages: row.parse(2)?,
                by_range: row.flag(3) && wire.version().major >= 14,
            });
            let (rows, pages, pages_then): (f64, u64, i64) = (row.parse(4)?, row.parse(2)?, row.parse(8)?);
            // Never analysed: -1, and 0 up to version 13.
            let known = rows > 0.0 || (rows == 0.0 && pages == 0);
            // As many on a page as there were then, which is how the planner estimates it too.
            let rows = if pages_then > 0 { rows / pages_then as f64 * pages as f64 } else { rows };
            rows_estimated = rows_estimated.filter(|_| known).map(|sum| sum + rows);
        }
        described.push(HeldTable {
            schema: catalog.schema(table),
            rows_estimated: rows_estimated.map(|rows| rows as u64),
            heaps,
            enum_labels: enum_labels.clone(),
            row_filter: publication
                .as_ref()
                .and_then(|p| p.table(table.id))
                .and_then(|t| t.row_filter.clone()),
            partitioned: rows.first().is_none_or(|row| row.flag(5)),
        });
    }
    Ok(described)
}

/// `xmin:xmax:xip,xip,…`
fn parse_snapshot(text: &str) -> Result<XidSnapshot> {
    let error = || SourceError::protocol("taking a snapshot", format!("snapshot `{text}`"));
    let mut parts = text.split(':');
    let mut edge = || parts.next().and_then(|part| part.parse().ok()).ok_or_else(error);
    let (xmin, xmax) = (edge()?, edge()?);
    let listed = parts.next().ok_or_else(error)?;
    let in_progress =
        listed.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().map_err(|_| error()));
    let mut in_progress: Vec<u64> = in_progress.collect::<Result<_>>()?;
    in_progress.sort_unstable();
    Ok(XidSnapshot { xmin, xmax, in_progress })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_read_as_the_server_prints_it() {
        assert_eq!(
            parse_snapshot("10:20:15,10").unwrap(),
            XidSnapshot { xmin: 10, xmax: 20, in_progress: vec![10, 15] }
        );
        assert_eq!(parse_snapshot("7:7:").unwrap(), XidSnapshot { xmin: 7, xmax: 7, in_progress: vec![] });
        assert!(parse_snapshot("7:7").is_err() && parse_snapshot("7:x:").is_err());
    }
}
