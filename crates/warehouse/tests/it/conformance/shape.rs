//! Tables change their shape, go, and come again.

use millstream_core::{
    warehouse::{Alteration, AsOf, LayoutColumn, RowGroup, TableState, Warehouse},
    ColumnType, Lsn, TableName, Timestamp,
};

use super::fixture::*;

pub(crate) fn run(make: &impl Fn() -> Box<dyn Warehouse>) {
    a_batch_with_ddl_keeps_its_rows_around_it(make().as_mut());
    a_dropped_column_stays_in_history(make().as_mut());
    a_renamed_table_and_column_are_followed(make().as_mut());
    a_table_that_is_gone_keeps_its_history(make().as_mut());
    clearing_starts_again(make().as_mut());
    names_that_collide_are_refused(make().as_mut());
    names_of_any_kind_work(make().as_mut());
    history_columns_are_named_as_configured(make().as_mut());
    composite_keys_close_the_right_row(make().as_mut());
    a_large_table_closes_few_and_many_rows(make().as_mut());
    what_a_transaction_opened_it_can_close_again(make().as_mut());
}

fn stocked(warehouse: &mut dyn Warehouse) -> TableState {
    let state = items();
    create(warehouse, &state);
    let rows = open(&[((1, Some("one")), "SNAPSHOT", 10, 0), ((2, Some("two")), "SNAPSHOT", 10, 0)]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    let rows = RowGroup {
        close: Some(close(&[(1, 11, 0, false)])),
        closed: None,
        open: Some(open(&[((1, Some("uno")), "UPDATE", 11, 0)])),
    };
    write(warehouse, &state.layout, rows);
    state
}

/// Adds `price numeric(6,2) default 9.50` and turns `id` into a bigint, then rows of the new shape, in one transaction.
fn a_batch_with_ddl_keeps_its_rows_around_it(warehouse: &mut dyn Warehouse) {
    let mut state = stocked(warehouse);
    let price = LayoutColumn { source_type: "numeric(6,2)".into(), ..column(3, "price", ColumnType::Text) };
    state.layout.columns.push(price.clone());
    let mut reader = warehouse.reader().unwrap();
    reader.begin().unwrap();
    let mut transaction = warehouse.begin().unwrap();
    let add = Alteration::Add { column: price, existing: Some("9.50".into()) };
    transaction.alter_table(&state, &[add]).unwrap();
    let ending = close(&[(2, 12, 0, true)]);
    transaction.write(&state.layout, &RowGroup { close: Some(ending), ..RowGroup::default() }).unwrap();
    transaction.commit().unwrap();
    assert_eq!(rows_of(reader.as_mut(), "SELECT * FROM shop.items ORDER BY 1", None), ["1|uno", "2|two"]);
    reader.end().unwrap();
    assert_eq!(rows_of(reader.as_mut(), "SELECT * FROM shop.items", None), ["1|uno|9.50"]);
    let history = "SELECT id, name, price, operation_type FROM shop.items_history ORDER BY id, _lsn, 4 DESC";
    assert_eq!(
        rows_of(reader.as_mut(), history, None),
        ["1|one|-|SNAPSHOT", "1|uno|9.50|UPDATE", "2|two|9.50|SNAPSHOT", "2|two|9.50|DELETE"]
    );
    // The same question across a change of its answer's type.
    let ids = "SELECT id FROM shop.items";
    let types = reader.query(ids, None, None).unwrap();
    assert_eq!(types.columns, [("id".to_owned(), "INTEGER".to_owned())]);
    state.layout.columns[0].column_type = ColumnType::BigInt;
    let mut transaction = warehouse.begin().unwrap();
    let widen = Alteration::Retype { attnum: 1, to: ColumnType::BigInt };
    transaction.alter_table(&state, &[widen]).unwrap();
    transaction.commit().unwrap();
    let types = reader.query(ids, None, None).unwrap();
    assert_eq!(types.columns, [("id".to_owned(), "BIGINT".to_owned())]);
    assert_eq!(warehouse.tables().unwrap(), [state]);
}

fn a_dropped_column_stays_in_history(warehouse: &mut dyn Warehouse) {
    let mut state = stocked(warehouse);
    state.layout.columns[1].live = false;
    state.layout.columns.push(column(3, "name", ColumnType::Integer));
    let mut transaction = warehouse.begin().unwrap();
    let add = Alteration::Add { column: state.layout.columns[2].clone(), existing: None };
    transaction.alter_table(&state, &[add]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(query(warehouse, "SELECT * FROM shop.items ORDER BY 1"), ["1|-", "2|-"]);
    assert_eq!(
        query(warehouse, "SELECT id, name_dropped_2, name FROM shop.items_history ORDER BY 1, _lsn"),
        ["1|one|-", "1|uno|-", "2|two|-"]
    );
    let mut transaction = warehouse.begin().unwrap();
    transaction.truncate(&state.layout, moment(20, 0)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(
        query(
            warehouse,
            "SELECT name_dropped_2, operation_type FROM shop.items_history WHERE id = 2 ORDER BY _lsn"
        ),
        ["two|SNAPSHOT", "two|TRUNCATE"]
    );
}

fn a_renamed_table_and_column_are_followed(warehouse: &mut dyn Warehouse) {
    let mut state = stocked(warehouse);
    state.layout.target = TableName::new("store", "wares");
    state.layout.columns[1].name = "label".into();
    let mut transaction = warehouse.begin().unwrap();
    transaction.alter_table(&state, &[]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(query(warehouse, "SELECT label FROM store.wares ORDER BY 1"), ["two", "uno"]);
    assert_eq!(query(warehouse, "SELECT count(*) FROM store.wares_history"), ["3"]);
    assert_eq!(query(warehouse, "SELECT label FROM store.wares_as_of('0/A') ORDER BY 1"), ["one", "two"]);
    let mut reader = warehouse.reader().unwrap();
    for gone in ["shop.items", "shop.items_history", "shop.items_as_of('0/A')"] {
        assert!(reader.query(&format!("SELECT * FROM {gone}"), None, None).is_err(), "{gone}");
    }
}

fn a_table_that_is_gone_keeps_its_history(warehouse: &mut dyn Warehouse) {
    let mut state = stocked(warehouse);
    state.phase_json = "\"gone\"".into();
    let mut transaction = warehouse.begin().unwrap();
    transaction.retire_table(&state, moment(30, 2)).unwrap();
    transaction.commit().unwrap();
    let mut reader = warehouse.reader().unwrap();
    assert!(reader.query("SELECT * FROM shop.items", None, None).is_err());
    assert_eq!(
        rows_of(
            reader.as_mut(),
            "SELECT id, name, valid_to, is_current, operation_type, _lsn_to, _seq_to FROM shop.items_history ORDER BY id, _lsn",
            None
        ),
        ["1|one|t11|false|SNAPSHOT|11|0", "1|uno|t30|false|UPDATE|30|2", "2|two|t30|false|SNAPSHOT|30|2"]
    );
    assert_eq!(warehouse.tables().unwrap(), std::slice::from_ref(&state));
    let mut successor = items();
    successor.layout.id.0 += 1;
    create(warehouse, &successor);
    assert_eq!(rows_of(reader.as_mut(), "SELECT count(*) FROM shop.items_history", None), ["0"]);
    let old = format!("SELECT count(*) FROM shop.items_{}_history", state.layout.id);
    assert_eq!(rows_of(reader.as_mut(), &old, None), ["3"]);
    assert_eq!(warehouse.tables().unwrap(), [state, successor]);
}

fn clearing_starts_again(warehouse: &mut dyn Warehouse) {
    let state = stocked(warehouse);
    let mut transaction = warehouse.begin().unwrap();
    transaction.clear(&state.layout).unwrap();
    let rows = open(&[((5, None), "SNAPSHOT", 40, 0)]);
    transaction.write(&state.layout, &RowGroup { open: Some(rows), ..RowGroup::default() }).unwrap();
    transaction.commit().unwrap();
    assert_eq!(query(warehouse, "SELECT id, _lsn FROM shop.items_history"), ["5|40"]);
    assert_eq!(query(warehouse, "SELECT * FROM shop.items"), ["5|-"]);
}

fn names_that_collide_are_refused(warehouse: &mut dyn Warehouse) {
    create(warehouse, &items());
    let mut other = notes();
    other.layout.target.name = "ITEMS".into();
    let mut transaction = warehouse.begin().unwrap();
    let error = transaction.create_table(&other).unwrap_err();
    assert_eq!(error.code(), "MS5105", "{error}");
    drop(transaction);
    assert_eq!(warehouse.tables().unwrap(), [items()]);
}

fn names_of_any_kind_work(warehouse: &mut dyn Warehouse) {
    let mut state = items();
    state.layout.target = TableName::new("Sélect \"x\"", "from; DROP 'it'");
    state.layout.columns[0].name = "order".into();
    state.layout.columns[1].name = "a\"b ünï".into();
    create(warehouse, &state);
    let rows = open(&[((1, Some("one")), "INSERT", 11, 0)]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    let ending = RowGroup { close: Some(close(&[(7, 12, 0, false)])), ..RowGroup::default() };
    let mut transaction = warehouse.begin().unwrap();
    let error = transaction.write(&state.layout, &ending).unwrap_err();
    assert!(error.to_string().ends_with("order=7"), "{error}");
    drop(transaction);
    let relation = "\"Sélect \"\"x\"\"\".\"from; DROP 'it'";
    assert_eq!(query(warehouse, &format!("SELECT \"order\", \"a\"\"b ünï\" FROM {relation}\"")), ["1|one"]);
    assert_eq!(query(warehouse, &format!("SELECT count(*) FROM {relation}_history\"")), ["1"]);
    assert_eq!(query(warehouse, &format!("SELECT count(*) FROM {relation}_as_of\"('0/B')")), ["1"]);
    let early = warehouse.reader().unwrap().query(
        &format!("SELECT * FROM {relation}\""),
        Some(AsOf::Lsn(Lsn(1))),
        None,
    );
    assert!(early.unwrap_err().to_string().starts_with("Sélect \"x\".from; DROP 'it' has history since"));
}

fn history_columns_are_named_as_configured(warehouse: &mut dyn Warehouse) {
    let mut state = items();
    let names = &mut state.layout.history_names;
    names.valid_from = "effective_from".into();
    names.valid_to = "effective_to".into();
    names.is_current = "latest".into();
    names.operation_type = "op".into();
    names.open_value = Some(Timestamp(time(0).0 + 86_400_000_000));
    create(warehouse, &state);
    let rows = open(&[((1, Some("one")), "INSERT", 11, 0)]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    assert_eq!(
        query(warehouse, "SELECT id, effective_from, effective_to, latest, op FROM shop.items_history"),
        ["1|t11|t86400|true|INSERT"]
    );
}

fn composite_keys_close_the_right_row(warehouse: &mut dyn Warehouse) {
    let mut state = items();
    state.layout.key = Some(vec![2, 1]);
    create(warehouse, &state);
    let rows = open(&[
        ((1, Some("a")), "INSERT", 11, 0),
        ((1, Some("b")), "INSERT", 11, 1),
        ((2, Some("a")), "INSERT", 11, 2),
    ]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    // The key's columns come in the key's order.
    let ending = close_rows(&[((1, Some("b")), 12, 0, true), ((2, Some("a")), 12, 1, false)]);
    let ending = ending.project(&[1, 0, 2, 3, 4, 5]).unwrap();
    write(warehouse, &state.layout, RowGroup { close: Some(ending), ..RowGroup::default() });
    assert_eq!(query(warehouse, "SELECT id, name FROM shop.items"), ["1|a"]);
    assert_eq!(
        query(warehouse, "SELECT id, name, operation_type FROM shop.items_history ORDER BY _lsn, _seq"),
        ["1|a|INSERT", "1|b|INSERT", "2|a|INSERT", "1|b|DELETE"]
    );
}

/// Enough rows for a warehouse to choose another way for few keys far apart than for many or close ones.
fn a_large_table_closes_few_and_many_rows(warehouse: &mut dyn Warehouse) {
    const ROWS: i32 = 30_000;
    let state = items();
    create(warehouse, &state);
    let rows: Vec<_> = (0..ROWS).map(|id| ((id, Some("old")), "SNAPSHOT", 10, 0)).collect();
    write(warehouse, &state.layout, RowGroup { open: Some(open(&rows)), ..RowGroup::default() });
    let few = [(7, 11, 0, true), (ROWS - 1, 11, 1, false), (ROWS / 2, 11, 2, true)];
    write(warehouse, &state.layout, RowGroup { close: Some(close(&few)), ..RowGroup::default() });
    let history = "SELECT id, operation_type, _lsn, _lsn_to, _seq_to FROM shop.items_history WHERE NOT is_current ORDER BY 1, 2 DESC";
    assert_eq!(
        query(warehouse, history),
        [
            "7|SNAPSHOT|10|11|0",
            "7|DELETE|11|11|0",
            "15000|SNAPSHOT|10|11|2",
            "15000|DELETE|11|11|2",
            "29999|SNAPSHOT|10|11|1",
        ]
    );
    for last in [8, ROWS - 2] {
        let mut transaction = warehouse.begin().unwrap();
        let again = close(&[(1, 12, 0, false), (7, 12, 1, false), (last, 12, 2, false)]);
        let again = RowGroup { close: Some(again), ..RowGroup::default() };
        let error = transaction.write(&state.layout, &again).unwrap_err();
        assert!(error.to_string().ends_with("id=7"), "close together or far apart: {error}");
    }
    let many: Vec<_> = (100..ROWS / 2).map(|id| (id, 13, 0, id % 2 == 0)).collect();
    write(warehouse, &state.layout, RowGroup { close: Some(close(&many)), ..RowGroup::default() });
    assert_eq!(
        query(
            warehouse,
            "SELECT (SELECT count(*) FROM shop.items), count(*) FILTER (operation_type = 'DELETE'), count(*) \
             FROM shop.items_history"
        ),
        ["15097|7452|37452"]
    );
    assert_eq!(
        query_as_of(warehouse, "SELECT count(*) FROM shop.items", Some(AsOf::Lsn(Lsn(12)))),
        ["29997"]
    );
}

/// A transaction too large for one row group comes in several; rows of an earlier one change in a later one.
fn what_a_transaction_opened_it_can_close_again(warehouse: &mut dyn Warehouse) {
    const ROWS: i32 = 30_000;
    let state = items();
    create(warehouse, &state);
    let rows: Vec<_> = (0..ROWS).map(|id| ((id, Some("old")), "SNAPSHOT", 10, 0)).collect();
    write(warehouse, &state.layout, RowGroup { open: Some(open(&rows)), ..RowGroup::default() });
    let mut transaction = warehouse.begin().unwrap();
    let keys = [(3, 20, 0, false), (ROWS - 3, 20, 1, false)];
    for seq in 0..3 {
        let keys = keys.map(|(id, lsn, first, deleted)| (id, lsn, first + 2 * seq, deleted));
        let opened = keys.map(|(id, lsn, seq, _)| ((id, Some("new")), "UPDATE", lsn, seq));
        let rows = RowGroup { close: Some(close(&keys)), closed: None, open: Some(open(&opened)) };
        transaction.write(&state.layout, &rows).unwrap();
    }
    let many: Vec<_> = (0..ROWS).map(|id| (id, 20, 6, true)).collect();
    transaction.write(&state.layout, &RowGroup { close: Some(close(&many)), ..RowGroup::default() }).unwrap();
    transaction.commit().unwrap();
    assert_eq!(query(warehouse, "SELECT count(*) FROM shop.items"), ["0"]);
    assert_eq!(
        query(
            warehouse,
            "SELECT operation_type, _seq, _lsn_to, _seq_to FROM shop.items_history WHERE id = 3 ORDER BY _lsn, _seq"
        ),
        ["SNAPSHOT|0|20|0", "UPDATE|0|20|2", "UPDATE|2|20|4", "UPDATE|4|20|6", "DELETE|6|20|6"]
    );
    assert_eq!(
        query_as_of(warehouse, "SELECT count(*) FROM shop.items", Some(AsOf::Lsn(Lsn(19)))),
        ["30000"]
    );
    assert_eq!(query_as_of(warehouse, "SELECT count(*) FROM shop.items", Some(AsOf::Lsn(Lsn(20)))), ["0"]);
}
