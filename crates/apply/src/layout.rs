//! From a source table's schema to how the warehouse holds it, and from one schema to the next. Pure.

use std::collections::BTreeMap;

use millstream_core::{
    warehouse::{Alteration, HistoryNames, LayoutColumn, SchemaStep, TableLayout},
    ColumnSchema, ColumnType, TableName, TableSchema,
};
use millstream_pgoutput::types::{column_type, converts_exactly};

/// What happens to a value that its column can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnrepresentable {
    /// The column becomes text from there on.
    #[default]
    Widen,
    /// Applying stops.
    Stop,
    /// The change is set aside, with what follows of its row.
    Quarantine,
}

/// The largest value that is applied, where nothing else is configured: 64 MB. A row is held a few times on its way, and memory is to stay
/// under 400 MB.
pub const VALUE_BYTES_MAX: u64 = 64_000_000;
/// The least that can be configured for it: rows below are not looked at one value at a time.
pub const VALUE_BYTES_LEAST: u64 = 1_000;

/// What a configuration says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// Whether versions are kept.
    pub history: bool,
    /// Types chosen for columns, by name, in place of the default.
    pub types: BTreeMap<String, ColumnType>,
    /// How history names its columns.
    pub history_names: HistoryNames,
    /// What happens to a value that its column can't hold.
    pub on_unrepresentable: OnUnrepresentable,
    /// Changes with a larger value are set aside. In bytes, as PostgreSQL prints the value.
    pub value_bytes_max: u64,
}

impl Default for TableOptions {
    fn default() -> Self {
        TableOptions {
            history: true,
            types: BTreeMap::new(),
            history_names: HistoryNames::default(),
            on_unrepresentable: OnUnrepresentable::default(),
            value_bytes_max: VALUE_BYTES_MAX,
        }
    }
}

/// What a configuration says of a table; `None`: it is not replicated.
pub type OptionsOf = Box<dyn Fn(&TableName) -> Option<TableOptions> + Send + Sync>;

/// Which source tables are kept, how, and under which name.
pub struct Selection {
    /// The schema of the warehouse for all tables; `None`: the source's own.
    pub target_schema: Option<String>,
    /// What the configuration says of a table; `None`: it is not replicated.
    pub options: OptionsOf,
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selection").field("target_schema", &self.target_schema).finish_non_exhaustive()
    }
}

impl Selection {
    /// The table's name in the warehouse.
    pub fn target(&self, source: &TableName) -> TableName {
        TableName::new(self.target_schema.as_ref().unwrap_or(&source.schema), &source.name)
    }

    /// How the warehouse first holds the table; `None`: it is not replicated.
    pub fn layout(&self, schema: &TableSchema) -> Option<TableLayout> {
        let options = (self.options)(&schema.name)?;
        Some(TableLayout {
            id: schema.id,
            source: schema.name.clone(),
            target: self.target(&schema.name),
            columns: schema.columns.iter().map(|column| layout_column(column, &options)).collect(),
            key: key_of(schema),
            history: options.history,
            history_names: options.history_names,
        })
    }
}

/// Attribute numbers of what identifies a row; `None`: the whole row does.
pub(crate) fn key_of(schema: &TableSchema) -> Option<Vec<i16>> {
    schema.key_columns().map(|columns| columns.map(|column| column.attnum).collect())
}

fn layout_column(column: &ColumnSchema, options: &TableOptions) -> LayoutColumn {
    LayoutColumn {
        attnum: column.attnum,
        name: column.name.clone(),
        column_type: options.types.get(&column.name).cloned().unwrap_or_else(|| column_type(&column.pg_type)),
        source_type: column.pg_type.name.clone(),
        live: true,
    }
}

/// What a changed schema means for the table as it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evolution {
    /// How it is held from here on.
    pub layout: TableLayout,
    /// Changes of physical columns, in order.
    pub alterations: Vec<Alteration>,
    /// Set where rows may have changed without an event each: why the table must be read again.
    pub resync: Option<String>,
}

/// Compares two schemas of one table (same OID) and says what is to be done. `None`: nothing.
///
/// A change is taken as touching no data only where the catalogue proves it: the file node is the same, so nothing was rewritten, and
/// what a new column holds in rows older than itself is `attmissingval`.
pub fn evolve(
    selection: &Selection,
    old: &TableSchema,
    held: &TableLayout,
    new: &TableSchema,
) -> Option<Evolution> {
    debug_assert_eq!(old.id, new.id, "a table's identity is its OID");
    let options = (selection.options)(&new.name).unwrap_or_default();
    let rewritten = new.may_be_rewritten_since(old);
    let mut alterations = Vec::new();
    let mut resync = None;
    let mut columns: Vec<LayoutColumn> = Vec::with_capacity(new.columns.len());

    for column in &new.columns {
        let wanted = layout_column(column, &options);
        let Some(current) = held.columns.iter().find(|held| held.attnum == column.attnum) else {
            alterations
                .push(Alteration::Add { column: wanted.clone(), existing: column.missing_value.clone() });
            if rewritten {
                resync = Some(format!("column {} was added and the table rewritten", column.name));
            }
            columns.push(wanted);
            continue;
        };
        let was = old.columns.iter().find(|was| was.attnum == column.attnum);
        let retyped = was.is_none_or(|was| was.pg_type != column.pg_type);
        let mut next = LayoutColumn { column_type: current.column_type.clone(), ..wanted.clone() };
        // A type that was chosen after the table was made is taken where every value that is there converts exactly.
        let chosen = options.types.contains_key(&column.name)
            && converts_exactly(&current.column_type, &wanted.column_type);
        if (retyped || chosen) && next.column_type != wanted.column_type {
            // A column that was widened to text keeps the values that made it so.
            let to = if converts_exactly(&current.column_type, &wanted.column_type) {
                wanted.column_type
            } else {
                ColumnType::Text
            };
            if to != next.column_type {
                alterations.push(Alteration::Retype { attnum: column.attnum, to: to.clone() });
                next.column_type = to;
            }
        }
        if retyped && rewritten {
            resync = Some(format!("column {} changed its type and the table was rewritten", column.name));
        }
        columns.push(next);
    }
    // Dropped columns stay, in the order they had, behind the live ones.
    for column in &held.columns {
        if new.column_by_attnum(column.attnum).is_none() {
            columns.push(LayoutColumn { live: false, ..column.clone() });
        }
    }

    if let Some(doubt) = &new.storage.doubt {
        resync = Some(doubt.clone());
    }
    // A rewrite whose cause shows nowhere, and that nothing proves to be harmless.
    if rewritten && resync.is_none() {
        resync = Some("the table was rewritten".to_owned());
    }
    resync = resync.or_else(|| new.partitions_changed_since(old).map(str::to_owned));
    let layout = TableLayout {
        id: held.id,
        source: new.name.clone(),
        target: selection.target(&new.name),
        columns,
        key: key_of(new),
        history: held.history,
        history_names: held.history_names.clone(),
    };
    let changed = layout != *held || !alterations.is_empty() || resync.is_some();
    changed.then_some(Evolution { layout, alterations, resync })
}

/// What tells a person how a table's schema changed, from how it was held to how it is, of this schema.
pub(crate) fn steps(was: &TableLayout, now: &TableLayout, schema: &TableSchema) -> Vec<SchemaStep> {
    let mut steps = Vec::new();
    if was.source != now.source {
        steps.push(SchemaStep::TableRenamed { from: was.source.to_string(), to: now.source.to_string() });
    }
    for column in &was.columns {
        let next = now.columns.iter().find(|next| next.attnum == column.attnum);
        if column.live && next.is_none_or(|next| !next.live) {
            let (column, from) = (column.name.clone(), column.source_type.clone());
            steps.push(SchemaStep::ColumnDropped { column, from });
        }
    }
    for column in now.columns.iter().filter(|column| column.live) {
        let name = || column.name.clone();
        let before = was.columns.iter().find(|before| before.attnum == column.attnum && before.live);
        let Some(before) = before else {
            steps.push(SchemaStep::ColumnAdded { column: name(), to: column.source_type.clone() });
            continue;
        };
        if before.name != column.name {
            steps.push(SchemaStep::ColumnRenamed { from: before.name.clone(), to: name() });
        }
        if before.source_type != column.source_type {
            let (from, to) = (before.source_type.clone(), column.source_type.clone());
            steps.push(SchemaStep::ColumnRetyped { column: name(), from, to });
        }
        // What is text at the source as well has not lost its type.
        let declared = schema.columns.iter().find(|of| of.attnum == column.attnum);
        let is_text = declared.is_some_and(|of| column_type(&of.pg_type) == ColumnType::Text);
        if before.column_type != ColumnType::Text && column.column_type == ColumnType::Text && !is_text {
            steps.push(SchemaStep::ColumnWidened { column: name(), from: before.column_type.to_string() });
        }
    }
    let names = |layout: &TableLayout| -> Vec<String> {
        let key = layout.key.iter().flatten();
        let column = |attnum: &i16| layout.columns.iter().find(|column| column.attnum == *attnum);
        key.filter_map(|attnum| Some(column(attnum)?.name.clone())).collect()
    };
    if was.key != now.key {
        steps.push(SchemaStep::KeyChanged { from: names(was), to: names(now) });
    }
    steps
}

/// The layout under which the rows of a transaction that changes the schema are written: what was dropped in it still takes
/// the values of the rows before.
pub fn writable(held: &TableLayout, next: &TableLayout) -> TableLayout {
    let mut layout = next.clone();
    for column in &mut layout.columns {
        column.live |= held.columns.iter().any(|held| held.attnum == column.attnum && held.live);
    }
    layout
}

#[cfg(test)]
mod tests {
    use millstream_core::{PgType, ReplicaIdentity, TableId, TypeKind};

    use super::*;

    fn column(attnum: i16, name: &str, kind: TypeKind) -> ColumnSchema {
        ColumnSchema {
            attnum,
            name: name.into(),
            pg_type: PgType { oid: 1, typmod: -1, name: format!("{kind:?}"), kind },
            not_null: false,
            missing_value: None,
        }
    }

    fn table(columns: Vec<ColumnSchema>) -> TableSchema {
        TableSchema {
            id: TableId(7),
            name: TableName::new("public", "t"),
            columns,
            key: Some(vec![0]),
            replica_identity: ReplicaIdentity::Default,
            relfilenode: 1,
            class_xmin: 1,
            storage: Default::default(),
        }
    }

    fn selection() -> Selection {
        Selection { target_schema: Some("analytics".into()), options: Box::new(|_| Some(Default::default())) }
    }

    fn base() -> TableSchema {
        table(vec![column(1, "id", TypeKind::Int4), column(2, "a", TypeKind::Text)])
    }

    fn evolved(new: &TableSchema) -> Option<Evolution> {
        let selection = selection();
        let old = base();
        let held = selection.layout(&old).unwrap();
        evolve(&selection, &old, &held, new)
    }

    #[test]
    fn the_same_schema_is_no_evolution() {
        assert_eq!(evolved(&base()), None);
    }

    #[test]
    fn a_rename_of_table_or_column_touches_only_the_views() {
        let mut new = base();
        new.columns[1].name = "b".into();
        new.name = TableName::new("public", "u");
        let evolution = evolved(&new).unwrap();
        assert!(evolution.alterations.is_empty() && evolution.resync.is_none());
        assert_eq!(evolution.layout.columns[1].name, "b");
        assert_eq!(evolution.layout.target, TableName::new("analytics", "u"));
    }

    #[test]
    fn a_change_is_told_column_by_column() {
        let told = |new: &TableSchema| {
            let was = selection().layout(&base()).unwrap();
            steps(&was, &evolved(new).unwrap().layout, new)
        };
        let mut new = base();
        let second = new.columns[1].name.clone();
        new.columns[1].name = "b".into();
        new.name = TableName::new("public", "u");
        new.columns.push(column(3, "n", TypeKind::Int4));
        let SchemaStep::TableRenamed { from, to } = &told(&new)[0] else { panic!("{:?}", told(&new)) };
        assert_eq!((from, to.as_str()), (&base().name.to_string(), "public.u"));
        let renamed = SchemaStep::ColumnRenamed { from: second.clone(), to: "b".into() };
        assert_eq!(told(&new)[1], renamed);
        assert!(matches!(&told(&new)[2], SchemaStep::ColumnAdded { column, .. } if column == "n"));
        let mut new = base();
        new.columns.remove(1);
        assert!(
            matches!(&told(&new)[..], [SchemaStep::ColumnDropped { column, .. }] if *column == second),
            "{:?}",
            told(&new)
        );
        let was = selection().layout(&base()).unwrap();
        assert_eq!(steps(&was, &was, &base()), []);
        let mut new = base();
        new.columns[0] = column(1, "id", TypeKind::Text);
        assert!(
            matches!(&told(&new)[..], [SchemaStep::ColumnRetyped { .. }]),
            "text at the source is no loss: {:?}",
            told(&new)
        );
        let mut wide = was.clone();
        wide.columns[0].column_type = ColumnType::Text;
        wide.key = None;
        let key = was.columns[0].name.clone();
        assert!(
            matches!(&steps(&was, &wide, &base())[..], [
            SchemaStep::ColumnWidened { column, .. },
            SchemaStep::KeyChanged { from, to },
        ] if *column == key && *from == [key.clone()] && to.is_empty()),
            "{:?}",
            steps(&was, &wide, &base())
        );
    }

    #[test]
    fn a_column_with_a_constant_default_is_proven_by_the_catalogue() {
        let mut new = base();
        new.columns.push(ColumnSchema { missing_value: Some("5".into()), ..column(3, "n", TypeKind::Int4) });
        let evolution = evolved(&new).unwrap();
        assert_eq!(evolution.resync, None);
        assert!(matches!(
            &evolution.alterations[..],
            [Alteration::Add { column, existing: Some(value) }] if column.attnum == 3 && value == "5"
        ));
    }

    #[test]
    fn a_rewrite_is_read_again_even_when_nothing_shows() {
        let new = TableSchema { relfilenode: 2, ..base() };
        assert!(evolved(&new).unwrap().resync.is_some());
        let mut new = new;
        new.columns.push(column(3, "n", TypeKind::Int4));
        assert!(evolved(&new).unwrap().resync.unwrap().contains("column n was added"));
    }

    /// The digest proves that nothing was rewritten; of the doubt it says nothing.
    #[test]
    fn a_doubt_is_read_again_even_where_nothing_else_changed() {
        let mut new = base();
        new.storage.form = 7;
        let mut old = new.clone();
        old.relfilenode = 2;
        let selection = selection();
        let held = selection.layout(&old).unwrap();
        assert_eq!(evolve(&selection, &old, &held, &new), None);
        new.storage.doubt = Some("which column was `a` can't be told".into());
        let evolution = evolve(&selection, &old, &held, &new).unwrap();
        assert_eq!(evolution.resync, new.storage.doubt);
    }

    #[test]
    fn a_dropped_column_stays_in_history_and_a_new_one_of_its_name_is_another() {
        let new = table(vec![column(1, "id", TypeKind::Int4), column(3, "a", TypeKind::Int4)]);
        let evolution = evolved(&new).unwrap();
        let columns: Vec<_> = evolution.layout.columns.iter().map(|c| (c.attnum, c.live)).collect();
        assert_eq!(columns, [(1, true), (3, true), (2, false)]);
        let held = selection().layout(&base()).unwrap();
        assert!(writable(&held, &evolution.layout).columns.iter().all(|column| column.live));
    }

    #[test]
    fn a_type_widens_exactly_or_becomes_text() {
        let mut new = base();
        new.columns[0] = column(1, "id", TypeKind::Int8);
        let evolution = evolved(&new).unwrap();
        assert_eq!(evolution.alterations, [Alteration::Retype { attnum: 1, to: ColumnType::BigInt }]);
        let mut new = base();
        new.columns[1] = column(2, "a", TypeKind::Int4);
        new.relfilenode = 2;
        let evolution = evolved(&new).unwrap();
        assert!(evolution.alterations.is_empty(), "text that became integer stays text, history holds both");
        assert!(evolution.resync.is_some());
    }
}
