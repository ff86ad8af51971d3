//! What a table looked like when a relation message was written, from the message and a catalogue that may have moved on.
//!
//! A relation message names columns and types and knows no attribute numbers; the catalogue knows the numbers, but is that of *now*: while
//! capture catches up, a column can have been renamed or dropped since. Columns come in the order of their numbers on both
//! sides, which settles nearly everything: what can't be told for certain is reported as a [`Doubt`], never guessed in silence.
//! Which numbers can be a message's is the matter of [`super::placing`].

use std::fmt;

use millstream_core::{ColumnSchema, Lsn, ReplicaIdentity, StorageMark, TableSchema};
use millstream_pgoutput::message::Relation;

use super::{placing::place, CatalogTable, CatalogTables};

/// What could not be told for certain. The table has to be compared with the source (resynced).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The table was dropped before its catalogue rows could be read.
    TableGone,
    /// More than one attribute number could be this column's.
    ColumnUnclear {
        /// Its name.
        column: String,
    },
    /// A column that was added, seen, and dropped again: what rows older than itself held in it went with it.
    ValueUnknown {
        /// Its name.
        column: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::TableGone => write!(f, "the table was dropped before its form could be read"),
            Doubt::ColumnUnclear { column } => write!(
                f,
                "columns were dropped or renamed before changes of before were read, and which of them was `{column}` can't be told"
            ),
            Doubt::ValueUnknown { column } => write!(
                f,
                "the column `{column}` was added and dropped before its changes were read, and what older rows held in it can't be told"
            ),
        }
    }
}

/// The schema that the message announces. `known` is the table as it was last, `at` where the message stands.
pub(crate) fn relation_schema(
    relation: &Relation,
    catalog: &CatalogTables,
    known: Option<&TableSchema>,
    at: Lsn,
) -> (TableSchema, Vec<Doubt>) {
    let table = catalog.tables.get(&relation.id);
    let attributes = table.map_or(&[][..], |table| &table.attributes);
    let (attnums, unclear) = place(&relation.columns, attributes, known, at);
    let mut doubts: Vec<Doubt> = unclear
        .iter()
        .map(|&index| Doubt::ColumnUnclear { column: relation.columns[index].name.clone() })
        .collect();
    if table.is_none() && known.is_none() {
        doubts.push(Doubt::TableGone);
    }
    let mut columns: Vec<ColumnSchema> = Vec::with_capacity(attnums.len());
    for (index, (column, attnum)) in relation.columns.iter().zip(attnums).enumerate() {
        let attribute = attributes.iter().find(|attribute| attribute.attnum == attnum);
        let alive = attribute.filter(|attribute| !attribute.dropped && !unclear.contains(&index));
        let missing_value = alive.and_then(|attribute| attribute.missing_value.clone());
        // It went with the column, or it is that of a type which the column took later.
        let went = attribute.is_some_and(|attribute| attribute.dropped)
            || (missing_value.is_some()
                && alive.is_some_and(|attribute| !same_text(attribute.type_oid, column.type_oid)));
        if went && known.is_some_and(|known| known.column_by_attnum(attnum).is_none()) {
            doubts.push(Doubt::ValueUnknown { column: column.name.clone() });
        }
        columns.push(ColumnSchema {
            attnum,
            name: column.name.clone(),
            pg_type: catalog.pg_type(column.type_oid, column.type_modifier),
            not_null: alive.is_some_and(|attribute| attribute.not_null),
            missing_value: missing_value.filter(|_| !went),
        });
    }
    let schema = TableSchema {
        id: relation.id,
        name: relation.name.clone(),
        key: key(relation, table, known, &columns),
        columns,
        replica_identity: relation.replica_identity,
        relfilenode: table
            .map(|table| table.relfilenode)
            .or(known.map(|known| known.relfilenode))
            .unwrap_or(0),
        class_xmin: table.map(|table| table.class_xmin).or(known.map(|known| known.class_xmin)).unwrap_or(0),
        storage: StorageMark {
            // Whoever follows the schema has the table read again, even where a kill takes whoever was told of the doubt.
            doubt: doubts.first().map(Doubt::to_string),
            ..table
                .map(|table| table.storage.clone())
                .or(known.map(|known| known.storage.clone()))
                .unwrap_or_default()
        },
    };
    (schema, doubts)
}

/// Whether a value prints the same in both types.
fn same_text(one: u32, other: u32) -> bool {
    /// `text` and `varchar`: one becomes the other without a rewrite.
    const TEXTS: [u32; 2] = [25, 1043];
    one == other || (TEXTS.contains(&one) && TEXTS.contains(&other))
}

/// The message marks the columns of the replica identity; their order, and the key under `FULL` (where it marks all), are the catalogue's.
fn key(
    relation: &Relation,
    table: Option<&CatalogTable>,
    known: Option<&TableSchema>,
    columns: &[ColumnSchema],
) -> Option<Vec<usize>> {
    let from_catalog = table.and_then(|table| table.key(relation.replica_identity, columns));
    if matches!(relation.replica_identity, ReplicaIdentity::Full | ReplicaIdentity::Nothing) {
        return match table {
            Some(_) => from_catalog,
            None => known.and_then(|known| {
                let columns =
                    known.key_columns()?.map(|key| columns.iter().position(|c| c.attnum == key.attnum));
                columns.collect()
            }),
        };
    }
    let marked: Vec<usize> = (0..columns.len()).filter(|index| relation.columns[*index].key).collect();
    if let Some(key) = from_catalog {
        let mut sorted = key.clone();
        sorted.sort_unstable();
        if sorted == marked {
            return Some(key);
        }
    }
    (!marked.is_empty()).then_some(marked)
}

#[cfg(test)]
mod tests {
    use millstream_core::{TableId, TableName};
    use millstream_pgoutput::message::RelationColumn;

    use super::{super::Attribute, *};

    fn relation(columns: &[(&str, u32)]) -> Relation {
        Relation {
            id: TableId(1),
            name: TableName::new("s", "t"),
            replica_identity: ReplicaIdentity::Default,
            columns: columns
                .iter()
                .enumerate()
                .map(|(index, (name, type_oid))| RelationColumn {
                    key: index == 0,
                    name: (*name).into(),
                    type_oid: *type_oid,
                    type_modifier: -1,
                })
                .collect(),
        }
    }

    /// Columns numbered from 1; an empty name is a dropped column.
    fn catalog(columns: &[(&str, u32)]) -> CatalogTables {
        let attributes = columns.iter().zip(1..).map(|((name, type_oid), attnum)| Attribute {
            attnum,
            name: (*name).into(),
            type_oid: *type_oid,
            typmod: -1,
            not_null: false,
            missing_value: None,
            dropped: name.is_empty(),
            published: true,
        });
        let table = CatalogTable {
            id: TableId(1),
            name: TableName::new("s", "t"),
            replica_identity: ReplicaIdentity::Default,
            relfilenode: 7,
            class_xmin: 8,
            storage: Default::default(),
            attributes: attributes.collect(),
            primary_key: Some(vec![1]),
            identity_index: None,
        };
        CatalogTables { tables: [(TableId(1), table)].into(), ..Default::default() }
    }

    fn attnums(
        relation: &Relation,
        catalog: &CatalogTables,
        known: Option<&TableSchema>,
    ) -> (Vec<i16>, usize) {
        let (schema, doubts) = relation_schema(relation, catalog, known, Lsn(100));
        (schema.columns.iter().map(|column| column.attnum).collect(), doubts.len())
    }

    #[test]
    fn columns_are_found_by_name_and_keep_their_numbers() {
        let now = catalog(&[("id", 23), ("", 0), ("a", 25), ("generated", 23)]);
        assert_eq!(attnums(&relation(&[("id", 23), ("a", 25)]), &now, None), (vec![1, 3], 0));
        let (schema, _) = relation_schema(&relation(&[("id", 23), ("a", 25)]), &now, None, Lsn(100));
        assert_eq!((schema.key, schema.relfilenode), (Some(vec![0]), 7));
    }

    #[test]
    fn a_column_dropped_or_renamed_since_is_placed_between_its_neighbours() {
        let now = catalog(&[("id", 23), ("", 0), ("z", 25)]);
        assert_eq!(
            attnums(&relation(&[("id", 23), ("gone", 20), ("z", 25)]), &now, None),
            (vec![1, 2, 3], 0)
        );
        let now = catalog(&[("id", 23), ("b", 20), ("z", 25)]);
        assert_eq!(attnums(&relation(&[("id", 23), ("a", 20), ("z", 25)]), &now, None), (vec![1, 2, 3], 0));
        assert_eq!(
            attnums(
                &relation(&[("id", 23), ("z", 25), ("last", 20)]),
                &catalog(&[("id", 23), ("z", 25), ("", 0)]),
                None
            ),
            (vec![1, 2, 3], 0)
        );
    }

    #[test]
    fn what_could_be_two_columns_is_a_doubt_unless_it_was_known() {
        let now = catalog(&[("id", 23), ("", 0), ("", 0), ("z", 25)]);
        let message = relation(&[("id", 23), ("gone", 20), ("z", 25)]);
        assert_eq!(attnums(&message, &now, None).1, 1);
        let (known, _) = relation_schema(
            &message,
            &catalog(&[("id", 23), ("", 0), ("gone", 20), ("z", 25)]),
            None,
            Lsn(100),
        );
        assert_eq!(attnums(&message, &now, Some(&known)), (vec![1, 3, 4], 0));
    }

    #[test]
    fn names_that_two_columns_swapped_since_follow_their_types() {
        let before = catalog(&[("id", 23), ("a", 20), ("b", 25)]);
        let message = relation(&[("id", 23), ("a", 20), ("b", 25)]);
        let (known, _) = relation_schema(&message, &before, None, Lsn(100));
        let now = catalog(&[("id", 23), ("b", 20), ("a", 25)]);
        assert_eq!(attnums(&message, &now, Some(&known)), (vec![1, 2, 3], 0));
    }

    #[test]
    fn a_name_that_went_to_a_column_of_the_same_type_is_a_doubt_that_the_schema_carries() {
        let before = catalog(&[("id", 23), ("a", 25)]);
        let message = relation(&[("id", 23), ("a", 25)]);
        let (known, _) = relation_schema(&message, &before, None, Lsn(100));
        assert_eq!(known.relfilenode, 7);
        let now = catalog(&[("id", 23), ("", 0), ("a", 25)]);
        let (schema, doubts) = relation_schema(&message, &now, Some(&known), Lsn(100));
        assert_eq!(doubts, [Doubt::ColumnUnclear { column: "a".into() }]);
        assert!(schema.storage.doubt.unwrap().contains("`a`"));
        assert_eq!(known.storage.doubt, None);
        let now = catalog(&[("id", 23), ("b", 25), ("a", 25)]);
        // It had the name as long as the younger one was not there, which the message would list.
        assert_eq!(attnums(&message, &now, Some(&known)), (vec![1, 2], 0));
    }

    #[test]
    fn a_table_dropped_since_is_a_doubt_and_keeps_its_order() {
        let message = relation(&[("id", 23), ("a", 25)]);
        let (schema, doubts) = relation_schema(&message, &CatalogTables::default(), None, Lsn(100));
        assert!(doubts.contains(&Doubt::TableGone));
        assert_eq!(schema.columns.iter().map(|column| column.attnum).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(schema.key, Some(vec![0]));
    }

    /// The same, of a catalogue that was read at a position.
    fn read_at(lsn: u64, columns: &[(&str, u32)]) -> CatalogTables {
        let mut catalog = catalog(columns);
        for table in catalog.tables.values_mut() {
            table.storage.read_at = Lsn(lsn);
            let gone = table.attributes.iter().filter(|attribute| attribute.dropped);
            table.storage.gone = gone.map(|attribute| attribute.attnum).collect();
        }
        catalog
    }

    #[test]
    fn a_column_that_was_gone_before_the_message_is_not_taken_for_one_of_it() {
        let old = relation(&[("id", 23), ("a", 25)]);
        let message = relation(&[("id", 23), ("a", 25), ("x", 25)]);
        let now = catalog(&[("id", 23), ("a", 25), ("", 0), ("x", 25)]);
        for (read, doubts) in [(99, 0), (101, 1)] {
            let before = read_at(read, &[("id", 23), ("a", 25), ("", 0)]);
            let (known, _) = relation_schema(&old, &before, None, Lsn(50));
            assert_eq!(attnums(&message, &now, Some(&known)).1, doubts, "read at {read}");
        }
    }

    #[test]
    fn a_name_that_was_added_dropped_and_added_again_is_a_doubt() {
        let (known, _) =
            relation_schema(&relation(&[("id", 23)]), &read_at(50, &[("id", 23)]), None, Lsn(50));
        let now = catalog(&[("id", 23), ("", 0), ("x", 25)]);
        let (_, doubts) = relation_schema(&relation(&[("id", 23), ("x", 25)]), &now, Some(&known), Lsn(100));
        assert_eq!(doubts[0], Doubt::ColumnUnclear { column: "x".into() });
        // In a message that has both, each has its place. What older rows held in the one that is gone went with it.
        let both = relation(&[("id", 23), ("y", 25), ("x", 25)]);
        let (schema, doubts) = relation_schema(&both, &now, Some(&known), Lsn(100));
        assert_eq!(schema.columns.iter().map(|column| column.attnum).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(doubts, [Doubt::ValueUnknown { column: "y".into() }]);
    }

    #[test]
    fn a_column_that_lives_was_in_every_message_since_it_was_known() {
        let (known, _) = relation_schema(
            &relation(&[("id", 23), ("a", 25)]),
            &catalog(&[("id", 23), ("a", 25)]),
            None,
            Lsn(50),
        );
        let now = catalog(&[("id", 23), ("b", 25), ("x", 25)]);
        // `x` was a name of the second column for a while: the third was not there yet.
        assert_eq!(attnums(&relation(&[("id", 23), ("x", 25)]), &now, Some(&known)), (vec![1, 2], 0));
        assert_eq!(
            attnums(&relation(&[("id", 23), ("b", 25), ("x", 25)]), &now, Some(&known)),
            (vec![1, 2, 3], 0)
        );
    }

    #[test]
    fn the_last_column_was_in_every_message_too() {
        let before = catalog(&[("id", 23), ("a", 25), ("b", 25)]);
        let message = relation(&[("id", 23), ("a", 25), ("b", 25)]);
        let (known, _) = relation_schema(&message, &before, None, Lsn(50));
        let now = catalog(&[("id", 23), ("", 0), ("c", 25)]);
        // It is not the first one by the name of the second.
        assert_eq!(attnums(&relation(&[("id", 23), ("b", 25)]), &now, Some(&known)), (vec![1, 3], 0));
    }

    #[test]
    fn a_name_that_went_to_a_column_of_another_type_follows_the_type() {
        let before = catalog(&[("id", 23), ("a", 23)]);
        let (known, _) = relation_schema(&relation(&[("id", 23), ("a", 23)]), &before, None, Lsn(50));
        let now = catalog(&[("id", 23), ("", 0), ("a", 25)]);
        assert_eq!(attnums(&relation(&[("id", 23), ("a", 23)]), &now, Some(&known)), (vec![1, 2], 0));
        assert_eq!(attnums(&relation(&[("id", 23), ("a", 25)]), &now, Some(&known)), (vec![1, 3], 0));
    }

    #[test]
    fn a_column_that_took_the_place_of_one_that_was_known_is_itself() {
        let (known, _) = relation_schema(
            &relation(&[("id", 23), ("a", 25)]),
            &catalog(&[("id", 23), ("a", 25)]),
            None,
            Lsn(50),
        );
        let now = catalog(&[("id", 23), ("", 0), ("b", 25)]);
        assert_eq!(attnums(&relation(&[("id", 23), ("b", 25)]), &now, Some(&known)), (vec![1, 3], 0));
        // This can be the old one, or the new one by a name that it took over and gave up again.
        assert_eq!(attnums(&relation(&[("id", 23), ("a", 25)]), &now, Some(&known)).1, 1);
        // It had another name in between, and is dropped.
        assert_eq!(
            attnums(&relation(&[("id", 23), ("c", 25)]), &catalog(&[("id", 23), ("", 0)]), Some(&known)),
            (vec![1, 2], 0)
        );
    }

    #[test]
    fn what_older_rows_hold_is_never_taken_from_another_column_or_type() {
        let (known, _) = relation_schema(&relation(&[("id", 23)]), &catalog(&[("id", 23)]), None, Lsn(50));
        let schema_of = |columns: &[(&str, u32)], message: &[(&str, u32)]| {
            let mut now = catalog(columns);
            let table = now.tables.get_mut(&TableId(1)).unwrap();
            table.attributes.iter_mut().for_each(|attribute| attribute.missing_value = Some("d".into()));
            relation_schema(&relation(message), &now, Some(&known), Lsn(100))
        };
        let (schema, doubts) = schema_of(&[("id", 23), ("x", 25)], &[("id", 23), ("x", 1043)]);
        assert_eq!((schema.columns[1].missing_value.as_deref(), doubts.len()), (Some("d"), 0));
        let (schema, doubts) = schema_of(&[("id", 23), ("x", 25)], &[("id", 23), ("x", 23)]);
        assert_eq!(schema.columns[1].missing_value, None);
        assert_eq!(doubts, [Doubt::ValueUnknown { column: "x".into() }]);
        let (schema, doubts) = schema_of(&[("id", 23), ("", 0), ("x", 25)], &[("id", 23), ("x", 25)]);
        assert_eq!((&schema.columns[1].missing_value, doubts.len()), (&None, 1));
    }
}
