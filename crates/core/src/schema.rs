//! What a source table looks like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::PgType;

/// A table's identity at the source: the OID of its `pg_class` row. A table dropped and created again is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A schema-qualified name as the source's catalogue holds it, unquoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// Namespace, `pg_namespace.nspname`.
    pub schema: String,
    /// Relation, `pg_class.relname`.
    pub name: String,
}

impl TableName {
    /// From its two parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        TableName { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What the source sends of a row's previous version (`pg_class.relreplident`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaIdentity {
    /// `d`: the primary key, if there is one.
    Default,
    /// `i`: the columns of a chosen unique index.
    Index,
    /// `f`: the whole previous row.
    Full,
    /// `n`: nothing.
    Nothing,
}

/// A published column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSchema {
    /// `pg_attribute.attnum`: the column's identity; a rename keeps it.
    pub attnum: i16,
    /// `pg_attribute.attname`.
    pub name: String,
    /// The type, with domains and enums resolved.
    pub pg_type: PgType,
    /// `pg_attribute.attnotnull`.
    pub not_null: bool,
    /// `pg_attribute.attmissingval`, in PostgreSQL's text form: what rows older than the column hold.
    pub missing_value: Option<String>,
}

/// A source table as it was from some position on.
///
/// Invariants: `columns` is in the order of the relation message and non-empty names are distinct; `key` holds indexes
/// into `columns`, in the order of the key's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// OID.
    pub id: TableId,
    /// Current name.
    pub name: TableName,
    /// Published columns.
    pub columns: Vec<ColumnSchema>,
    /// Columns that identify a row: a primary key that is not deferrable or, under [`ReplicaIdentity::Index`], the
    /// index's. `None`: rows are matched whole, which needs [`ReplicaIdentity::Full`].
    pub key: Option<Vec<usize>>,
    /// What old tuples hold.
    pub replica_identity: ReplicaIdentity,
    /// `pg_relation_filenode`: changes when the table is rewritten. 0 for partitioned tables.
    pub relfilenode: u32,
    /// `pg_class.xmin`, the transaction that last changed the catalogue row: tells a TRUNCATE's own new relfilenode
    /// from a rewrite's.
    pub class_xmin: u32,
}

impl TableSchema {
    /// The columns that identify a row, if any do.
    pub fn key_columns(&self) -> Option<impl Iterator<Item = &ColumnSchema>> {
        self.key.as_ref().map(|key| key.iter().map(|&index| &self.columns[index]))
    }

    /// The index of the column with this attribute number.
    pub fn column_by_attnum(&self, attnum: i16) -> Option<usize> {
        self.columns.iter().position(|column| column.attnum == attnum)
    }

    /// The index of the column with this name.
    pub fn column_by_name(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
