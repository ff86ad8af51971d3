//! What a source table looks like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{position::Lsn, types::PgType};

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
    /// What else tells whether rows changed without an event.
    #[serde(default)]
    pub storage: StorageMark,
}

/// What the catalogue says of a table's storage beside its file node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StorageMark {
    /// A digest of the catalogue rows that any statement must write that can change rows without an event each: every column's
    /// (`ALTER … TYPE`, `ADD COLUMN`, `SET EXPRESSION`), and those that keep the table logged and published as it is. 0: nothing is known.
    pub form: u64,
    /// The leaves of a partitioned table, whose own file node is always 0, by OID.
    pub leaves: Vec<Leaf>,
    /// Attribute numbers of the columns that were dropped by [`Self::read_at`], ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<i16>,
    /// Where the source's WAL ended when the catalogue was read, or a little before. 0: not known.
    #[serde(default)]
    pub read_at: Lsn,
    /// What could not be told for certain of the table as it was at the position of this schema, for people. The table has to be read again, and
    /// what history says until then may not be what was at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// When it was read is no part of what it says: a schema that is announced again, as it is with every large transaction, is the same one.
impl PartialEq for StorageMark {
    fn eq(&self, other: &Self) -> bool {
        let StorageMark { form, leaves, gone, read_at: _, doubt } = self;
        *form == other.form && *leaves == other.leaves && *gone == other.gone && *doubt == other.doubt
    }
}

impl Eq for StorageMark {}

/// A partition that holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Its OID.
    pub id: TableId,
    /// `pg_class.relfilenode`.
    pub relfilenode: u32,
    /// Whether it came into being as a partition, and so never held a row that its root did not send.
    pub born_here: bool,
}

impl TableSchema {
    /// The columns that identify a row, if any do.
    pub fn key_columns(&self) -> Option<impl Iterator<Item = &ColumnSchema>> {
        self.key.as_ref().map(|key| key.iter().map(|&index| &self.columns[index]))
    }

    /// Whether rows may have been rewritten since the table looked like `before`.
    ///
    /// TRUNCATE, VACUUM FULL, CLUSTER, SET TABLESPACE and the like take another file node, too. What changes rows besides writes a row of
    /// `pg_attribute`, or needs the table to be unlogged for a while, which PostgreSQL refuses to a table that a publication names. So a file node that
    /// differs under the same digest of those rows ([`StorageMark::form`]) proves that no row changed without an event.
    pub fn may_be_rewritten_since(&self, before: &TableSchema) -> bool {
        let proven = self.storage.form != 0 && self.storage.form == before.storage.form;
        self.relfilenode != before.relfilenode && !proven
    }

    /// What happened to a partitioned table's rows through its partitions since `before`, if anything did that no event tells. A TRUNCATE of one
    /// partition alone sends nothing where its root is published, so here another file node proves nothing.
    pub fn partitions_changed_since(&self, before: &TableSchema) -> Option<&'static str> {
        let (was, now) = (&before.storage.leaves, &self.storage.leaves);
        let before = |id: TableId| was.iter().find(|leaf| leaf.id == id);
        if was.iter().any(|leaf| now.iter().all(|still| still.id != leaf.id)) {
            return Some("a partition was detached or dropped");
        }
        let changed = now.iter().any(|leaf| match before(leaf.id) {
            Some(known) => known.relfilenode != leaf.relfilenode,
            None => !leaf.born_here,
        });
        changed.then_some("a partition was attached, truncated or rewritten")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(relfilenode: u32, form: u64, leaves: &[(u32, u32, bool)]) -> TableSchema {
        let leaves = leaves.iter().map(|&(id, relfilenode, born_here)| Leaf {
            id: TableId(id),
            relfilenode,
            born_here,
        });
        TableSchema {
            id: TableId(1),
            name: TableName::new("s", "t"),
            columns: vec![],
            key: None,
            replica_identity: ReplicaIdentity::Full,
            relfilenode,
            class_xmin: 1,
            storage: StorageMark { form, leaves: leaves.collect(), ..StorageMark::default() },
        }
    }

    #[test]
    fn another_file_node_is_harmless_only_under_the_same_known_form() {
        let before = table(1, 7, &[]);
        for (now, expected) in
            [((1, 7), false), ((1, 8), false), ((2, 7), false), ((2, 8), true), ((2, 0), true)]
        {
            assert_eq!(table(now.0, now.1, &[]).may_be_rewritten_since(&before), expected, "{now:?}");
        }
        assert!(
            table(2, 0, &[]).may_be_rewritten_since(&table(1, 0, &[])),
            "what is not known proves nothing"
        );
    }

    #[test]
    fn a_schema_that_is_read_again_is_the_same_one() {
        let one = table(1, 7, &[]);
        let mut other = one.clone();
        other.storage.read_at = Lsn(9);
        assert_eq!(one, other);
        other.storage.gone.push(1);
        assert_ne!(one, other);
    }

    #[test]
    fn only_a_partition_made_in_place_changes_no_row() {
        let before = table(0, 7, &[(1, 10, true), (2, 20, false)]);
        let changed =
            |leaves: &[(u32, u32, bool)]| table(0, 7, leaves).partitions_changed_since(&before).is_some();
        assert!(!changed(&[(1, 10, true), (2, 20, false)]));
        assert!(!changed(&[(1, 10, true), (2, 20, false), (3, 30, true)]));
        assert!(changed(&[(1, 10, true), (2, 20, false), (3, 30, false)]), "attached");
        assert!(changed(&[(1, 10, true)]), "detached");
        assert!(changed(&[(1, 11, true), (2, 20, false)]), "rewritten");
    }
}
