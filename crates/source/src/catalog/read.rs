//! Rows of the catalogue for some tables, as plain values.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use millstream_core::{Leaf, ReplicaIdentity, StorageMark, TableId, TableName};
use millstream_pgoutput::types::CatalogType;

use super::replica_identity;
use crate::{error::Result, sql, wire::Wire};

const DOING: &str = "reading the catalogue";

/// A row of `pg_attribute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) attnum: i16,
    pub(crate) name: String,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
    pub(crate) not_null: bool,
    pub(crate) missing_value: Option<String>,
    /// Dropped columns keep their number and lose their name and type.
    pub(crate) dropped: bool,
    /// Whether the publication sends it.
    pub(crate) published: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogTable {
    pub(crate) id: TableId,
    pub(crate) name: TableName,
    pub(crate) replica_identity: ReplicaIdentity,
    pub(crate) relfilenode: u32,
    pub(crate) class_xmin: u32,
    pub(crate) storage: StorageMark,
    /// By number.
    pub(crate) attributes: Vec<Attribute>,
    /// Attribute numbers of a primary key that is not deferrable.
    pub(crate) primary_key: Option<Vec<i16>>,
    /// Attribute numbers of the index chosen as replica identity.
    pub(crate) identity_index: Option<Vec<i16>>,
}

/// Tables with all types that they need.
#[derive(Debug, Clone, Default)]
pub(crate) struct CatalogTables {
    pub(crate) tables: BTreeMap<TableId, CatalogTable>,
    pub(crate) types: HashMap<u32, CatalogType>,
    /// `format_type` of type and modifier.
    pub(crate) names: HashMap<(u32, i32), String>,
}

/// Reads tables as they are now, or in this connection's snapshot. One that is gone is left out. `publication` decides which columns are
/// published; without one, all that can be. `more_types` are types to know beyond those of the columns.
pub(crate) async fn read_tables(
    wire: &mut Wire,
    publication: Option<&str>,
    tables: &[TableId],
    more_types: &[(u32, i32)],
) -> Result<CatalogTables> {
    let mut catalog = CatalogTables::default();
    if tables.is_empty() {
        return Ok(catalog);
    }
    let oids = array(tables.iter().map(|table| table.0));
    let statement = format!(
        "SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relfilenode, c.xmin, {FORM_DIGEST}, c.relkind = 'p', \
         CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ({oids})"
    );
    let mut partitioned = false;
    for row in wire.query(DOING, &statement).await? {
        let table = CatalogTable {
            id: TableId(row.parse(0)?),
            name: TableName::new(row.text(1)?, row.text(2)?),
            replica_identity: replica_identity(row.text(3)?)?,
            relfilenode: row.parse(4)?,
            class_xmin: row.parse(5)?,
            storage: StorageMark {
                form: row.parse::<i64>(6)? as u64,
                read_at: row.parse(8)?,
                ..StorageMark::default()
            },
            attributes: Vec::new(),
            primary_key: None,
            identity_index: None,
        };
        partitioned |= row.flag(7);
        catalog.tables.insert(table.id, table);
    }
    if partitioned {
        read_leaves(wire, &oids, &mut catalog).await?;
    }
    read_attributes(wire, publication, &oids, &mut catalog).await?;
    read_keys(wire, &oids, &mut catalog).await?;
    read_types(wire, more_types, &mut catalog).await?;
    Ok(catalog)
}

/// [`StorageMark::form`], read with the file node under one snapshot: read apart, an old digest could come with a new file node. Transaction ids of
/// catalogue rows change with every write of them and with nothing else (freezing keeps them). Where no publication names the table there is none,
/// as it could have been unlogged in between.
const FORM_DIGEST: &str = "coalesce((SELECT ('x' || left(md5(c.relpersistence::text || string_agg(concat_ws(':', r.oid, r.xmin), ',' ORDER BY r.oid) || \
     (SELECT string_agg(concat_ws(':', p.oid, p.xmin), ',' ORDER BY p.oid) FROM pg_publication p) || \
     (SELECT string_agg(concat_ws(':', a.attnum, a.xmin), ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)), \
     16))::bit(64)::bigint FROM pg_publication_rel r WHERE r.prrelid = c.oid), 0)";

/// The partitions of those tables that have some.
async fn read_leaves(wire: &mut Wire, oids: &str, catalog: &mut CatalogTables) -> Result<()> {
    // Rows of system columns are written once, by the transaction that creates the table.
    const TABLEOID_ATTRIBUTE: i16 = -6;
    let statement = format!(
        "SELECT p.oid, c.oid, c.relfilenode, h.xmin::text = \
         (SELECT a.xmin::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = {TABLEOID_ATTRIBUTE}) \
         FROM pg_class p, LATERAL pg_partition_tree(p.oid) t JOIN pg_class c ON c.oid = t.relid \
         JOIN pg_inherits h ON h.inhrelid = c.oid \
         WHERE p.relkind = 'p' AND t.isleaf AND c.relkind = 'r' AND p.oid = ANY ({oids}) ORDER BY 2"
    );
    for row in wire.query(DOING, &statement).await? {
        let leaf = Leaf { id: TableId(row.parse(1)?), relfilenode: row.parse(2)?, born_here: row.flag(3) };
        if let Some(table) = catalog.tables.get_mut(&TableId(row.parse(0)?)) {
            table.storage.leaves.push(leaf);
        }
    }
    Ok(())
}

async fn read_attributes(
    wire: &mut Wire,
    publication: Option<&str>,
    oids: &str,
    catalog: &mut CatalogTables,
) -> Result<()> {
    let major = wire.version().major;
    // Up to 17, generated columns are never sent; from 18 on the publication says so, and lists them among its columns.
    let sendable = if major >= 18 { "a.attgenerated <> 'v'" } else { "a.attgenerated = ''" };
    let (with, join, listed) = match publication {
        Some(publication) if major >= 15 => (
            format!(
                "WITH p AS MATERIALIZED (SELECT c.oid, p.attnames FROM pg_publication_tables p \
                 JOIN pg_namespace n ON n.nspname = p.schemaname \
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
                 WHERE p.pubname = {} AND c.oid = ANY ({oids})) ",
                sql::literal(publication)
            ),
            "LEFT JOIN p ON p.oid = a.attrelid",
            "coalesce(a.attname = ANY (p.attnames), a.attgenerated = '')",
        ),
        _ => (String::new(), "", "a.attgenerated = ''"),
    };
    // array_to_string prints the one element as its type's output function does, whatever the type.
    let statement = format!(
        "{with}SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, \
         CASE WHEN a.atthasmissing THEN array_to_string(a.attmissingval, '') END, a.attisdropped, \
         NOT a.attisdropped AND {sendable} AND {listed} \
         FROM pg_attribute a {join} WHERE a.attrelid = ANY ({oids}) AND a.attnum > 0 ORDER BY 1, 2"
    );
    for row in wire.query(DOING, &statement).await? {
        let attribute = Attribute {
            attnum: row.parse(1)?,
            name: row.text(2)?.to_owned(),
            type_oid: row.parse(3)?,
            typmod: row.parse(4)?,
            not_null: row.flag(5),
            missing_value: row.get(6).map(str::to_owned),
            dropped: row.flag(7),
            published: row.flag(8),
        };
        if let Some(table) = catalog.tables.get_mut(&TableId(row.parse(0)?)) {
            if attribute.dropped {
                table.storage.gone.push(attribute.attnum);
            }
            table.attributes.push(attribute);
        }
    }
    Ok(())
}

async fn read_keys(wire: &mut Wire, oids: &str, catalog: &mut CatalogTables) -> Result<()> {
    let statement = format!(
        "SELECT indrelid, indisprimary, indisreplident, indnkeyatts, indkey FROM pg_index \
         WHERE indrelid = ANY ({oids}) AND (indisprimary OR indisreplident) AND indimmediate AND indisvalid"
    );
    for row in wire.query(DOING, &statement).await? {
        let columns = row.text(4)?.split(' ').take(row.parse(3)?).filter_map(|attnum| attnum.parse().ok());
        let columns: Vec<i16> = columns.collect();
        if let Some(table) = catalog.tables.get_mut(&TableId(row.parse(0)?)) {
            if row.flag(1) {
                table.primary_key = Some(columns.clone());
            }
            if row.flag(2) {
                table.identity_index = Some(columns);
            }
        }
    }
    Ok(())
}

async fn read_types(wire: &mut Wire, more: &[(u32, i32)], catalog: &mut CatalogTables) -> Result<()> {
    let columns = catalog.tables.values().flat_map(|table| &table.attributes);
    let live = columns
        .filter(|attribute| !attribute.dropped)
        .map(|attribute| (attribute.type_oid, attribute.typmod));
    let wanted: BTreeSet<(u32, i32)> = live.chain(more.iter().copied()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "WITH RECURSIVE needed (oid) AS (SELECT unnest({}) UNION \
         SELECT part.oid FROM needed JOIN pg_type t ON t.oid = needed.oid, \
         LATERAL (VALUES (t.typbasetype), (t.typelem)) part (oid) WHERE part.oid <> 0) \
         SELECT t.oid, t.typtype, t.typcategory, t.typbasetype, t.typtypmod, t.typelem \
         FROM needed JOIN pg_type t ON t.oid = needed.oid",
        array(wanted.iter().map(|(oid, _)| *oid))
    );
    for row in wire.query(DOING, &statement).await? {
        let letter = |index| row.text(index).map(|text| text.bytes().next().unwrap_or(b'?'));
        catalog.types.insert(
            row.parse(0)?,
            CatalogType {
                typtype: letter(1)?,
                typcategory: letter(2)?,
                typbasetype: row.parse(3)?,
                typtypmod: row.parse(4)?,
                typelem: row.parse(5)?,
            },
        );
    }
    let pairs: Vec<String> = wanted.iter().map(|(oid, typmod)| format!("({oid}::oid, {typmod})")).collect();
    let statement = format!("SELECT t, m, format_type(t, m) FROM (VALUES {}) v (t, m)", pairs.join(", "));
    for row in wire.query(DOING, &statement).await? {
        catalog.names.insert((row.parse(0)?, row.parse(1)?), row.text(2)?.to_owned());
    }
    Ok(())
}

fn array(oids: impl Iterator<Item = u32>) -> String {
    let oids: BTreeSet<u32> = oids.collect();
    let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}
