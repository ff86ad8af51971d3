//! The plan against a naive model that applies one change after another.

use std::collections::BTreeMap;

use millstream_core::{ColumnSchema, Lsn, PgType, ReplicaIdentity, TableId, TableName, Timestamp, TypeKind};
use proptest::prelude::*;

use super::*;
use crate::quarantine::{hold::part, Holds, Reason};

fn schema(key: Option<Vec<usize>>) -> Arc<TableSchema> {
    let column = |attnum, name: &str| ColumnSchema {
        attnum,
        name: name.into(),
        pg_type: PgType { oid: 25, typmod: -1, name: "text".into(), kind: TypeKind::Text },
        not_null: false,
        missing_value: None,
    };
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("public", "t"),
        columns: vec![column(1, "id"), column(2, "a"), column(3, "b")],
        replica_identity: if key.is_some() { ReplicaIdentity::Default } else { ReplicaIdentity::Full },
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

fn text(values: &[&str]) -> Tuple {
    row(&values.iter().map(|value| Value::Text(value.as_bytes())).collect::<Vec<_>>())
}

fn at(number: u64) -> Moment {
    Moment { time: Timestamp(number as i64), position: Position { commit_lsn: Lsn(number), ordinal: 0 } }
}

fn changes(kinds: Vec<RowChangeKind>) -> Vec<RowChange> {
    kinds.into_iter().enumerate().map(|(index, kind)| RowChange { at: at(index as u64 + 1), kind }).collect()
}

fn key_of(id: &str) -> OldTuple {
    OldTuple::Key(row(&[Value::Text(id.as_bytes()), Value::Null, Value::Null]))
}

#[test]
fn a_key_swap_in_one_transaction_keeps_both_histories() {
    let update = |from: &str, to: &str, a: &str| RowChangeKind::Update {
        old: Some(key_of(from)),
        new: text(&[to, a, ""]),
    };
    let plan = plan_keyed(
        &schema(Some(vec![0])),
        changes(vec![update("1", "-1", "one"), update("2", "1", "two"), update("-1", "2", "one")]),
    )
    .unwrap();
    assert_eq!(plan.closes.len(), 2, "rows 1 and 2 end, each once");
    let open: Vec<_> = plan.versions.iter().filter(|version| version.end.is_none()).collect();
    assert_eq!(open[0].row, text(&["1", "two", ""]));
    assert_eq!(open[1].row, text(&["2", "one", ""]));
    let passing: Vec<_> = plan.versions.iter().filter(|version| version.end.is_some()).collect();
    assert_eq!(passing.len(), 1, "the row was -1 for a moment");
}

#[test]
fn an_unchanged_value_comes_from_the_insert_of_the_same_run() {
    let new = row(&[Value::Text(b"1"), Value::Text(b"x"), Value::Unchanged]);
    let plan = plan_keyed(
        &schema(Some(vec![0])),
        changes(vec![
            RowChangeKind::Insert(text(&["1", "a", "large"])),
            RowChangeKind::Update { old: None, new: new.clone() },
            RowChangeKind::Update { old: None, new },
        ]),
    )
    .unwrap();
    assert!(plan.lookups().is_empty());
    assert!(plan.versions[1..].iter().all(|version| version.row == text(&["1", "x", "large"])));
}

#[test]
fn an_unchanged_value_of_a_base_row_is_looked_up_once_for_a_whole_chain() {
    let update = |a: &str| RowChangeKind::Update {
        old: None,
        new: row(&[Value::Text(b"7"), Value::Text(a.as_bytes()), Value::Unchanged]),
    };
    let mut plan =
        plan_keyed(&schema(Some(vec![0])), changes(vec![update("x"), update("y"), update("z")])).unwrap();
    assert_eq!(plan.lookups(), [0]);
    assert!(plan.clone().fill(&[]).is_err(), "what is not there can't be filled in");
    plan.fill(&[(0, text(&["7", "old", "large"]))]).unwrap();
    let rows: Vec<_> = plan.versions.iter().map(|version| version.row.clone()).collect();
    assert_eq!(rows, ["x", "y", "z"].map(|a| text(&["7", a, "large"])));
}

#[test]
fn an_unchanged_toasted_key_is_taken_from_the_old_key() {
    let new = row(&[Value::Unchanged, Value::Text(b"x"), Value::Unchanged]);
    let mut plan = plan_keyed(
        &schema(Some(vec![0])),
        changes(vec![RowChangeKind::Update { old: Some(key_of("long key")), new }]),
    )
    .unwrap();
    assert_eq!(plan.lookups(), [0]);
    plan.fill(&[(0, text(&["long key", "w", "large"]))]).unwrap();
    assert_eq!(plan.versions[0].row, text(&["long key", "x", "large"]));
}

#[test]
fn contradictions_are_refused() {
    let schema = schema(Some(vec![0]));
    let insert = || RowChangeKind::Insert(text(&["1", "a", "b"]));
    let delete = || RowChangeKind::Delete(key_of("1"));
    let plan = |kinds| plan_keyed(&schema, changes(kinds));
    assert!(matches!(plan(vec![insert(), insert()]), Err(PlanError::OpenedTwice { .. })));
    assert!(matches!(plan(vec![delete(), delete()]), Err(PlanError::ChangedWhenGone { .. })));
    assert!(plan(vec![delete(), insert(), delete(), insert()]).is_ok());
    let unchanged = row(&[Value::Text(b"1"), Value::Unchanged, Value::Null]);
    assert!(matches!(
        plan(vec![RowChangeKind::Insert(unchanged)]),
        Err(PlanError::UnchangedOfNothing { .. })
    ));
    let whole = plan_whole_rows(&schema, changes(vec![delete()]), &[]);
    assert!(matches!(whole, Err(PlanError::NoIdentity { .. })));
}

/// A version as the model keeps it: row, opened at, operation, ended at and whether by deletion.
type ModelVersion = (Tuple, u64, Operation, Option<(u64, bool)>);

/// A warehouse that knows only single changes: the oldest open version that matches ends.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    versions: Vec<ModelVersion>,
}

impl Model {
    fn end(&mut self, matches: impl Fn(&Tuple) -> bool, end: (u64, bool)) -> Tuple {
        let version = self
            .versions
            .iter_mut()
            .filter(|version| version.3.is_none() && matches(&version.0))
            .min_by_key(|version| version.1)
            .unwrap();
        version.3 = Some(end);
        version.0.clone()
    }

    fn open(&mut self, row: Tuple, at: u64, operation: Operation) {
        self.versions.push((row, at, operation, None));
    }

    /// Executes a plan as the warehouse port says: close, closed, open.
    fn execute(&mut self, mut plan: TablePlan, keyed: bool) {
        let matches =
            |a: &Tuple, b: &Tuple| if keyed { a.values().next() == b.values().next() } else { a == b };
        let found: Vec<_> = plan
            .lookups()
            .into_iter()
            .map(|index| {
                let wanted = &plan.closes[index as usize].row;
                let found = self.versions.iter().find(|v| v.3.is_none() && matches(&v.0, wanted)).unwrap();
                (index, found.0.clone())
            })
            .collect();
        plan.fill(&found).unwrap();
        for close in plan.closes {
            let end = (close.end.at.position.commit_lsn.0, close.end.deleted);
            self.end(|row| matches(row, &close.row), end);
        }
        for version in plan.versions {
            let end = version.end.map(|end| (end.at.position.commit_lsn.0, end.deleted));
            self.versions.push((version.row, version.opened.position.commit_lsn.0, version.operation, end));
        }
    }

    fn sorted(mut self) -> Self {
        self.versions.sort_by_key(|version| version.1);
        self
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u8),
    Update { which: u8, to: u8, a: u8, touch_b: bool },
    Delete(u8),
    Cut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6u8, 0..3u8).prop_map(|(id, a)| Step::Insert(id, a)),
        4 => (any::<u8>(), 0..6u8, 0..3u8, any::<bool>())
            .prop_map(|(which, to, a, touch_b)| Step::Update { which, to, a, touch_b }),
        2 => any::<u8>().prop_map(Step::Delete),
        1 => Just(Step::Cut),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn keyed_runs_of_any_cut_come_to_what_single_changes_come_to(steps in steps()) {
        let schema = schema(Some(vec![0]));
        let (mut model, mut planned, mut run) = (Model::default(), Model::default(), Vec::new());
        let mut live: BTreeMap<u8, (u8, u64)> = BTreeMap::new();
        let full = |id: u8, a: u8, b: u64| text(&[&id.to_string(), &a.to_string(), &b.to_string()]);
        for (number, step) in steps.into_iter().enumerate() {
            let number = number as u64 + 1;
            let mut push = |kind| run.push(RowChange { at: at(number), kind });
            match step {
                Step::Insert(id, a) if !live.contains_key(&id) => {
                    live.insert(id, (a, number));
                    model.open(full(id, a, number), number, Operation::Insert);
                    push(RowChangeKind::Insert(full(id, a, number)));
                }
                Step::Update { which, to, a, touch_b } if !live.is_empty() => {
                    let from = *live.keys().nth(which as usize % live.len()).unwrap();
                    let to = if live.contains_key(&to) { from } else { to };
                    let (_, mut b) = live.remove(&from).unwrap();
                    if touch_b { b = number; }
                    live.insert(to, (a, b));
                    model.end(|row| row.values().next() == full(from, 0, 0).values().next(), (number, false));
                    model.open(full(to, a, b), number, Operation::Update);
                    let new = if touch_b { full(to, a, b) } else {
                        row(&[Value::Text(to.to_string().as_bytes()), Value::Text(a.to_string().as_bytes()), Value::Unchanged])
                    };
                    let old = (from != to).then(|| key_of(&from.to_string()));
                    push(RowChangeKind::Update { old, new });
                }
                Step::Delete(which) if !live.is_empty() => {
                    let id = *live.keys().nth(which as usize % live.len()).unwrap();
                    live.remove(&id);
                    model.end(|row| row.values().next() == full(id, 0, 0).values().next(), (number, true));
                    push(RowChangeKind::Delete(key_of(&id.to_string())));
                }
                Step::Cut => planned.execute(plan_keyed(&schema, std::mem::take(&mut run)).unwrap(), true),
                _ => {}
            }
        }
        planned.execute(plan_keyed(&schema, run).unwrap(), true);
        prop_assert_eq!(planned.sorted(), model.sorted());
    }

    #[test]
    fn whole_row_runs_of_any_cut_end_the_oldest_of_equal_rows(steps in steps()) {
        let schema = schema(None);
        let (mut model, mut planned, mut run) = (Model::default(), Model::default(), Vec::new());
        let mut live: Vec<Tuple> = Vec::new();
        let full = |id: u8, a: u8| text(&[&(id % 2).to_string(), &a.to_string(), "b"]);
        let execute = |planned: &mut Model, run: Vec<RowChange>| {
            let counts: Vec<_> = whole_row_probes(&run).into_iter().map(|row| {
                let count = planned.versions.iter().filter(|v| v.3.is_none() && v.0 == row).count() as u64;
                (row, count)
            }).collect();
            planned.execute(plan_whole_rows(&schema, run, &counts).unwrap(), false);
        };
        for (number, step) in steps.into_iter().enumerate() {
            let number = number as u64 + 1;
            let mut push = |kind| run.push(RowChange { at: at(number), kind });
            match step {
                Step::Insert(id, a) => {
                    live.push(full(id, a));
                    model.open(full(id, a), number, Operation::Insert);
                    push(RowChangeKind::Insert(full(id, a)));
                }
                Step::Update { which, to, a, .. } if !live.is_empty() => {
                    let index = which as usize % live.len();
                    let old = std::mem::replace(&mut live[index], full(to, a));
                    model.end(|row| *row == old, (number, false));
                    model.open(full(to, a), number, Operation::Update);
                    push(RowChangeKind::Update { old: Some(OldTuple::Full(old)), new: full(to, a) });
                }
                Step::Delete(which) if !live.is_empty() => {
                    let old = live.remove(which as usize % live.len());
                    model.end(|row| *row == old, (number, true));
                    push(RowChangeKind::Delete(OldTuple::Full(old)));
                }
                Step::Cut => execute(&mut planned, std::mem::take(&mut run)),
                _ => {}
            }
        }
        execute(&mut planned, run);
        prop_assert_eq!(planned.sorted(), model.sorted());
    }

    /// Whatever is set aside, with what follows it, and brought back after any number of batches: it comes to what would have been without.
    #[test]
    fn what_was_set_aside_and_brought_back_comes_to_what_would_have_been(steps in steps(), keyed in any::<bool>()) {
        let schema = schema(keyed.then(|| vec![0]));
        let kinds = |step: Step, live: &mut Vec<(u8, u8, u64)>, number: u64| {
            let full = |row: (u8, u8, u64)| text(&[&row.0.to_string(), &row.1.to_string(), &row.2.to_string()]);
            let before = |row: (u8, u8, u64)| if keyed { key_of(&row.0.to_string()) } else { OldTuple::Full(full(row)) };
            match step {
                Step::Insert(id, a) if !(keyed && live.iter().any(|row| row.0 == id)) => {
                    live.push((id, a, 0));
                    Some(RowChangeKind::Insert(full((id, a, 0))))
                }
                Step::Update { which, to, a, touch_b } if !live.is_empty() => {
                    let index = which as usize % live.len();
                    let old = live[index];
                    let to = if keyed && live.iter().any(|row| row.0 == to) { old.0 } else { to };
                    let new = (to, a, if touch_b { number } else { old.2 });
                    live[index] = new;
                    let sent = if touch_b || !keyed { full(new) } else {
                        row(&[Value::Text(to.to_string().as_bytes()), Value::Text(a.to_string().as_bytes()), Value::Unchanged])
                    };
                    let says_old = !keyed || old.0 != to;
                    Some(RowChangeKind::Update { old: says_old.then(|| before(old)), new: sent })
                }
                Step::Delete(which) if !live.is_empty() => {
                    let old = live.swap_remove(which as usize % live.len());
                    Some(RowChangeKind::Delete(before(old)))
                }
                _ => None,
            }
        };
        let bad = |change: &RowChange| {
            let is_bad = change.row().values().nth(1) == Some(Value::Text(b"2"));
            is_bad.then(|| Reason::Follows(Position::default()))
        };
        let execute = |model: &mut Model, run: Vec<RowChange>| {
            if keyed {
                return model.execute(plan_keyed(&schema, run).unwrap(), true);
            }
            let counts: Vec<_> = whole_row_probes(&run).into_iter().map(|row| {
                let count = model.versions.iter().filter(|v| v.3.is_none() && v.0 == row).count() as u64;
                (row, count)
            }).collect();
            model.execute(plan_whole_rows(&schema, run, &counts).unwrap(), false);
        };
        let (mut direct, mut aside, mut live, mut run) = (Model::default(), Model::default(), Vec::new(), Vec::new());
        let (mut holds, mut held, mut all) = (Holds::default(), Vec::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            let number = number as u64 + 1;
            if matches!(step, Step::Cut) {
                let (go_on, set_aside) = part(&schema, std::mem::take(&mut run), &mut holds, bad);
                execute(&mut aside, go_on);
                held.extend(set_aside);
            } else if let Some(kind) = kinds(step, &mut live, number) {
                run.push(RowChange { at: at(number), kind });
                all.extend(run.last().cloned());
            }
        }
        let (go_on, set_aside) = part(&schema, run, &mut holds, bad);
        execute(&mut aside, go_on);
        held.extend(set_aside);
        execute(&mut aside, held.into_iter().map(|held| held.change).collect());
        execute(&mut direct, all);
        prop_assert_eq!(aside.sorted(), direct.sorted());
    }
}
