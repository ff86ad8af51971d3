//! Progress, tables' states and quarantine stand in the transaction of the data.

use millstream_core::{
    warehouse::{Compaction, Progress, QuarantinedChange, RowGroup, TableCounts, Warehouse},
    Lsn, Position, TableId, TableName,
};

use super::fixture::*;

pub(crate) fn run(make: &impl Fn() -> Box<dyn Warehouse>) {
    a_new_warehouse_is_empty(make().as_mut());
    progress_and_rows_commit_together(make().as_mut());
    a_dropped_transaction_leaves_nothing(make().as_mut());
    a_tables_state_is_kept(make().as_mut());
    changes_set_aside_are_kept(make().as_mut());
    a_reader_sees_one_state_until_it_ends(make().as_mut());
    readers_may_only_read(make().as_mut());
}

fn progress(lsn: u64) -> Progress {
    Progress { source: "7123/it's".into(), applied_lsn: Lsn(lsn), applied_time: time(lsn) }
}

fn a_new_warehouse_is_empty(warehouse: &mut dyn Warehouse) {
    assert_eq!(warehouse.progress().unwrap(), Progress::default());
    assert_eq!(warehouse.tables().unwrap(), []);
    assert_eq!(warehouse.checkpoint(Compaction::Now).unwrap(), Lsn::ZERO);
}

fn progress_and_rows_commit_together(warehouse: &mut dyn Warehouse) {
    let state = items();
    create(warehouse, &state);
    for lsn in [11, u64::MAX] {
        let mut transaction = warehouse.begin().unwrap();
        let rows = open(&[((lsn as i32, Some("a")), "INSERT", lsn.min(11), 0)]);
        transaction.write(&state.layout, &RowGroup { open: Some(rows), ..RowGroup::default() }).unwrap();
        transaction.set_progress(&Progress { applied_lsn: Lsn(lsn), ..progress(11) }).unwrap();
        transaction.commit().unwrap();
        let mut reader = warehouse.reader().unwrap();
        assert_eq!(reader.progress().unwrap().applied_lsn, Lsn(lsn));
        assert_eq!(warehouse.progress().unwrap(), Progress { applied_lsn: Lsn(lsn), ..progress(11) });
    }
    let counts = warehouse.reader().unwrap().counts(&state.layout).unwrap();
    assert_eq!(counts, TableCounts { rows: 2, history_rows: 2 });
    for compaction in [Compaction::Later, Compaction::Now] {
        assert_eq!(warehouse.checkpoint(compaction).unwrap(), Lsn(u64::MAX));
    }
}

fn a_dropped_transaction_leaves_nothing(warehouse: &mut dyn Warehouse) {
    let state = items();
    create(warehouse, &state);
    let mut transaction = warehouse.begin().unwrap();
    let rows = open(&[((1, Some("a")), "INSERT", 11, 0)]);
    transaction.write(&state.layout, &RowGroup { open: Some(rows), ..RowGroup::default() }).unwrap();
    transaction.create_table(&notes()).unwrap();
    transaction.set_progress(&progress(11)).unwrap();
    drop(transaction);
    assert_eq!(warehouse.progress().unwrap(), Progress::default());
    assert_eq!(warehouse.tables().unwrap(), [state]);
    assert_eq!(query(warehouse, "SELECT count(*) FROM shop.items"), ["0"]);
}

fn a_tables_state_is_kept(warehouse: &mut dyn Warehouse) {
    let mut state = items();
    state.history_since = None;
    create(warehouse, &state);
    assert_eq!(warehouse.tables().unwrap(), std::slice::from_ref(&state));
    state.phase_json = "{\"note\": \"it's \\u0000 live\"}".into();
    state.history_since = Some(moment(10, 3));
    let mut transaction = warehouse.begin().unwrap();
    transaction.put_state(&state).unwrap();
    transaction.commit().unwrap();
    assert_eq!(warehouse.tables().unwrap(), [state]);
}

fn changes_set_aside_are_kept(warehouse: &mut dyn Warehouse) {
    let change = QuarantinedChange {
        position: Position { commit_lsn: Lsn(11), ordinal: 2 },
        table: TableId(16_384),
        name: TableName::new("public", "items"),
        code: "MS4301".into(),
        reason: "it doesn't fit".into(),
        key: "id=1".into(),
        content: "{\"zero\": \"\0\"}".into(),
    };
    let mut transaction = warehouse.begin().unwrap();
    transaction.quarantine(&[]).unwrap();
    let at = |ordinal| Position { commit_lsn: Lsn(11), ordinal };
    let first = QuarantinedChange { position: at(1), ..change.clone() };
    let other = QuarantinedChange { table: TableId(16_385), position: at(0), ..change.clone() };
    transaction.quarantine(&[change.clone(), first.clone(), other.clone()]).unwrap();
    transaction.commit().unwrap();
    let kept = |warehouse: &dyn Warehouse| warehouse.reader().unwrap().quarantined().unwrap();
    assert_eq!(kept(warehouse), [first.clone(), change.clone(), other.clone()]);

    let again = QuarantinedChange { position: at(3), ..change.clone() };
    let mut transaction = warehouse.begin().unwrap();
    transaction.quarantine(std::slice::from_ref(&again)).unwrap();
    assert_eq!(transaction.release(TableId(16_384)).unwrap(), [first.clone(), change.clone(), again.clone()]);
    assert_eq!(transaction.release(TableId(16_384)).unwrap(), []);
    drop(transaction);
    assert_eq!(kept(warehouse).len(), 3, "what was not committed was not taken out");

    let mut transaction = warehouse.begin().unwrap();
    assert_eq!(transaction.release(TableId(16_384)).unwrap(), [first, change]);
    transaction.quarantine(std::slice::from_ref(&again)).unwrap();
    transaction.commit().unwrap();
    assert_eq!(kept(warehouse), [again, other]);
}

fn a_reader_sees_one_state_until_it_ends(warehouse: &mut dyn Warehouse) {
    let state = items();
    create(warehouse, &state);
    let mut reader = warehouse.reader().unwrap();
    reader.begin().unwrap();
    let mut transaction = warehouse.begin().unwrap();
    let rows = open(&[((1, Some("a")), "INSERT", 11, 0)]);
    transaction.write(&state.layout, &RowGroup { open: Some(rows), ..RowGroup::default() }).unwrap();
    transaction.set_progress(&progress(11)).unwrap();
    transaction.commit().unwrap();
    let count = "SELECT count(*) FROM shop.items";
    assert_eq!(rows_of(reader.as_mut(), count, None), ["0"]);
    assert_eq!(reader.progress().unwrap(), Progress::default());
    assert_eq!(query(warehouse, count), ["1"]);
    reader.end().unwrap();
    assert_eq!(rows_of(reader.as_mut(), count, None), ["1"]);
    assert_eq!(reader.progress().unwrap(), progress(11));
}

fn readers_may_only_read(warehouse: &mut dyn Warehouse) {
    let state = items();
    create(warehouse, &state);
    let mut reader = warehouse.reader().unwrap();
    for (sql, code) in [
        ("CREATE TABLE shop.x (a integer)", "MS5301"),
        ("SELECT 1; DROP VIEW shop.items", "MS5301"),
        ("DROP VIEW shop.items", "MS5301"),
        ("", "MS5301"),
        ("SELECT nothing", "MS5302"),
        ("SELEC", "MS5302"),
    ] {
        let error = reader.query(sql, None, None).unwrap_err();
        assert_eq!(error.code(), code, "{sql}: {error}");
    }
    assert_eq!(rows_of(reader.as_mut(), "SELECT count(*) FROM shop.items", None), ["0"]);
    let first = reader.query("SELECT * FROM (VALUES (1), (2), (3)) AS v(x)", None, Some(2)).unwrap();
    assert_eq!(first.batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
    assert_eq!(first.columns.len(), 1);
    assert_eq!(
        rows_of(reader.as_mut(), "SELECT 7", None),
        ["7"],
        "a page cut short leaves the reader usable"
    );
}
