//! What is held, and what goes on, change by change.

use millstream_core::{
    warehouse::Moment, ColumnSchema, Lsn, PgType, ReplicaIdentity, TableName, Timestamp, TupleBuilder,
};

use super::*;

fn schema(key: Option<Vec<usize>>) -> Arc<TableSchema> {
    let column = |attnum, name: &str, kind| ColumnSchema {
        attnum,
        name: name.into(),
        pg_type: PgType { oid: 25, typmod: -1, name: "text".into(), kind },
        not_null: false,
        missing_value: None,
    };
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("public", "t"),
        columns: vec![column(1, "id", TypeKind::Text), column(2, "a", TypeKind::Bytea)],
        replica_identity: ReplicaIdentity::Full,
        key,
        relfilenode: 1,
        class_xmin: 1,
        storage: Default::default(),
    })
}

fn row(values: &[Value<'_>]) -> Tuple {
    let mut builder = TupleBuilder::new();
    for &value in values {
        builder.push(value);
    }
    builder.finish()
}

fn text(id: &str, a: &str) -> Tuple {
    row(&[Value::Text(id.as_bytes()), Value::Text(a.as_bytes())])
}

fn key(id: &str) -> OldTuple {
    OldTuple::Key(row(&[Value::Text(id.as_bytes()), Value::Null]))
}

fn changes(first: u64, kinds: Vec<RowChangeKind>) -> Vec<RowChange> {
    let at = |number| Moment {
        time: Timestamp(number as i64),
        position: Position { commit_lsn: Lsn(number), ordinal: 0 },
    };
    (first..).zip(kinds).map(|(number, kind)| RowChange { at: at(number), kind }).collect()
}

/// A value that says so does not fit.
fn bad(change: &RowChange) -> Option<Reason> {
    let is_bad = change.row().values().any(|value| value == Value::Text(b"bad"));
    let what = "it says so".to_owned();
    is_bad.then(|| Reason::Unfit { column: "a".into(), unrepresentable: true, what })
}

/// Positions that go on, and those set aside with what they follow.
fn parted(
    schema: &Arc<TableSchema>,
    holds: &mut Holds,
    changes: Vec<RowChange>,
) -> (Vec<u64>, Vec<(u64, Option<u64>)>) {
    let (go_on, held) = part(schema, changes, holds, bad);
    let lsn = |change: &RowChange| change.at.position.commit_lsn.0;
    let held = held.iter().map(|held| match held.reason {
        Reason::Follows(first) => (lsn(&held.change), Some(first.commit_lsn.0)),
        _ => (lsn(&held.change), None),
    });
    let held = held.collect();
    (go_on.iter().map(lsn).collect(), held)
}

#[test]
fn what_follows_a_held_change_of_its_row_is_held_and_other_rows_go_on() {
    let schema = schema(Some(vec![0]));
    let mut holds = Holds::default();
    let insert = |id: &str, a: &str| RowChangeKind::Insert(text(id, a));
    let update = |id: &str, a: &str| RowChangeKind::Update { old: None, new: text(id, a) };
    let batch = changes(
        1,
        vec![insert("1", "x"), insert("2", "bad"), insert("3", "x"), update("2", "x"), update("1", "y")],
    );
    assert_eq!(parted(&schema, &mut holds, batch), (vec![1, 3, 5], vec![(2, None), (4, Some(2))]));
    // In a later batch too; and a row that takes the key of a held one is held itself, with the key it had.
    let moved = RowChangeKind::Update { old: Some(key("1")), new: text("2", "z") };
    let batch = changes(
        6,
        vec![RowChangeKind::Delete(key("2")), moved, update("3", "y"), insert("1", "new"), insert("4", "x")],
    );
    let expected = (vec![8, 10], vec![(6, Some(2)), (7, Some(2)), (9, Some(7))]);
    assert_eq!(parted(&schema, &mut holds, batch), expected);
    assert_eq!((holds.changes, holds.of_table(schema.id)), (5, 5));
}

#[test]
fn a_row_that_left_a_held_key_is_held_under_its_new_one() {
    let schema = schema(Some(vec![0]));
    let mut holds = Holds::default();
    let moved = RowChangeKind::Update { old: Some(key("1")), new: text("2", "bad") };
    let after = RowChangeKind::Update { old: None, new: text("2", "x") };
    let reused = RowChangeKind::Insert(text("1", "x"));
    let batch = changes(1, vec![moved, after, reused]);
    assert_eq!(
        parted(&schema, &mut holds, batch),
        (vec![], vec![(1, None), (2, Some(1)), (3, Some(1))]),
        "the warehouse still has a row under the key that was left"
    );
}

#[test]
fn rows_without_a_key_are_held_by_what_they_are_made_of() {
    let schema = schema(None);
    let mut holds = Holds::default();
    let full = |id: &str, a: &str| OldTuple::Full(text(id, a));
    let to_bad = RowChangeKind::Update { old: Some(full("1", "x")), new: text("1", "bad") };
    let back = RowChangeKind::Update { old: Some(full("1", "bad")), new: text("1", "y") };
    let batch = changes(
        1,
        vec![to_bad, back, RowChangeKind::Delete(full("1", "y")), RowChangeKind::Delete(full("2", "x"))],
    );
    assert_eq!(parted(&schema, &mut holds, batch), (vec![4], vec![(1, None), (2, Some(1)), (3, Some(2))]));
}

#[test]
fn all_changes_of_a_table_whose_key_changed_follow_what_is_held() {
    let mut holds = Holds::default();
    let batch = changes(1, vec![RowChangeKind::Insert(text("1", "bad"))]);
    parted(&schema(Some(vec![0])), &mut holds, batch);
    let batch = changes(2, vec![RowChangeKind::Insert(text("2", "x"))]);
    let rekeyed = schema(Some(vec![1]));
    assert_eq!(parted(&rekeyed, &mut holds, batch.clone()), (vec![], vec![(2, Some(1))]));
    assert_eq!(parted(&schema(Some(vec![0])), &mut holds, batch).0, [0_u64; 0], "and back again");
}

#[test]
fn a_superseded_table_goes_on_and_its_changes_still_count() {
    let schema = schema(Some(vec![0]));
    let mut holds = Holds::default();
    parted(&schema, &mut holds, changes(1, vec![RowChangeKind::Insert(text("1", "bad"))]));
    holds.supersede(schema.id);
    let next = changes(2, vec![RowChangeKind::Update { old: None, new: text("1", "x") }]);
    assert_eq!(parted(&schema, &mut holds, next), (vec![2], vec![]));
    assert_eq!(holds.changes, 1);
}

/// They are kept in warehouses: a hash that changes lets go of what is held.
#[test]
fn the_hash_of_a_key_stays_what_it_is() {
    let key = KeyColumns::Some(vec![0, 1]);
    let hash = hash(&key, &row(&[Value::Text(b"1"), Value::Null]));
    assert_eq!(format!("{hash:032x}"), "e750fc370ef5a99e490187ce0961a1d5");
    assert_ne!(hash, super::hash(&key, &row(&[Value::Null, Value::Text(b"1")])));
}

#[test]
fn a_value_is_too_large_by_its_own_size_and_bytea_by_half_of_what_is_printed() {
    let schema = schema(Some(vec![0]));
    let insert = |id: &str, a: &str| RowChangeKind::Insert(text(id, a));
    let large = |kind| too_large(&schema, &changes(1, vec![kind])[0], 1_000).map(|reason| reason.to_string());
    let bytes = |count: usize| format!("\\x{}", "00".repeat(count));
    assert_eq!(large(insert(&"x".repeat(999), &bytes(1_000))), None);
    assert_eq!(
        large(insert(&"x".repeat(1_001), "")).unwrap(),
        "column id: a value of 1001 bytes, value_max is 1000"
    );
    assert_eq!(
        large(insert("1", &bytes(1_001))).unwrap(),
        "column a: a value of 1001 bytes, value_max is 1000"
    );
    let old = OldTuple::Full(text(&"x".repeat(1_001), ""));
    assert!(large(RowChangeKind::Delete(old)).is_some());
}
