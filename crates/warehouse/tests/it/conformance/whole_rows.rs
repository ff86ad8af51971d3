//! Tables without a key, lookups, and rows of the source put aside to replace or compare.

use arrow_array::{cast::AsArray, types};
use millstream_core::warehouse::{
    Comparison, Difference, ReplaceCounts, RowGroup, TableLayout, TableState, Warehouse,
};

use super::fixture::*;

const NOTES_HISTORY: &str =
    "SELECT id, name, operation_type, _lsn, _seq, _lsn_to, _seq_to FROM shop.notes_history \
                             ORDER BY id, name, _lsn, _seq, _lsn_to, operation_type DESC";

pub(crate) fn run(make: &impl Fn() -> Box<dyn Warehouse>) {
    of_equal_rows_the_oldest_closes(make().as_mut());
    a_row_with_too_few_copies_is_an_error(make().as_mut());
    equal_rows_are_counted(make().as_mut());
    a_lookup_hands_rows_back_with_their_number(make().as_mut());
    staged_rows_replace_a_keyed_tables_rows(make().as_mut());
    staged_rows_replace_whole_rows_as_a_multiset(make().as_mut());
    nothing_staged_empties_the_table(make().as_mut());
    comparing_names_what_differs(make().as_mut());
    comparing_whole_rows_counts_copies(make().as_mut());
}

/// Three equal rows and two others, of which one is NULL.
fn copies(warehouse: &mut dyn Warehouse) -> TableState {
    let state = notes();
    create(warehouse, &state);
    let rows = open(&[
        ((1, Some("a")), "INSERT", 12, 0),
        ((1, Some("a")), "INSERT", 11, 1),
        ((1, None), "INSERT", 11, 2),
        ((2, Some("a")), "INSERT", 11, 3),
        ((1, Some("a")), "INSERT", 11, 0),
    ]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    state
}

fn of_equal_rows_the_oldest_closes(warehouse: &mut dyn Warehouse) {
    let state = copies(warehouse);
    let ending = close_rows(&[
        ((1, Some("a")), 13, 0, false),
        ((1, None), 13, 1, true),
        ((1, Some("a")), 13, 2, true),
    ]);
    write(warehouse, &state.layout, RowGroup { close: Some(ending), ..RowGroup::default() });
    assert_eq!(query(warehouse, "SELECT id, name FROM shop.notes ORDER BY id"), ["1|a", "2|a"]);
    assert_eq!(
        query(warehouse, NOTES_HISTORY),
        [
            "1|a|INSERT|11|0|13|0",
            "1|a|INSERT|11|1|13|2",
            "1|a|INSERT|12|0|-|-",
            "1|a|DELETE|13|2|13|2",
            "1|-|INSERT|11|2|13|1",
            "1|-|DELETE|13|1|13|1",
            "2|a|INSERT|11|3|-|-",
        ]
    );
}

fn a_row_with_too_few_copies_is_an_error(warehouse: &mut dyn Warehouse) {
    let state = copies(warehouse);
    for ending in [
        close_rows(&[((2, Some("a")), 13, 0, false), ((2, Some("a")), 13, 1, false)]),
        close_rows(&[((2, None), 13, 0, false)]),
    ] {
        let mut transaction = warehouse.begin().unwrap();
        let rows = RowGroup { close: Some(ending), ..RowGroup::default() };
        let error = transaction.write(&state.layout, &rows).unwrap_err();
        assert_eq!(error.code(), "MS5101", "{error}");
    }
}

fn equal_rows_are_counted(warehouse: &mut dyn Warehouse) {
    let state = copies(warehouse);
    let mut transaction = warehouse.begin().unwrap();
    let asked = items_batch(&[(2, None), (1, Some("a")), (1, None), (1, Some("a"))]);
    assert_eq!(transaction.count_equal(&state.layout, &asked).unwrap(), [0, 3, 1, 3]);
    assert_eq!(transaction.count_equal(&state.layout, &items_batch(&[])).unwrap(), [0_u64; 0]);
}

fn stocked(warehouse: &mut dyn Warehouse) -> TableState {
    let state = items();
    create(warehouse, &state);
    let rows = open(&[
        ((1, Some("one")), "SNAPSHOT", 10, 0),
        ((2, Some("two")), "SNAPSHOT", 10, 0),
        ((3, None), "SNAPSHOT", 10, 0),
    ]);
    write(warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    state
}

fn a_lookup_hands_rows_back_with_their_number(warehouse: &mut dyn Warehouse) {
    let state = stocked(warehouse);
    let mut transaction = warehouse.begin().unwrap();
    let asked = items_batch(&[(3, None), (8, None), (1, None)]);
    let asked = batch(vec![("c1", asked.column(0).clone()), ("ordinal", numbers([70, 80, 10].into_iter()))]);
    let mut found = Vec::new();
    for batch in transaction.lookup(&state.layout, &asked).unwrap() {
        let names: Vec<_> = batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["c1", "c2", "ordinal"]);
        for row in 0..batch.num_rows() {
            let name = batch.column(1).as_string_opt::<i32>().unwrap().iter().nth(row).unwrap();
            found.push((
                batch.column(2).as_primitive::<types::UInt64Type>().value(row),
                batch.column(0).as_primitive::<types::Int32Type>().value(row),
                name.map(str::to_owned),
            ));
        }
    }
    found.sort();
    assert_eq!(found, [(10, 1, Some("one".to_owned())), (70, 3, None)]);
}

fn stage(warehouse: &mut dyn Warehouse, layout: &TableLayout, pieces: &[&[Item]]) -> ReplaceCounts {
    let mut transaction = warehouse.begin().unwrap();
    for piece in pieces {
        transaction.stage(layout, &items_batch(piece)).unwrap();
    }
    let counts = transaction.replace_with_staged(layout, moment(60, 7)).unwrap();
    transaction.commit().unwrap();
    counts
}

fn staged_rows_replace_a_keyed_tables_rows(warehouse: &mut dyn Warehouse) {
    let state = stocked(warehouse);
    let counts =
        stage(warehouse, &state.layout, &[&[(4, Some("four")), (1, Some("one"))], &[(3, Some("three"))]]);
    assert_eq!(counts, ReplaceCounts { inserted: 1, updated: 1, deleted: 1 });
    assert_eq!(
        query(
            warehouse,
            "SELECT id, name, valid_from, valid_to, operation_type, _lsn, _seq, _lsn_to, _seq_to \
             FROM shop.items_history ORDER BY id, _lsn, operation_type DESC"
        ),
        [
            "1|one|t10|-|SNAPSHOT|10|0|-|-",
            "2|two|t10|t60|SNAPSHOT|10|0|60|7",
            "2|two|t60|t60|DELETE|60|7|60|7",
            "3|-|t10|t60|SNAPSHOT|10|0|60|7",
            "3|three|t60|-|SNAPSHOT|60|7|-|-",
            "4|four|t60|-|SNAPSHOT|60|7|-|-",
        ]
    );
    let again =
        stage(warehouse, &state.layout, &[&[(4, Some("four")), (1, Some("one")), (3, Some("three"))]]);
    assert_eq!(again, ReplaceCounts::default(), "what is equal stays untouched");
}

fn staged_rows_replace_whole_rows_as_a_multiset(warehouse: &mut dyn Warehouse) {
    let state = copies(warehouse);
    let counts = stage(warehouse, &state.layout, &[&[(1, Some("a")), (1, None), (1, None), (3, Some("b"))]]);
    assert_eq!(counts, ReplaceCounts { inserted: 2, updated: 0, deleted: 3 });
    assert_eq!(
        query(warehouse, "SELECT id, name FROM shop.notes ORDER BY id, name NULLS LAST"),
        ["1|a", "1|-", "1|-", "3|b"]
    );
    assert_eq!(
        query(
            warehouse,
            "SELECT _lsn, _seq FROM shop.notes_history WHERE id = 1 AND name = 'a' AND is_current"
        ),
        ["11|0"],
        "of equal rows the oldest stays"
    );
}

fn nothing_staged_empties_the_table(warehouse: &mut dyn Warehouse) {
    let state = stocked(warehouse);
    let counts = stage(warehouse, &state.layout, &[]);
    assert_eq!(counts, ReplaceCounts { inserted: 0, updated: 0, deleted: 3 });
    assert_eq!(query(warehouse, "SELECT count(*) FROM shop.items"), ["0"]);
}

fn comparing_names_what_differs(warehouse: &mut dyn Warehouse) {
    let state = stocked(warehouse);
    let mut reader = warehouse.reader().unwrap();
    reader.begin().unwrap();
    for _ in 0..2 {
        reader.stage(&state.layout, &items_batch(&[(1, Some("one")), (2, Some("2"))])).unwrap();
        reader.stage(&state.layout, &items_batch(&[(9, Some("new")), (8, None), (7, None)])).unwrap();
        let comparison = reader.compare_staged(&state.layout, 2).unwrap();
        assert_eq!(
            comparison,
            Comparison {
                rows_source: 5,
                rows_warehouse: 3,
                missing: Difference { count: 3, keys: vec!["id=7".into(), "id=8".into()] },
                extra: Difference { count: 1, keys: vec!["id=3".into()] },
                different: Difference { count: 1, keys: vec!["id=2 (name)".into()] },
            }
        );
    }
    reader.stage(&state.layout, &items_batch(&[(1, Some("one")), (2, Some("two")), (3, None)])).unwrap();
    assert!(reader.compare_staged(&state.layout, 2).unwrap().is_equal());
    reader.end().unwrap();
}

fn comparing_whole_rows_counts_copies(warehouse: &mut dyn Warehouse) {
    let state = copies(warehouse);
    let mut reader = warehouse.reader().unwrap();
    let rows = [(1, Some("a")), (1, Some("a")), (2, Some("a")), (1, None), (1, None)];
    reader.stage(&state.layout, &items_batch(&rows)).unwrap();
    let comparison = reader.compare_staged(&state.layout, 5).unwrap();
    assert_eq!(comparison.missing, Difference { count: 1, keys: vec!["id=1, name=NULL".into()] });
    assert_eq!(comparison.extra, Difference { count: 1, keys: vec!["id=1, name=a".into()] });
    assert_eq!((comparison.rows_source, comparison.rows_warehouse), (5, 5));
}
