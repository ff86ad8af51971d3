//! From the catalogue's rows to a [`TableSchema`]. Pure but for the two functions that ask for the rows.

use millstream_core::{ColumnSchema, PgType, ReplicaIdentity, TableId, TableSchema, TypeKind};
use millstream_pgoutput::types::resolve;

use super::{read_tables, Attribute, CatalogTable, CatalogTables};
use crate::{error::Result, wire::Wire};

/// The tables as they are now, or in this connection's snapshot, in the order asked for. One that is gone is left out. With a
/// publication, its column lists decide which columns there are.
pub async fn table_schemas(
    wire: &mut Wire,
    publication: Option<&str>,
    tables: &[TableId],
) -> Result<Vec<TableSchema>> {
    let catalog = read_tables(wire, publication, tables, &[]).await?;
    Ok(tables.iter().filter_map(|id| catalog.tables.get(id)).map(|table| catalog.schema(table)).collect())
}

impl CatalogTables {
    /// The table as the publication sends it.
    pub(crate) fn schema(&self, table: &CatalogTable) -> TableSchema {
        let published = table.attributes.iter().filter(|attribute| attribute.published);
        let columns: Vec<ColumnSchema> = published.map(|attribute| self.column(attribute)).collect();
        TableSchema {
            id: table.id,
            name: table.name.clone(),
            key: table.key(table.replica_identity, &columns),
            columns,
            replica_identity: table.replica_identity,
            relfilenode: table.relfilenode,
            class_xmin: table.class_xmin,
            storage: table.storage.clone(),
        }
    }

    fn column(&self, attribute: &Attribute) -> ColumnSchema {
        ColumnSchema {
            attnum: attribute.attnum,
            name: attribute.name.clone(),
            pg_type: self.pg_type(attribute.type_oid, attribute.typmod),
            not_null: attribute.not_null,
            missing_value: attribute.missing_value.clone(),
        }
    }

    /// A type that is gone from the catalogue travels as text, as every type without an entry of its own.
    pub(crate) fn pg_type(&self, oid: u32, typmod: i32) -> PgType {
        let kind = resolve(oid, typmod, |oid| self.types.get(&oid).copied()).unwrap_or(TypeKind::Other);
        let name = self.names.get(&(oid, typmod)).cloned().unwrap_or_else(|| format!("type {oid}"));
        PgType { oid, typmod, name, kind }
    }
}

impl CatalogTable {
    /// Indexes, into the published columns, of those that identify a row. `None` where some of them are not published.
    pub(crate) fn key(&self, identity: ReplicaIdentity, columns: &[ColumnSchema]) -> Option<Vec<usize>> {
        let attnums = match identity {
            ReplicaIdentity::Index => self.identity_index.as_ref(),
            _ => self.primary_key.as_ref(),
        }?;
        attnums.iter().map(|attnum| columns.iter().position(|column| column.attnum == *attnum)).collect()
    }
}
