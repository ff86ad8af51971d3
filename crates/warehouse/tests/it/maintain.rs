//! Results that follow changes are those that a reader gives, whatever changes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use millstream_core::{
    warehouse::{Alteration, Progress, RowGroup, TableState, Warehouse, WarehouseReader},
    ColumnType, Lsn, Maintainer, Parameter, Query, TableName,
};
use millstream_warehouse::{DuckDb, DuckDbOptions, DuckMaintainer, ModelView};

use crate::conformance::fixture::*;

/// The statements that are followed, each with parameters that it is asked with.
const FOLLOWED: [(&str, &[&str]); 22] = [
    ("SELECT name, count(*) AS n FROM shop.items GROUP BY name ORDER BY n DESC, name LIMIT 4", &[]),
    ("SELECT count(*), sum(id), count(name), sum(id) FILTER (WHERE name = 'a') FROM shop.items", &[]),
    ("SELECT count(*) FROM items WHERE name IS NULL", &[]),
    ("SELECT upper(name) AS u, count(*) FROM shop.items AS i WHERE id % 3 <> 0 GROUP BY u HAVING count(*) > 1 ORDER BY ALL", &[]),
    ("SELECT i.name, sum(t.id), count(*) FROM shop.items i JOIN shop.tags AS t ON t.name = i.name GROUP BY ALL ORDER BY 1", &[]),
    ("SELECT name, count(*) AS n FROM shop.items JOIN shop.tags USING (name) GROUP BY 1 ORDER BY name", &[]),
    ("SELECT name, count(*) FROM shop.items WHERE $p = 'all' OR name = $p GROUP BY name ORDER BY name", &["all", "a", "z"]),
    ("SELECT id % 4 AS rest, count(*), sum(id) FROM shop.items WHERE name = lower($p) GROUP BY 1 ORDER BY 1", &["A", "b"]),
    ("SELECT count(*), sum(id) FROM shop.items WHERE name = $p", &["a", "z"]),
    ("SELECT i.id, t.name, count(*) FROM shop.items i, shop.notes t WHERE i.id = t.id AND t.name = $p GROUP BY ALL ORDER BY 3 DESC, 1 LIMIT 5", &["a", "c"]),
    ("SELECT a.name, b.name, count(*) FROM shop.items a JOIN shop.items b ON a.id = b.id + 1 GROUP BY ALL ORDER BY ALL", &[]),
    ("SELECT name, n FROM shop.by_name ORDER BY n, name", &[]),
    ("SELECT max(n), avg(n) FROM (SELECT name, count(*) AS n FROM shop.items GROUP BY name) AS t WHERE n > 1", &[]),
    ("SELECT DISTINCT count(*) AS n FROM shop.notes GROUP BY name ORDER BY n", &[]),
    (
        "SELECT t.name AS name, sum(i.id) AS s, count(*) FILTER (WHERE i.id > 20) AS n FROM shop.items i JOIN shop.tags t ON i.name = t.name \
         WHERE t.id % 2 = 0 AND i.id > 3 AND ($p = 'all' OR t.name = $p) GROUP BY t.name ORDER BY s DESC NULLS FIRST, t.name LIMIT 3",
        &["all", "a", "z"],
    ),
    ("SELECT id % 5 AS rest, sum(id) AS s FROM shop.items WHERE name <> $p AND id > 3 GROUP BY rest ORDER BY s DESC, 1 LIMIT 3 OFFSET 1", &["a", "bb"]),
    (
        "SELECT * FROM (SELECT i.name AS first, n.name AS last, count(*) AS n, count(t.name) AS m FROM shop.items i, shop.tags t, shop.notes n \
         WHERE i.id = t.id AND n.id = t.id AND i.id = n.id AND n.name IS NOT NULL GROUP BY ALL) AS x ORDER BY ALL",
        &[],
    ),
    ("SELECT sum(a.id), count(*) AS n FROM shop.notes a JOIN shop.notes b ON b.name = a.name WHERE b.id = 7", &[]),
    ("SELECT n, name FROM (SELECT id > 30 AS n, name, count(*) AS c FROM shop.tags GROUP BY ALL) ORDER BY name NULLS FIRST, n DESC", &[]),
    ("SELECT name, sum(id) FILTER (WHERE id > 30) AS s FROM shop.items GROUP BY name ORDER BY s NULLS FIRST, name LIMIT 2", &[]),
    ("SELECT name, sum(id) FILTER (WHERE id > 30) AS s FROM shop.items GROUP BY name ORDER BY s DESC, name LIMIT 2", &[]),
    ("SELECT CASE WHEN name IN ('a', 'b') THEN 'few' END AS kind, count(*)::INTEGER * 2 AS n FROM shop.items GROUP BY kind ORDER BY kind", &[]),
];

/// Those that can't be.
const OTHERS: [&str; 17] = [
    "SELECT i.name, count(*) FROM shop.items i LEFT JOIN shop.tags t ON t.id = i.id GROUP BY i.name",
    "SELECT min(id) FROM shop.items",
    "SELECT name, avg(id) FROM shop.items GROUP BY name",
    "SELECT count(DISTINCT name) FROM shop.items",
    "SELECT sum(id::DOUBLE) FROM shop.items",
    "SELECT count(*) FROM shop.items WHERE id IN (SELECT id FROM shop.tags)",
    "SELECT name, count(*), row_number() OVER (ORDER BY name) FROM shop.items GROUP BY name",
    "SELECT count(*) FROM shop.items WHERE now() > '2020-01-01'",
    "SELECT count(*) FROM shop.items WHERE random() > 0.5",
    "SELECT count(*) FROM shop.items_history",
    "SELECT count(*) FROM shop.items_as_of('0/10')",
    "SELECT * FROM shop.items",
    "SELECT name, count(*) FROM shop.items GROUP BY ROLLUP (name)",
    "SELECT id::DOUBLE, count(*) FROM shop.items GROUP BY 1",
    "SELECT sum(id + $p) FROM shop.items",
    "SELECT count(*) FROM shop.items WHERE id = 1 UNION ALL SELECT count(*) FROM shop.tags",
    "SELECT string_agg(name, ',') FROM shop.items",
];

const NAMES: [Option<&str>; 6] = [Some("a"), Some("b"), Some("c"), Some(""), Some("e"), None];

struct Shop {
    warehouse: DuckDb,
    maintainer: DuckMaintainer,
    tables: [TableState; 3],
    rows: [BTreeMap<i32, Option<&'static str>>; 3],
    lsn: u64,
    chance: u64,
    _directory: tempfile::TempDir,
}

impl Shop {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut warehouse =
            DuckDb::open(&directory.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
        let named = |id, name: &str, key: Option<Vec<i16>>| {
            let columns = vec![column(1, "id", ColumnType::Integer), column(2, "name", ColumnType::Text)];
            table(id, name, columns, key)
        };
        let tables =
            [named(1, "items", Some(vec![1])), named(2, "tags", Some(vec![1])), named(3, "notes", None)];
        for table in &tables {
            create(&mut warehouse, table);
        }
        let model = ModelView {
            name: TableName::new("shop", "by_name"),
            select: "SELECT items.name, count(*) AS n FROM shop.items GROUP BY items.name".into(),
        };
        assert!(warehouse.handle().keep_models(&[model]).unwrap().is_empty());
        let maintainer = warehouse.handle().maintainer().unwrap();
        let rows = Default::default();
        let mut shop =
            Shop { warehouse, maintainer, tables, rows, lsn: 10, chance: seed, _directory: directory };
        shop.change(40);
        shop
    }

    fn below(&mut self, n: u64) -> u64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % n
    }

    /// So many changes of rows of all tables in one transaction.
    fn change(&mut self, changes: usize) {
        self.lsn += 1;
        let lsn = self.lsn;
        let mut groups = Vec::new();
        for at in 0..self.tables.len() {
            let before = self.rows[at].clone();
            for _ in 0..changes {
                let id = self.below(60) as i32;
                let name = NAMES[self.below(NAMES.len() as u64) as usize];
                match (self.below(3), self.rows[at].contains_key(&id)) {
                    (0, true) => drop(self.rows[at].remove(&id)),
                    _ => drop(self.rows[at].insert(id, name)),
                }
            }
            let after = &self.rows[at];
            let gone: Vec<_> = before
                .iter()
                .filter(|(id, name)| after.get(id) != Some(name))
                .map(|(id, name)| (*id, *name))
                .collect();
            let come: Vec<_> = after.iter().filter(|(id, name)| before.get(id) != Some(name)).collect();
            let deleted = |id: &i32| !after.contains_key(id);
            let close = match self.tables[at].layout.key {
                Some(_) => close(&gone.iter().map(|(id, _)| (*id, lsn, 0, deleted(id))).collect::<Vec<_>>()),
                None => {
                    close_rows(&gone.iter().map(|row| (*row, lsn, 0, deleted(&row.0))).collect::<Vec<_>>())
                }
            };
            let open =
                open(&come.iter().map(|(id, name)| ((**id, **name), "UPDATE", lsn, 1)).collect::<Vec<_>>());
            // What comes and goes within one transaction is in history alone.
            let closed = closed(&[((99, Some("flash")), "INSERT", (lsn, 2), (lsn, 3))]);
            let group = RowGroup {
                close: (!gone.is_empty()).then_some(close),
                closed: Some(closed),
                open: (!come.is_empty()).then_some(open),
            };
            groups.push(group);
        }
        self.commit(|transaction, tables| {
            for (table, group) in tables.iter().zip(&groups) {
                transaction.write(&table.layout, group).unwrap();
            }
        });
    }

    fn commit(
        &mut self,
        does: impl FnOnce(&mut dyn millstream_core::warehouse::WarehouseTransaction, &[TableState]),
    ) {
        let progress =
            Progress { source: "s".into(), applied_lsn: Lsn(self.lsn), applied_time: time(self.lsn) };
        let mut transaction = self.warehouse.begin().unwrap();
        does(transaction.as_mut(), &self.tables);
        transaction.set_progress(&progress).unwrap();
        transaction.commit().unwrap();
    }

    /// The maintained answer; `None`: it is not followed. Always the one that a reader gives.
    fn ask(&mut self, sql: &str, parameter: Option<&str>) -> Option<Vec<String>> {
        let parameters: Vec<_> =
            parameter.map(|text| ("p".to_owned(), Parameter::Text(text.to_owned()))).into_iter().collect();
        let query = Query { parameters: &parameters, ..Query::new(sql) };
        let now = Instant::now();
        let answer = self.maintainer.answer(&query, now).unwrap()?;
        assert_eq!(answer.position, Lsn(self.lsn), "{sql}");
        assert!(answer.at >= now);
        let read = self.warehouse.duck_reader().unwrap().ask(&query).unwrap();
        assert_eq!(answer.result.columns, read.columns, "{sql}");
        assert_eq!(printed(&answer.result), printed(&read), "{sql} with {parameter:?} at {}", self.lsn);
        Some(printed(&answer.result))
    }

    fn all_follow(&mut self) {
        for (sql, parameters) in FOLLOWED {
            let parameters = if parameters.is_empty() {
                &[None][..]
            } else {
                &parameters.iter().copied().map(Some).collect::<Vec<_>>()
            };
            for parameter in parameters {
                assert!(self.ask(sql, *parameter).is_some(), "{sql}");
            }
        }
    }
}

#[test]
fn kept_results_are_what_a_reader_gives_after_every_change() {
    for seed in [3] {
        let mut shop = Shop::new(seed);
        for (sql, _) in FOLLOWED {
            assert!(shop.maintainer.follow(sql).unwrap(), "{sql}");
        }
        // Some in tables: they have USING, HAVING, a join by an expression, something above their groups.
        assert_eq!(shop.maintainer.kept(), (6, 16));
        for round in 0..25 {
            shop.all_follow();
            let changes = [0, 1, 3, 30][round % 4];
            shop.change(changes);
            if round % 5 == 0 {
                // Brought forward by several transactions at once.
                shop.change(2);
            }
        }
        // Everything goes, and comes again.
        shop.lsn += 1;
        let at = moment(shop.lsn, 0);
        shop.commit(|transaction, tables| {
            for table in tables {
                transaction.truncate(&table.layout, at).unwrap();
            }
        });
        shop.rows = Default::default();
        shop.all_follow();
        shop.change(50);
        shop.all_follow();
    }
}

#[test]
fn what_can_not_follow_is_refused() {
    let mut shop = Shop::new(5);
    for sql in OTHERS {
        assert!(!shop.maintainer.follow(sql).unwrap(), "{sql}");
        assert!(shop.maintainer.answer(&Query::new(sql), Instant::now()).unwrap().is_none());
    }
}

#[test]
fn nothing_is_followed_before_the_first_transaction_behind_the_first_copy() {
    let mut shop = Shop::new(13);
    let sql = FOLLOWED[0].0;
    // The copies stand at 10.
    let lsn = std::mem::replace(&mut shop.lsn, 9);
    shop.commit(|_, _| {});
    assert!(!shop.maintainer.follow(sql).unwrap(), "rows of the copy lie behind the position");
    shop.lsn = lsn;
    shop.commit(|_, _| {});
    assert!(shop.maintainer.follow(sql).unwrap());
    shop.change(3);
    assert!(shop.ask(sql, None).is_some());
}

#[test]
fn an_answer_may_be_as_old_as_the_one_who_asks_allows() {
    let mut shop = Shop::new(7);
    let sql = FOLLOWED[0].0;
    let before = Instant::now();
    assert!(shop.maintainer.follow(sql).unwrap());
    let kept = shop.lsn;
    shop.change(5);
    let old = shop.maintainer.answer(&Query::new(sql), before).unwrap().unwrap();
    assert_eq!(old.position, Lsn(kept), "nobody wanted a newer one");
    let new = shop.maintainer.answer(&Query::new(sql), old.at + Duration::from_nanos(1)).unwrap().unwrap();
    assert_eq!(new.position, Lsn(shop.lsn));
}

#[test]
fn what_was_asked_for_is_brought_forward_by_itself_where_it_is_kept_without_duckdb() {
    let mut shop = Shop::new(11);
    let (held, in_table) = (FOLLOWED[0].0, "SELECT name, count(*) + 1 AS n FROM shop.items GROUP BY name");
    let (before, kept) = (Instant::now(), shop.lsn);
    for sql in [held, in_table] {
        assert!(shop.maintainer.follow(sql).unwrap());
    }
    assert_eq!(shop.maintainer.kept(), (1, 1));
    for renewed in [true, false] {
        shop.change(5);
        if renewed {
            shop.maintainer.renew().unwrap();
        }
        let last = shop.lsn - u64::from(!renewed);
        for (sql, position) in [(held, last), (in_table, kept)] {
            let answer = shop.maintainer.answer(&Query::new(sql), before).unwrap().unwrap();
            assert_eq!((answer.position, answer.renews), (Lsn(position), sql == held), "{sql}");
        }
    }
    assert!(shop.ask(held, None).is_some() && shop.ask(in_table, None).is_some());
}

#[test]
fn what_happens_behind_the_progress_makes_everything_forgotten() {
    let mut shop = Shop::new(9);
    let sql = FOLLOWED[4].0;
    type Break = (&'static str, fn(&mut Shop));
    let breaks: [Break; 4] = [
        ("a row that opens where the warehouse was already", |shop| {
            let late = shop.lsn - 1;
            shop.lsn += 1;
            let rows = open(&[((77, Some("a")), "INSERT", late, 9)]);
            shop.commit(|transaction, tables| {
                let rows = RowGroup { open: Some(rows), ..RowGroup::default() };
                transaction.write(&tables[0].layout, &rows).unwrap();
            });
        }),
        ("a table that is read again", |shop| {
            let at = moment(shop.lsn, 5);
            shop.commit(|transaction, tables| {
                transaction
                    .stage(&tables[1].layout, &items_batch(&[(1, Some("a")), (2, Some("b"))]))
                    .unwrap();
                transaction.replace_with_staged(&tables[1].layout, at).unwrap();
            });
        }),
        ("another column", |shop| {
            let mut state = shop.tables[0].clone();
            let column = column(3, "more", ColumnType::Text);
            state.layout.columns.push(column.clone());
            shop.commit(|transaction, _| {
                let add = Alteration::Add { column, existing: Some("x".into()) };
                transaction.alter_table(&state, &[add]).unwrap();
            });
        }),
        ("a view that means something else", |shop| {
            let model = ModelView {
                name: TableName::new("shop", "by_name"),
                select: "SELECT 'x' AS name, 1 AS n".into(),
            };
            assert!(shop.warehouse.handle().keep_models(&[model]).unwrap().is_empty());
        }),
    ];
    for (what, happens) in breaks {
        assert!(shop.maintainer.follow(sql).unwrap());
        assert!(shop.ask(sql, None).is_some(), "before {what}");
        happens(&mut shop);
        assert_eq!(shop.ask(sql, None), None, "{what}");
        assert!(shop.maintainer.follow(sql).unwrap(), "after {what}");
        assert!(shop.ask(sql, None).is_some());
    }
    // What the view means now reads no table.
    assert!(!shop.maintainer.follow("SELECT name, n FROM shop.by_name ORDER BY n, name").unwrap());
}
