//! What a table looked like when a relation message was written, from the message and a catalogue that may have moved on.
//!
//! A relation message names columns and types and knows no attribute numbers; the catalogue knows the numbers, but is that of *now*: while
//! capture catches up, a column can have been renamed or dropped since. Columns come in the order of their numbers on both
//! sides, which settles nearly everything: what can't be told for certain is reported as a [`Doubt`], never guessed in silence.

use millstream_core::{ColumnSchema, ReplicaIdentity, TableSchema};
use millstream_pgoutput::message::{Relation, RelationColumn};

use super::{Attribute, CatalogTable, CatalogTables};

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
}

/// A file node that no table is ever seen with. Not 0, which every partitioned table has.
const RELFILENODE_IN_DOUBT: u32 = u32::MAX;

/// The schema that the message announces. `known` is the table as it was last.
pub(crate) fn relation_schema(
    relation: &Relation,
    catalog: &CatalogTables,
    known: Option<&TableSchema>,
) -> (TableSchema, Vec<Doubt>) {
    let table = catalog.tables.get(&relation.id);
    let attributes = table.map_or(&[][..], |table| &table.attributes);
    let (attnums, mut doubts) = place(&relation.columns, attributes, known);
    if table.is_none() && known.is_none() {
        doubts.push(Doubt::TableGone);
    }
    let columns: Vec<ColumnSchema> = relation
        .columns
        .iter()
        .zip(attnums)
        .map(|(column, attnum)| {
            let attribute =
                attributes.iter().find(|attribute| attribute.attnum == attnum && !attribute.dropped);
            ColumnSchema {
                attnum,
                name: column.name.clone(),
                pg_type: catalog.pg_type(column.type_oid, column.type_modifier),
                not_null: attribute.is_some_and(|attribute| attribute.not_null),
                missing_value: attribute.and_then(|attribute| attribute.missing_value.clone()),
            }
        })
        .collect();
    let schema = TableSchema {
        id: relation.id,
        name: relation.name.clone(),
        key: key(relation, table, known, &columns),
        columns,
        replica_identity: relation.replica_identity,
        // Whoever follows the schema finds the table rewritten and has it read again, even where a kill takes whoever was told of the doubt.
        relfilenode: match doubts[..] {
            [] => table.map(|table| table.relfilenode).or(known.map(|known| known.relfilenode)).unwrap_or(0),
            _ => RELFILENODE_IN_DOUBT,
        },
        class_xmin: table.map(|table| table.class_xmin).or(known.map(|known| known.class_xmin)).unwrap_or(0),
        storage: table
            .map(|table| table.storage.clone())
            .or(known.map(|known| known.storage.clone()))
            .unwrap_or_default(),
    };
    (schema, doubts)
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

/// Attribute numbers of the message's columns.
fn place(
    columns: &[RelationColumn],
    attributes: &[Attribute],
    known: Option<&TableSchema>,
) -> (Vec<i16>, Vec<Doubt>) {
    let mut doubts = Vec::new();
    let mut placed: Vec<Option<i16>> = columns
        .iter()
        .map(|column| {
            // By name, now; or by the name it had when we saw it last, if it still can be that column.
            let now = attributes.iter().find(|attribute| !attribute.dropped && attribute.name == column.name);
            let before =
                known.and_then(|known| known.columns.iter().find(|before| before.name == column.name));
            match (now, before) {
                // The name has gone to another column, and the message may be from before that. The types tell, where they differ.
                (Some(now), Some(before)) if now.attnum != before.attnum => {
                    let is_now = now.type_oid == column.type_oid;
                    let is_before = before.pg_type.oid == column.type_oid;
                    if is_now == is_before {
                        doubts.push(Doubt::ColumnUnclear { column: column.name.clone() });
                    }
                    Some(if is_before && !is_now { before.attnum } else { now.attnum })
                }
                (Some(now), _) => Some(now.attnum),
                (None, Some(before)) => Some(before.attnum),
                (None, None) => None,
            }
        })
        .collect();
    // The order must rise; a number out of order belongs to a name that has moved since.
    for index in 0..placed.len() {
        if placed[index]
            .is_some_and(|attnum| placed[..index].iter().flatten().any(|before| *before >= attnum))
        {
            placed[index] = None;
        }
    }
    let mut index = 0;
    while index < columns.len() {
        if placed[index].is_some() {
            index += 1;
            continue;
        }
        let end = (index..columns.len()).find(|i| placed[*i].is_some()).unwrap_or(columns.len());
        let low = placed[..index].iter().rev().flatten().next().copied().unwrap_or(0);
        let high = placed.get(end).copied().flatten().unwrap_or(i16::MAX);
        let gap = index..end;
        // Candidates lie between the neighbours: dropped since, or renamed since with the same type.
        let candidates: Vec<i16> = attributes
            .iter()
            .filter(|attribute| attribute.attnum > low && attribute.attnum < high)
            .filter(|attribute| {
                attribute.dropped
                    || columns[gap.clone()].iter().any(|column| column.type_oid == attribute.type_oid)
            })
            .map(|attribute| attribute.attnum)
            .collect();
        if candidates.len() != gap.len() {
            doubts.extend(gap.clone().map(|i| Doubt::ColumnUnclear { column: columns[i].name.clone() }));
        }
        for (offset, i) in gap.enumerate() {
            // Without candidates: the numbers behind the left neighbour, which at least keep the order.
            let fallback = low.saturating_add(1).saturating_add(i16::try_from(offset).unwrap_or(i16::MAX));
            placed[i] = Some(candidates.get(offset).copied().unwrap_or(fallback));
        }
        index = end;
    }
    (placed.into_iter().map(|attnum| attnum.unwrap_or(0)).collect(), doubts)
}

#[cfg(test)]
mod tests {
    use millstream_core::{TableId, TableName};

    use super::*;

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
        let (schema, doubts) = relation_schema(relation, catalog, known);
        (schema.columns.iter().map(|column| column.attnum).collect(), doubts.len())
    }

    #[test]
    fn columns_are_found_by_name_and_keep_their_numbers() {
        let now = catalog(&[("id", 23), ("", 0), ("a", 25), ("generated", 23)]);
        assert_eq!(attnums(&relation(&[("id", 23), ("a", 25)]), &now, None), (vec![1, 3], 0));
        let (schema, _) = relation_schema(&relation(&[("id", 23), ("a", 25)]), &now, None);
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
        let (known, _) =
            relation_schema(&message, &catalog(&[("id", 23), ("", 0), ("gone", 20), ("z", 25)]), None);
        assert_eq!(attnums(&message, &now, Some(&known)), (vec![1, 3, 4], 0));
    }

    #[test]
    fn names_that_two_columns_swapped_since_follow_their_types() {
        let before = catalog(&[("id", 23), ("a", 20), ("b", 25)]);
        let message = relation(&[("id", 23), ("a", 20), ("b", 25)]);
        let (known, _) = relation_schema(&message, &before, None);
        let now = catalog(&[("id", 23), ("b", 20), ("a", 25)]);
        assert_eq!(attnums(&message, &now, Some(&known)), (vec![1, 2, 3], 0));
    }

    #[test]
    fn a_name_that_went_to_a_column_of_the_same_type_is_a_doubt_once_and_marks_the_table_as_rewritten() {
        let before = catalog(&[("id", 23), ("a", 25)]);
        let message = relation(&[("id", 23), ("a", 25)]);
        let (known, _) = relation_schema(&message, &before, None);
        assert_eq!(known.relfilenode, 7);
        let now = catalog(&[("id", 23), ("", 0), ("a", 25)]);
        let (schema, doubts) = relation_schema(&message, &now, Some(&known));
        assert_eq!((doubts.len(), schema.relfilenode), (1, RELFILENODE_IN_DOUBT));
        assert_eq!(attnums(&message, &now, Some(&schema)), (vec![1, 3], 0));
        let now = catalog(&[("id", 23), ("b", 25), ("a", 25)]);
        assert_eq!(attnums(&message, &now, Some(&known)).1, 1);
    }

    #[test]
    fn a_table_dropped_since_is_a_doubt_and_keeps_its_order() {
        let message = relation(&[("id", 23), ("a", 25)]);
        let (schema, doubts) = relation_schema(&message, &CatalogTables::default(), None);
        assert!(doubts.contains(&Doubt::TableGone));
        assert_eq!(schema.columns.iter().map(|column| column.attnum).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(schema.key, Some(vec![0]));
    }
}
