//! What the catalogue is made of: the warehouse's tables, history views and models, as rows for the engine that answers catalogue questions.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use arrow_array::{ArrayRef, BooleanArray, Int16Array, Int32Array, RecordBatch, StringArray, UInt32Array};
use millstream_core::{
    log::Result,
    warehouse::{TableLayout, WarehouseReader},
    Role, TableName,
};

use super::super::{
    error::{Outcome, WireError},
    types::Kind,
};
use crate::host::{described, Host, Model};

/// What decides the catalogue. Where it is equal, the catalogue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    layouts: Vec<TableLayout>,
    models: Vec<Model>,
}

impl Source {
    pub(super) fn read(host: &dyn Host) -> Result<Self> {
        let layouts = host.tables()?.into_iter().map(|state| state.layout).collect();
        Ok(Source { layouts, models: host.models()? })
    }
}

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    name: String,
    kind: Kind,
    not_null: bool,
    comment: Option<String>,
}

/// A table or view that clients see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    name: TableName,
    /// `pg_class.relkind`.
    kind: &'static str,
    definition: Option<String>,
    comment: Option<String>,
    attributes: Vec<Attribute>,
    /// Numbers of the attributes of the primary key.
    key: Vec<i16>,
}

fn quoted(name: &TableName) -> String {
    let quote = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

/// Names and types of a relation's columns; `None`: there is no such relation, or it is broken.
fn attributes(reader: &mut dyn WarehouseReader, name: &TableName) -> Result<Option<Vec<Attribute>>> {
    let described = described(reader, &format!("SELECT * FROM {}", quoted(name)))?;
    let attribute = |(name, type_name): (String, String)| Attribute {
        name,
        kind: Kind::of_warehouse(&type_name),
        not_null: false,
        comment: None,
    };
    Ok(match described {
        Ok(described) => Some(described.columns.into_iter().map(attribute).collect()),
        Err(error) => {
            tracing::debug!(event = "postgres_catalog_leaves_out", %error, relation = %name);
            None
        }
    })
}

/// All relations that clients of a role see.
pub(super) fn relations(
    source: &Source,
    reader: &mut dyn WarehouseReader,
    role: Option<&Role>,
) -> Result<Vec<Relation>> {
    let mut relations = Vec::new();
    for layout in &source.layouts {
        relations.extend(current(layout, reader)?);
        if layout.history {
            relations.extend(history(layout, reader)?);
        }
    }
    for model in &source.models {
        relations.extend(attributes(reader, &model.name)?.map(|attributes| Relation {
            name: model.name.clone(),
            kind: if model.holds { "r" } else { "v" },
            definition: (!model.holds).then(|| model.select.trim().trim_end_matches(';').to_owned()),
            comment: None,
            attributes,
            key: Vec::new(),
        }));
    }
    if let Some(role) = role {
        let model = |name: &TableName| source.models.iter().find(|model| model.name == *name);
        relations.retain(|relation| {
            role.may_read(&relation.name, model(&relation.name).is_some_and(|model| model.holds))
        });
        // A model's text names tables that the role need not know of.
        let models = relations
            .iter_mut()
            .filter(|relation| relation.definition.is_some() && model(&relation.name).is_some());
        models.for_each(|model| model.definition = Some("-- a model of the project".to_owned()));
    }
    relations.sort_by(|a, b| (&a.name.schema, &a.name.name).cmp(&(&b.name.schema, &b.name.name)));
    relations.dedup_by(|a, b| a.name == b.name);
    Ok(relations)
}

fn current(layout: &TableLayout, reader: &mut dyn WarehouseReader) -> Result<Option<Relation>> {
    let Some(mut attributes) = attributes(reader, &layout.target)? else { return Ok(None) };
    let mut key = Vec::new();
    for (index, (column, attribute)) in layout.live_columns().zip(&mut attributes).enumerate() {
        if layout.key.as_ref().is_some_and(|key| key.contains(&column.attnum)) {
            attribute.not_null = true;
        }
        // What the type here does not tell of the type there.
        if attribute.kind.name() != column.source_type {
            attribute.comment = Some(format!("{} at the source", column.source_type));
        }
        if layout.key.as_ref().is_some_and(|key| key.contains(&column.attnum)) {
            key.push((column.attnum, index as i16 + 1));
        }
    }
    // The key's own order, not the columns'.
    let order: HashMap<i16, i16> = key.into_iter().collect();
    let key = layout.key.iter().flatten().filter_map(|attnum| order.get(attnum).copied()).collect();
    Ok(Some(Relation {
        name: layout.target.clone(),
        kind: "r",
        definition: None,
        comment: Some(format!("Copy of {}, kept up to date", layout.source)),
        attributes,
        key,
    }))
}

fn history(layout: &TableLayout, reader: &mut dyn WarehouseReader) -> Result<Option<Relation>> {
    let name = TableName::new(&layout.target.schema, format!("{}_history", layout.target.name));
    let relation = |attributes| Relation {
        attributes,
        name: name.clone(),
        kind: "v",
        definition: Some(format!("-- every version of every row of {}", layout.target)),
        comment: Some(format!("Every version of every row of {}", layout.source)),
        key: Vec::new(),
    };
    Ok(attributes(reader, &name)?.map(relation))
}

/// Numbers of what has none at the source. The same name has the same number every time, since clients keep them.
#[derive(Default)]
struct Numbers(HashSet<u32>);

impl Numbers {
    /// FNV-1a, above all that PostgreSQL gives out itself and below what a signed number holds.
    fn of(&mut self, kind: &str, name: &str) -> u32 {
        let bytes = kind.bytes().chain([0]).chain(name.bytes());
        let hash =
            bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let mut number = 0x0001_0000 + hash % 0x7ff0_0000;
        while !self.0.insert(number) {
            number += 1;
        }
        number
    }
}

/// PostgreSQL's own namespaces.
pub(super) const PG_CATALOG: u32 = 11;

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Outcome<RecordBatch> {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .map_err(|error| WireError::Catalog { detail: error.to_string() })
}

/// The statements that create the tables of [`tables`].
pub(super) const CREATE: [&str; 4] = [
    "CREATE SCHEMA base",
    "CREATE TABLE base.schemas (oid UINTEGER, name VARCHAR)",
    "CREATE TABLE base.relations (oid UINTEGER, schema UINTEGER, name VARCHAR, kind VARCHAR, definition VARCHAR, \
     comment VARCHAR, visible BOOLEAN, key VARCHAR, key_index UINTEGER, key_constraint UINTEGER)",
    "CREATE TABLE base.columns (relation UINTEGER, number SMALLINT, name VARCHAR, type UINTEGER, modifier INTEGER, \
     length SMALLINT, not_null BOOLEAN, comment VARCHAR)",
];

/// The relations as tables: schemas, relations, columns.
pub(super) fn tables(relations: &[Relation]) -> Outcome<Vec<(TableName, RecordBatch)>> {
    let mut numbers = Numbers::default();
    let mut names: BTreeSet<&str> = relations.iter().map(|relation| relation.name.schema.as_str()).collect();
    let information = "information_schema";
    names.insert(information);
    let schemas: HashMap<&str, u32> = names.iter().map(|name| (*name, numbers.of("n", name))).collect();
    let oids: Vec<u32> = relations.iter().map(|relation| numbers.of("r", &quoted(&relation.name))).collect();
    let keys: Vec<[Option<u32>; 2]> = relations
        .iter()
        .map(|relation| {
            let name = quoted(&relation.name);
            let keyed = !relation.key.is_empty();
            ["i", "c"].map(|kind| keyed.then(|| numbers.of(kind, &name)))
        })
        .collect();
    // As the warehouse finds names without a schema: any schema's, but none of several, and the schema `main` first.
    let visible = |relation: &Relation| {
        let twins =
            relations.iter().filter(|other| other.name.name.eq_ignore_ascii_case(&relation.name.name));
        relation.name.schema == "main" || twins.count() == 1
    };
    let schema_oids: Vec<u32> = names.iter().map(|name| schemas[name]).collect();
    let key_texts: Vec<Option<String>> = relations
        .iter()
        .map(|relation| {
            let numbers: Vec<_> = relation.key.iter().map(i16::to_string).collect();
            (!numbers.is_empty()).then(|| format!("[{}]", numbers.join(",")))
        })
        .collect();
    let numbers32 = |values: Vec<Option<u32>>| -> ArrayRef { Arc::new(UInt32Array::from(values)) };
    let relations_batch = batch(vec![
        ("oid", numbers32(oids.iter().copied().map(Some).collect())),
        (
            "schema",
            numbers32(relations.iter().map(|r| schemas.get(r.name.schema.as_str()).copied()).collect()),
        ),
        ("name", texts(relations.iter().map(|r| Some(r.name.name.as_str())))),
        ("kind", texts(relations.iter().map(|r| Some(r.kind)))),
        ("definition", texts(relations.iter().map(|r| r.definition.as_deref()))),
        ("comment", texts(relations.iter().map(|r| r.comment.as_deref()))),
        ("visible", Arc::new(relations.iter().map(|r| Some(visible(r))).collect::<BooleanArray>())),
        ("key", texts(key_texts.iter().map(Option::as_deref))),
        ("key_index", numbers32(keys.iter().map(|[index, _]| *index).collect())),
        ("key_constraint", numbers32(keys.iter().map(|[_, constraint]| *constraint).collect())),
    ])?;
    let columns: Vec<(u32, i16, &Attribute)> = relations
        .iter()
        .zip(&oids)
        .flat_map(|(relation, oid)| {
            relation
                .attributes
                .iter()
                .enumerate()
                .map(|(index, attribute)| (*oid, index as i16 + 1, attribute))
        })
        .collect();
    let columns_batch = batch(vec![
        ("relation", numbers32(columns.iter().map(|(oid, ..)| Some(*oid)).collect())),
        ("number", Arc::new(columns.iter().map(|(_, number, _)| Some(*number)).collect::<Int16Array>())),
        ("name", texts(columns.iter().map(|(.., a)| Some(a.name.as_str())))),
        ("type", numbers32(columns.iter().map(|(.., a)| Some(a.kind.oid())).collect())),
        ("modifier", Arc::new(columns.iter().map(|(.., a)| Some(a.kind.modifier())).collect::<Int32Array>())),
        ("length", Arc::new(columns.iter().map(|(.., a)| Some(a.kind.bytes())).collect::<Int16Array>())),
        ("not_null", Arc::new(columns.iter().map(|(.., a)| Some(a.not_null)).collect::<BooleanArray>())),
        ("comment", texts(columns.iter().map(|(.., a)| a.comment.as_deref()))),
    ])?;
    let schemas_batch = batch(vec![
        ("oid", numbers32(schema_oids.into_iter().map(Some).collect())),
        ("name", texts(names.iter().map(|name| Some(*name)))),
    ])?;
    Ok(vec![
        (TableName::new("base", "schemas"), schemas_batch),
        (TableName::new("base", "relations"), relations_batch),
        (TableName::new("base", "columns"), columns_batch),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_same_number_every_time_and_another_one_another() {
        let (mut first, mut second) = (Numbers::default(), Numbers::default());
        assert_eq!(first.of("r", "a.b"), second.of("r", "a.b"));
        assert_ne!(first.of("r", "a.b"), second.of("i", "a.b"));
        let again = first.of("r", "a.b");
        assert_ne!(again, second.of("r", "x.y"));
        assert!(again >= 0x0001_0000 && again <= i32::MAX as u32);
    }
}
