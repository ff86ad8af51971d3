//! Versions open, close and are seen as of any point.

use millstream_core::{
    warehouse::{AsOf, RowGroup, TableCounts, TableState, Warehouse},
    Lsn,
};

use super::fixture::*;

const ROWS: &str = "SELECT id, name FROM shop.items ORDER BY 1, 2";
const HISTORY: &str =
    "SELECT id, name, valid_from, valid_to, is_current, operation_type, _lsn, _seq, _lsn_to, _seq_to \
                       FROM shop.items_history ORDER BY _lsn, _seq, _lsn_to, operation_type DESC, id";

pub(crate) fn run(make: &impl Fn() -> Box<dyn Warehouse>) {
    versions_follow_inserts_updates_and_deletes(make().as_mut());
    as_of_shows_the_rows_of_every_point(make().as_mut());
    before_history_begins_there_is_an_error(make().as_mut());
    closing_a_row_that_is_not_there_names_it(make().as_mut());
    a_table_without_history_keeps_none(make().as_mut());
    the_last_change_is_known_whatever_it_was(make().as_mut());
}

/// Items 1 and 2 from the snapshot at 10; 1 updated at 20, 3 inserted and changed at 30 within the transaction, 2 deleted at 40, 1 truncated with 3 at 50.
fn lived(warehouse: &mut dyn Warehouse) -> TableState {
    let state = items();
    create(warehouse, &state);
    let snapshot = open(&[((1, Some("one")), "SNAPSHOT", 10, 0), ((2, None), "SNAPSHOT", 10, 0)]);
    write(warehouse, &state.layout, RowGroup { open: Some(snapshot), ..RowGroup::default() });
    let rows = RowGroup {
        close: Some(close(&[(1, 20, 5, false)])),
        closed: None,
        open: Some(open(&[((1, Some("uno")), "UPDATE", 20, 5)])),
    };
    write(warehouse, &state.layout, rows);
    let rows = RowGroup {
        close: None,
        closed: Some(closed(&[((3, Some("three")), "INSERT", (30, 0), (30, 1))])),
        open: Some(open(&[((3, Some("tres")), "UPDATE", 30, 1)])),
    };
    write(warehouse, &state.layout, rows);
    let rows = RowGroup { close: Some(close(&[(2, 40, 0, true)])), ..RowGroup::default() };
    write(warehouse, &state.layout, rows);
    let mut transaction = warehouse.begin().unwrap();
    transaction.truncate(&state.layout, moment(50, 0)).unwrap();
    transaction.commit().unwrap();
    state
}

fn the_last_change_is_known_whatever_it_was(warehouse: &mut dyn Warehouse) {
    let state = items();
    create(warehouse, &state);
    let last = |warehouse: &mut dyn Warehouse| warehouse.begin().unwrap().last_change(&state.layout).unwrap();
    assert_eq!(last(warehouse), None);
    let rows = open(&[((1, Some("one")), "SNAPSHOT", 10, 0), ((2, None), "INSERT", 20, 3)]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    assert_eq!(last(warehouse), Some(moment(20, 0)));
    let rows = RowGroup { close: Some(close(&[(2, 40, 2, true)])), ..RowGroup::default() };
    write(warehouse, &state.layout, rows);
    assert_eq!(last(warehouse), Some(moment(40, 0)));
    let mut transaction = warehouse.begin().unwrap();
    transaction.truncate(&state.layout, moment(50, 0)).unwrap();
    assert_eq!(transaction.last_change(&state.layout).unwrap(), Some(moment(50, 0)));
}

fn versions_follow_inserts_updates_and_deletes(warehouse: &mut dyn Warehouse) {
    let state = lived(warehouse);
    assert_eq!(query(warehouse, ROWS), [""; 0]);
    assert_eq!(
        query(warehouse, HISTORY),
        [
            "1|one|t10|t20|false|SNAPSHOT|10|0|20|5",
            "2|-|t10|t40|false|SNAPSHOT|10|0|40|0",
            "1|uno|t20|t50|false|UPDATE|20|5|50|0",
            "3|three|t30|t30|false|INSERT|30|0|30|1",
            "3|tres|t30|t50|false|UPDATE|30|1|50|0",
            "2|-|t40|t40|false|DELETE|40|0|40|0",
            "1|uno|t50|t50|false|TRUNCATE|50|0|50|0",
            "3|tres|t50|t50|false|TRUNCATE|50|0|50|0",
        ]
    );
    let counts = warehouse.reader().unwrap().counts(&state.layout).unwrap();
    assert_eq!(counts, TableCounts { rows: 0, history_rows: 8 });
}

fn as_of_shows_the_rows_of_every_point(warehouse: &mut dyn Warehouse) {
    lived(warehouse);
    let expected: [(u64, &[&str]); 7] = [
        (10, &["1|one", "2|-"]),
        (19, &["1|one", "2|-"]),
        (20, &["1|uno", "2|-"]),
        (30, &["1|uno", "2|-", "3|tres"]),
        (40, &["1|uno", "3|tres"]),
        (49, &["1|uno", "3|tres"]),
        (50, &[]),
    ];
    for (lsn, rows) in expected {
        assert_eq!(query_as_of(warehouse, ROWS, Some(AsOf::Lsn(Lsn(lsn)))), rows, "as of LSN {lsn}");
        assert_eq!(query_as_of(warehouse, ROWS, Some(AsOf::Time(time(lsn)))), rows, "as of time {lsn}");
        let function = format!("SELECT id, name FROM shop.items_as_of('{}') ORDER BY 1", Lsn(lsn));
        assert_eq!(query(warehouse, &function), rows, "{function}");
    }
    let as_of_25 = query_as_of(warehouse, HISTORY, Some(AsOf::Lsn(Lsn(25))));
    assert_eq!(
        as_of_25,
        [
            "1|one|t10|t20|false|SNAPSHOT|10|0|20|5",
            "2|-|t10|-|true|SNAPSHOT|10|0|-|-",
            "1|uno|t20|-|true|UPDATE|20|5|-|-"
        ],
        "what was known of the versions then"
    );
    assert_eq!(query(warehouse, ROWS), [""; 0], "the point of one query does not outlive it");
}

fn before_history_begins_there_is_an_error(warehouse: &mut dyn Warehouse) {
    let state = lived(warehouse);
    let mut loading = notes();
    loading.history_since = None;
    create(warehouse, &loading);
    let mut reader = warehouse.reader().unwrap();
    for sql in [
        "SELECT * FROM shop.items",
        "SELECT count(*) FROM shop.items",
        "SELECT * FROM shop.items WHERE id = 5",
        "SELECT 1 FROM shop.items WHERE id IS NULL LIMIT 1",
        "SELECT * FROM shop.items_history",
        "SELECT i.id FROM shop.items_history h JOIN shop.items i ON i.id = h.id",
    ] {
        for point in [AsOf::Lsn(Lsn(9)), AsOf::Time(time(9))] {
            let error = reader.query(sql, Some(point), None).unwrap_err();
            assert_eq!(error.code(), "MS5303", "{sql}: {error}");
            assert_eq!(error.to_string(), "shop.items has history since 2026-01-01 00:00:10+00 (0/A)");
        }
    }
    let error = reader.query("SELECT * FROM shop.items_as_of('0/9')", None, None).unwrap_err();
    assert_eq!(error.code(), "MS5303", "{error}");
    let error = reader.query("SELECT * FROM shop.notes", Some(AsOf::Lsn(Lsn(90))), None).unwrap_err();
    assert_eq!(error.to_string(), "shop.notes is still being loaded; it has no history to read yet");
    assert_eq!(rows_of(reader.as_mut(), "SELECT count(*) FROM shop.notes", None), ["0"]);
    assert_eq!(warehouse.tables().unwrap(), [state, loading]);
}

fn closing_a_row_that_is_not_there_names_it(warehouse: &mut dyn Warehouse) {
    let state = items();
    create(warehouse, &state);
    let rows = open(&[((1, Some("one")), "INSERT", 11, 0)]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    let mut transaction = warehouse.begin().unwrap();
    let rows = RowGroup {
        close: Some(close(&[(1, 12, 0, false), (7, 12, 1, false), (9, 12, 2, true)])),
        ..RowGroup::default()
    };
    let error = transaction.write(&state.layout, &rows).unwrap_err();
    assert_eq!(error.code(), "MS5101");
    assert_eq!(error.to_string(), "a row to close in shop.items is not there: id=7");
    drop(transaction);
    assert_eq!(query(warehouse, ROWS), ["1|one"], "and nothing of the batch happened");
}

fn a_table_without_history_keeps_none(warehouse: &mut dyn Warehouse) {
    let mut state = items();
    state.layout.history = false;
    create(warehouse, &state);
    let rows = open(&[((1, Some("one")), "INSERT", 11, 0), ((2, Some("two")), "INSERT", 11, 1)]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    let rows = RowGroup {
        close: Some(close(&[(1, 12, 0, false), (2, 12, 1, true)])),
        closed: Some(closed(&[((3, None), "INSERT", (12, 2), (12, 3))])),
        open: Some(open(&[((1, Some("uno")), "UPDATE", 12, 0)])),
    };
    write(warehouse, &state.layout, rows);
    assert_eq!(query(warehouse, ROWS), ["1|uno"]);
    let mut reader = warehouse.reader().unwrap();
    let counts = reader.counts(&state.layout).unwrap();
    assert_eq!(counts, TableCounts { rows: 1, history_rows: 0 });
    let error = reader.query(ROWS, Some(AsOf::Lsn(Lsn(12))), None).unwrap_err();
    assert_eq!(error.to_string(), "shop.items keeps no history; it can only be read as it is now");
    let error = reader.query("SELECT * FROM shop.items_as_of('0/C')", None, None).unwrap_err();
    assert_eq!(error.code(), "MS5303");
    assert!(reader.query("SELECT * FROM shop.items_history", None, None).is_err());
    let mut transaction = warehouse.begin().unwrap();
    transaction.truncate(&state.layout, moment(13, 0)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(reader.counts(&state.layout).unwrap(), TableCounts::default());
}
