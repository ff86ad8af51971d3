//! What the source's catalogue says: tables, publications, types, keys.
//!
//! Queries are thin and give plain values; what follows from them ([`schema`], [`relation`]) is pure. Nothing here opens a
//! transaction: a caller that copies rows asks inside the snapshot that it copies from.

mod placing;
mod read;
pub mod relation;
pub mod schema;

use millstream_core::{ReplicaIdentity, TableId, TableName, Timestamp};

pub(crate) use read::{read_tables, Attribute, CatalogTable, CatalogTables};
pub use schema::table_schemas;

use crate::{
    error::{Result, SourceError},
    sql,
    wire::Wire,
};

/// A table that exists, wanted or not.
#[derive(Debug, Clone, PartialEq)]
pub struct TableInfo {
    /// OID.
    pub id: TableId,
    /// Name.
    pub name: TableName,
    /// Whether it is partitioned itself.
    pub partitioned: bool,
    /// The topmost table that this is a partition of.
    pub partition_root: Option<TableId>,
    /// Whether its changes are not written to the WAL.
    pub unlogged: bool,
    /// What old tuples hold.
    pub replica_identity: ReplicaIdentity,
    /// Whether there is a primary key, and whether it is checked at once.
    pub primary_key: PrimaryKey,
    /// Whether an index is chosen as replica identity.
    pub identity_index: bool,
    /// Whether this role may read it.
    pub readable: bool,
    /// Whether this role may look into its schema.
    pub schema_usable: bool,
    /// Rows as of the last ANALYZE; negative if there was none.
    pub rows_estimated: f64,
    /// Size of the rows, TOAST included, in bytes.
    pub bytes: u64,
}

/// A table's primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimaryKey {
    /// There is none.
    None,
    /// Checked at each statement: identifies rows.
    Immediate,
    /// Checked at commit: two rows can share a key meanwhile, so that it identifies nothing.
    Deferrable,
}

impl TableInfo {
    /// Whether an update or delete says which row it means; if not, the server refuses them once the table is published.
    pub fn has_identity(&self) -> bool {
        match self.replica_identity {
            ReplicaIdentity::Full => true,
            ReplicaIdentity::Index => self.identity_index,
            ReplicaIdentity::Default => self.primary_key == PrimaryKey::Immediate,
            ReplicaIdentity::Nothing => false,
        }
    }
}

/// A publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its name.
    pub name: String,
    /// `FOR ALL TABLES`.
    pub all_tables: bool,
    /// Operations that are published.
    pub operations: Operations,
    /// Whether changes of partitions are published as their root's.
    pub via_root: bool,
    /// Its tables, as the stream names them.
    pub tables: Vec<PublishedTable>,
}

/// The operations of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Operations {
    pub insert: bool,
    pub update: bool,
    pub delete: bool,
    pub truncate: bool,
}

/// A table of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTable {
    /// OID.
    pub id: TableId,
    /// Name.
    pub name: TableName,
    /// `WHERE` of the publication: rows that it leaves out.
    pub row_filter: Option<String>,
}

impl Publication {
    /// Its entry of a table.
    pub fn table(&self, id: TableId) -> Option<&PublishedTable> {
        self.tables.iter().find(|table| table.id == id)
    }
}

/// Schemas that belong to the server.
const USER_TABLES: &str =
    "c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' \
                           AND n.nspname !~ '^pg_'";

/// All tables of the database but temporary ones and the system's, by name.
pub async fn tables(wire: &mut Wire) -> Result<Vec<TableInfo>> {
    let statement = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', \
         CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END, \
         c.relpersistence = 'u', c.relreplident, \
         (SELECT i.indimmediate FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), \
         EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid), \
         CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN has_table_privilege(c.oid, 'SELECT') ELSE false END, \
         has_schema_privilege(n.oid, 'USAGE'), c.reltuples, \
         CASE c.relkind WHEN 'p' THEN 0 ELSE c.relpages::bigint * current_setting('block_size')::bigint END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {USER_TABLES} ORDER BY 2, 3"
    );
    let rows = wire.query("listing tables", &statement).await?;
    rows.iter()
        .map(|row| {
            Ok(TableInfo {
                id: TableId(row.parse(0)?),
                name: TableName::new(row.text(1)?, row.text(2)?),
                partitioned: row.flag(3),
                partition_root: row.get(4).map(|_| row.parse(4)).transpose()?.map(TableId),
                unlogged: row.flag(5),
                replica_identity: replica_identity(row.text(6)?)?,
                primary_key: match row.get(7) {
                    None => PrimaryKey::None,
                    Some("t") => PrimaryKey::Immediate,
                    Some(_) => PrimaryKey::Deferrable,
                },
                identity_index: row.flag(8),
                readable: row.flag(9),
                schema_usable: row.flag(10),
                rows_estimated: row.parse(11)?,
                bytes: row.parse(12)?,
            })
        })
        .collect()
}

/// A publication with its tables, if it exists.
pub async fn publication(wire: &mut Wire, name: &str) -> Result<Option<Publication>> {
    let doing = "reading the publication";
    let major = wire.version().major;
    let via_root = if major >= 13 { "pubviaroot" } else { "false" };
    let statement = format!(
        "SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, {via_root} \
         FROM pg_publication WHERE pubname = {}",
        sql::literal(name)
    );
    let rows = wire.query(doing, &statement).await?;
    let Some(head) = rows.first() else { return Ok(None) };
    let row_filter = if major >= 15 { "p.rowfilter" } else { "NULL" };
    let statement = format!(
        "SELECT c.oid, p.schemaname, p.tablename, {row_filter} FROM pg_publication_tables p \
         JOIN pg_namespace n ON n.nspname = p.schemaname \
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
         WHERE p.pubname = {} ORDER BY 2, 3",
        sql::literal(name)
    );
    let rows = wire.query(doing, &statement).await?;
    let tables = rows.iter().map(|row| {
        Ok(PublishedTable {
            id: TableId(row.parse(0)?),
            name: TableName::new(row.text(1)?, row.text(2)?),
            row_filter: row.get(3).map(str::to_owned),
        })
    });
    Ok(Some(Publication {
        name: name.to_owned(),
        all_tables: head.flag(0),
        operations: Operations {
            insert: head.flag(1),
            update: head.flag(2),
            delete: head.flag(3),
            truncate: head.flag(4),
        },
        via_root: head.flag(5),
        tables: tables.collect::<Result<_>>()?,
    }))
}

/// The source's clock.
pub async fn clock(wire: &mut Wire) -> Result<Timestamp> {
    let statement = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    Ok(Timestamp(wire.query_one("reading the clock", statement).await?.parse(0)?))
}

fn replica_identity(letter: &str) -> Result<ReplicaIdentity> {
    Ok(match letter {
        "d" => ReplicaIdentity::Default,
        "i" => ReplicaIdentity::Index,
        "f" => ReplicaIdentity::Full,
        "n" => ReplicaIdentity::Nothing,
        _ => {
            return Err(SourceError::protocol(
                "reading the catalogue",
                format!("replica identity `{letter}`"),
            ))
        }
    })
}
