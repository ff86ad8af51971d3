//! What roles see of a DuckDB warehouse, and what can't be got out of it in their name.

use std::sync::{
    atomic::{AtomicU64, Ordering},
    Arc,
};

use millstream_core::{
    build::BuildWarehouse,
    warehouse::{Alteration, AsOf, RowGroup, TableState, Warehouse, WarehouseReader},
    ColumnType, Grants, Lsn, Mask, Query, Restriction, Restrictions, Role, TableName, Trust,
};
use millstream_warehouse::{check_restriction, DuckDb, DuckDbOptions, ModelView};

use crate::conformance::fixture::*;

/// What no role but the owner may ever see.
const HIDDEN: [&str; 4] = ["secret", "buried", "once", "4711"];

fn restriction(role: &str, rows: Option<&str>, masks: &[(&str, Mask)]) -> Restriction {
    Restriction {
        table: TableName::new("Shop", "Items"),
        role: role.into(),
        rows: rows.map(str::to_owned),
        masks: masks.iter().map(|(column, mask)| ((*column).to_owned(), *mask)).collect(),
    }
}

fn restrictions() -> Restrictions {
    Restrictions {
        roles: vec!["clerk".into(), "blind".into(), "reader".into()],
        all: vec![
            restriction("clerk", Some("name <> 'secret' AND id < 4000 -- no more"), &[]),
            restriction("blind", None, &[("NAME", Mask::Hash), ("id", Mask::Null)]),
        ],
        mask_key: "the key".into(),
    }
}

fn role(name: &str) -> Role {
    Role { name: name.into(), tables: Grants::new(["shop.*", "main.*"]), fingerprint: 0, restricted: true }
}

/// Items 1 `open`, 2 `secret`, 3 `shown` (which was `once` before), 4711 `buried`; `main.names` is a model.
fn warehouse(directory: &std::path::Path) -> (DuckDb, TableState) {
    let mut warehouse = DuckDb::open(&directory.join("w.duckdb"), &DuckDbOptions::default()).unwrap();
    warehouse.restrict(restrictions()).unwrap();
    let state = items();
    create(&mut warehouse, &state);
    let rows = open(&[
        ((1, Some("open")), "SNAPSHOT", 10, 0),
        ((2, Some("secret")), "SNAPSHOT", 10, 0),
        ((4711, Some("buried")), "SNAPSHOT", 10, 0),
    ]);
    write(&mut warehouse, &state.layout, RowGroup { open: Some(rows), ..RowGroup::default() });
    let was = closed(&[((3, Some("secret")), "INSERT", (12, 0), (14, 0))]);
    let is = open(&[((3, Some("shown")), "UPDATE", 14, 0)]);
    let rows = RowGroup { open: Some(is), closed: Some(was), ..RowGroup::default() };
    write(&mut warehouse, &state.layout, rows);
    let model =
        ModelView { name: TableName::new("main", "names"), select: "SELECT id, name FROM shop.items".into() };
    assert!(warehouse.handle().keep_models(&[model]).unwrap().is_empty());
    (warehouse, state)
}

fn ask(reader: &mut dyn WarehouseReader, sql: &str, role: Option<&Role>) -> Result<Vec<String>, String> {
    ask_as_of(reader, sql, role, None)
}

fn ask_as_of(
    reader: &mut dyn WarehouseReader,
    sql: &str,
    role: Option<&Role>,
    as_of: Option<AsOf>,
) -> Result<Vec<String>, String> {
    let query = Query { role, as_of, trust: Trust::Guest, ..Query::new(sql) };
    reader
        .ask(&query)
        .map(|result| printed(&result))
        .map_err(|error| format!("{} {error} {}", error.code(), error.detail().unwrap_or_default()))
}

#[test]
fn a_role_sees_its_rows_and_masked_values_by_every_way() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, _) = warehouse(directory.path());
    let mut reader = warehouse.reader().unwrap();
    let (clerk, blind, free) = (role("clerk"), role("blind"), role("reader"));
    let names = "SELECT name FROM shop.items ORDER BY name";
    let mut ask = |sql: &str, role: Option<&Role>| ask(reader.as_mut(), sql, role);
    // On one connection, one behind another, with statements that are kept.
    for _ in 0..3 {
        assert_eq!(ask(names, None).unwrap(), ["buried", "open", "secret", "shown"]);
        assert_eq!(ask(names, Some(&clerk)).unwrap(), ["open", "shown"]);
        assert_eq!(ask(names, Some(&free)).unwrap(), ["buried", "open", "secret", "shown"]);
        let hashed = ask(names, Some(&blind)).unwrap();
        assert!(hashed.len() == 4 && hashed.iter().all(|name| name.len() == 64), "{hashed:?}");
    }
    assert_eq!(ask("SELECT count(*) FROM main.names", Some(&clerk)).unwrap(), ["2"]);
    assert_eq!(ask("SELECT count(id), count(*) FROM main.names", Some(&blind)).unwrap(), ["0|4"]);
    assert_eq!(ask("SELECT count(*) FROM shop.items", Some(&role("unheard of"))).unwrap(), ["0"]);
    let hash = "SELECT count(*) FROM shop.items WHERE name = sha256('the key' || 'secret')";
    assert_eq!(ask(hash, Some(&blind)).unwrap(), ["1"], "equal values stay equal");
    let guessed = "SELECT count(*) FROM shop.items WHERE name IN (sha256('secret'), md5('secret'), 'secret')";
    assert_eq!(ask(guessed, Some(&blind)).unwrap(), ["0"], "nobody tries values out without the key");
    // What was there before, by each way to it.
    for sql in
        ["SELECT name FROM shop.items_history WHERE id = 3", "SELECT name FROM shop.items_as_of('0/D')"]
    {
        assert!(ask(sql, None).unwrap().contains(&"secret".to_owned()), "{sql}");
        assert!(!ask(sql, Some(&clerk)).unwrap().contains(&"secret".to_owned()), "{sql}");
        assert!(ask(sql, Some(&blind)).unwrap().iter().all(|name| name.len() == 64), "{sql}");
    }
}

#[test]
fn no_statement_of_a_role_gets_at_what_it_may_not_see() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, _) = warehouse(directory.path());
    let mut reader = warehouse.reader().unwrap();
    // What is moved below the role's condition sees no value of a hidden row either.
    let moved = "EXPLAIN SELECT name FROM shop.items WHERE id = 5";
    let clerk = role("clerk");
    let plan = printed(&reader.ask(&Query { role: Some(&clerk), ..Query::new(moved) }).unwrap()).join("\n");
    assert!(plan.contains("(CASE"), "{plan}");
    for relation in ["shop.items", "main.names", "shop.items_history", "shop.items_as_of('0/D')"] {
        for template in [
            "SELECT * FROM {}",
            "SELECT max(name), min(name), string_agg(name, ',' ORDER BY name), list(name) FROM {}",
            "SELECT name, count(*) FROM {} GROUP BY ALL HAVING count(*) > 0 ORDER BY name DESC",
            "SELECT first(name ORDER BY id DESC), arg_max(name, id), histogram(name), approx_top_k(name, 9) FROM {}",
            "SELECT a.name, b.name FROM {} AS a JOIN {} AS b ON a.name >= b.name",
            "SELECT a.name FROM (VALUES ('secret'), ('buried'), ('once')) AS v(name) JOIN {} AS a ON a.name = v.name",
            "SELECT CASE WHEN name = 'secret' THEN error('it is ' || name) END FROM {}",
            "SELECT * FROM {} WHERE CASE WHEN name IN ('secret', 'buried') THEN error('it is ' || name) ELSE true END",
            "SELECT CAST(name AS INTEGER) FROM {} WHERE name LIKE 's%c%' OR name = 'buried'",
            "SELECT * FROM {} WHERE CAST(name AS DATE) > DATE '2020-01-01' AND name IN ('secret', 'buried')",
            "SELECT CAST(CASE WHEN id = 4711 OR id = 2 THEN name ELSE '1' END AS INTEGER) FROM {}",
            "SELECT x FROM {} AS t, LATERAL (SELECT t.name AS x)",
            "SELECT t FROM {} AS t",
            "SELECT to_json(t) FROM {} AS t",
            "SELECT struct_pack(x := name), [name], map([name], [id]) FROM {}",
            "SELECT COLUMNS(*) FROM {}",
            "SELECT lag(name) OVER (ORDER BY id), max(name) OVER () FROM {}",
            "SELECT name FROM {} UNION SELECT name FROM {} ORDER BY 1",
            "SELECT name FROM {} EXCEPT SELECT 'open'",
            "WITH RECURSIVE x AS (SELECT name FROM {} UNION SELECT name FROM x) FROM x",
            "SELECT * FROM {} ORDER BY name DESC LIMIT 1 OFFSET 1",
            "SELECT * FROM {} USING SAMPLE 100%",
            "SELECT (SELECT max(name) FROM {} WHERE name > x) FROM (VALUES ('a'), ('r')) AS v(x)",
            "FROM {} SELECT DISTINCT ON (name) name",
            "SELECT json_group_array(name) FROM {}",
        ] {
            let sql = template.replace("{}", relation);
            let owner = Query { trust: Trust::Guest, ..Query::new(&sql) };
            let _ = reader.ask(&owner);
            for name in ["clerk", "blind", "unheard of"] {
                let role = role(name);
                // What fails leaves its reader unusable within a transaction only.
                let answer = ask(reader.as_mut(), &sql, Some(&role));
                // A table function of a time is not for every place, so only what it gives out is looked at.
                let text = format!("{answer:?}");
                // What the role writes itself is shown to it.
                let own = HIDDEN.iter().filter(|word| sql.contains(**word));
                let own: Vec<&&str> = own.collect();
                for word in HIDDEN.iter().filter(|word| !own.contains(word)) {
                    assert!(!text.contains(word), "{name}: {sql}: {text}");
                }
                if template.contains("'it is '") {
                    assert!(!text.contains("it is "), "{name}: {sql}: {text}");
                }
                if let Ok(rows) = &answer {
                    let copied: Vec<_> = rows.iter().filter(|row| own.iter().any(|w| row.contains(**w))).collect();
                    assert!(copied.is_empty(), "{name}: {sql}: {text}");
                }
            }
        }
    }
}

#[test]
fn whoever_has_no_role_pays_nothing_for_those_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, _) = warehouse(directory.path());
    let plan = |warehouse: &DuckDb, sql: &str| {
        let mut reader = warehouse.reader().unwrap();
        let plan = printed(&reader.ask(&Query::new(&format!("EXPLAIN {sql}"))).unwrap()).join("\n");
        assert!(!plan.contains("CASE") && !plan.contains("millstream_role"), "{plan}");
        // What is read and by which conditions. Where no column is read at all, a constant takes its place above.
        plan[plan.find("SEQ_SCAN").unwrap()..].to_owned()
    };
    let shapes =
        ["SELECT * FROM shop.items WHERE id = 3", "SELECT count(*) FROM shop.items WHERE name LIKE 'a%'"];
    let with: Vec<_> = shapes.map(|sql| plan(&warehouse, sql)).to_vec();
    drop(warehouse);
    let mut without = DuckDb::open(&directory.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
    without.restrict(Restrictions::default()).unwrap();
    for (sql, with) in shapes.iter().zip(with) {
        assert_eq!(plan(&without, sql), with, "{sql}");
    }
    // What was restricted before is no longer.
    let clerk = role("clerk");
    let rows = ask(without.reader().unwrap().as_mut(), "SELECT count(*) FROM shop.items", Some(&clerk));
    assert_eq!(rows.unwrap(), ["4"]);
}

#[test]
fn a_restriction_stays_with_its_table_whatever_becomes_of_names() {
    let directory = tempfile::tempdir().unwrap();
    let (mut warehouse, mut state) = warehouse(directory.path());
    let (clerk, blind) = (role("clerk"), role("blind"));
    let count = |warehouse: &DuckDb, table: &str, role: &Role| {
        let sql = format!("SELECT count(*) FROM {table}");
        ask(warehouse.reader().unwrap().as_mut(), &sql, Some(role))
    };
    // The table is called otherwise.
    state.layout.target = TableName::new("shop", "wares");
    let mut transaction = warehouse.begin().unwrap();
    transaction.put_state(&state).unwrap();
    transaction.commit().unwrap();
    assert_eq!(count(&warehouse, "shop.wares", &clerk).unwrap(), ["2"]);
    drop(warehouse);
    let mut warehouse = DuckDb::open(&directory.path().join("w.duckdb"), &DuckDbOptions::default()).unwrap();
    warehouse.restrict(restrictions()).unwrap();
    assert_eq!(count(&warehouse, "shop.wares", &clerk).unwrap(), ["2"]);
    // A column is: whoever it was masked for, or whose rows follow from it, reads nothing.
    state.layout.columns[1].name = "label".into();
    let mut transaction = warehouse.begin().unwrap();
    transaction.alter_table(&state, &[]).unwrap();
    transaction.commit().unwrap();
    for role in [&clerk, &blind] {
        for table in ["shop.wares", "shop.wares_history"] {
            let refused = count(&warehouse, table, role).unwrap_err();
            assert!(refused.starts_with("MS5308"), "{refused}");
            assert!(!HIDDEN.iter().any(|word| refused.contains(word)), "{refused}");
        }
    }
    assert_eq!(count(&warehouse, "shop.wares", &role("reader")).unwrap(), ["4"]);
    // So is a masked column that is no text any more.
    state.layout.columns[1].name = "name".into();
    let mut transaction = warehouse.begin().unwrap();
    let to = ColumnType::Blob;
    state.layout.columns[1].column_type = to.clone();
    transaction.alter_table(&state, &[Alteration::Retype { attnum: 2, to }]).unwrap();
    transaction.commit().unwrap();
    assert!(count(&warehouse, "shop.wares", &blind).unwrap_err().starts_with("MS5308"));
    assert_eq!(count(&warehouse, "shop.wares", &clerk).unwrap(), ["2"]);
}

#[test]
fn reading_as_of_a_time_takes_the_right_to_the_history_beneath_models_too() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, _) = warehouse(directory.path());
    let mut reader = warehouse.reader().unwrap();
    let then = Some(AsOf::Lsn(Lsn(13)));
    let with = role("reader");
    let without = Role { tables: Grants::new(["shop.*", "main.*", "!shop.items_history"]), ..role("reader") };
    for sql in ["SELECT count(*) FROM shop.items", "SELECT count(*) FROM main.names"] {
        assert_eq!(ask_as_of(reader.as_mut(), sql, Some(&with), then).unwrap(), ["4"], "{sql}");
        let refused = ask_as_of(reader.as_mut(), sql, Some(&without), then).unwrap_err();
        assert!(refused.starts_with("MS5309"), "{sql}: {refused}");
        assert_eq!(ask(reader.as_mut(), sql, Some(&without)).unwrap(), ["4"], "{sql}");
    }
    // Before the history is an error for a role, too, and no empty answer.
    let before = Some(AsOf::Lsn(Lsn(3)));
    for role in [role("clerk"), role("blind"), with] {
        let early = ask_as_of(reader.as_mut(), "SELECT count(*) FROM shop.items", Some(&role), before);
        assert!(early.unwrap_err().starts_with("MS5303"), "{}", role.name);
    }
}

#[test]
fn a_model_kept_as_a_table_is_for_roles_that_see_less_only_by_its_name_and_never_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, _) = warehouse(directory.path());
    let changes = Arc::new(AtomicU64::new(0));
    let counted = changes.clone();
    let changed = move || {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let mut builder = warehouse.handle().builder(Arc::new(changed)).connect().unwrap();
    builder.run("CREATE TABLE shop.held AS SELECT name FROM shop.items").unwrap();
    builder.run("CREATE VIEW shop.above AS SELECT * FROM shop.held").unwrap();
    assert_eq!(changes.load(Ordering::Relaxed), 2);
    let mut reader = warehouse.reader().unwrap();
    let by_name = |name: &str| Role { tables: Grants::new(["shop.*", "shop.held"]), ..role(name) };
    for sql in ["SELECT count(*) FROM shop.held", "SELECT count(*) FROM shop.above"] {
        let free = Role { restricted: false, ..role("reader") };
        assert_eq!(ask(reader.as_mut(), sql, Some(&free)).unwrap(), ["4"], "{sql}");
        assert_eq!(ask(reader.as_mut(), sql, Some(&by_name("blind"))).unwrap(), ["4"], "{sql}");
        for trust in [Trust::Guest, Trust::Owner] {
            let query = Query { trust, role: Some(&role("clerk")), ..Query::new(sql) };
            assert!(reader.ask(&query).is_err(), "{sql}");
        }
        let then = Some(AsOf::Lsn(Lsn(13)));
        for role in [None, Some(&free)] {
            let refused = ask_as_of(reader.as_mut(), sql, role, then).unwrap_err();
            assert!(refused.starts_with("MS5311"), "{sql}: {refused}");
        }
    }
    assert_eq!(ask(reader.as_mut(), "SELECT count(*) FROM main.names", Some(&role("clerk"))).unwrap(), ["2"]);
    // What the same statement gave is nothing to go by once the table holds something else.
    let sql = "SELECT count(*) FROM shop.held WHERE name > 'x'";
    let free = Role { restricted: false, ..role("reader") };
    assert_eq!(ask(reader.as_mut(), sql, Some(&free)).unwrap(), ["0"]);
    builder.run("BEGIN; INSERT INTO shop.held VALUES ('z'); COMMIT; SELECT 1").unwrap();
    assert_eq!(ask(reader.as_mut(), sql, Some(&free)).unwrap(), ["1"]);
    builder.begin().unwrap();
    builder.run("INSERT INTO shop.held VALUES ('y')").unwrap();
    builder.commit().unwrap();
    assert_eq!(ask(reader.as_mut(), sql, Some(&free)).unwrap(), ["2"]);
}

#[test]
fn a_view_is_told_to_be_broken_until_what_it_reads_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut warehouse, state) = warehouse(directory.path());
    let handle = warehouse.handle();
    let mut builder = handle.builder(Arc::new(|| ())).connect().unwrap();
    builder
        .run("CREATE TABLE main.held (x INTEGER); CREATE VIEW main.above AS SELECT x FROM main.held")
        .unwrap();
    let broken = || {
        let broken = handle.broken_models().unwrap();
        broken.into_iter().map(|broken| broken.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(broken(), [""; 0]);
    builder.run("DROP TABLE main.held").unwrap();
    assert_eq!((broken(), broken()), (vec!["main.above".to_owned()], vec!["main.above".to_owned()]));
    builder.run("CREATE TABLE main.held AS SELECT 1 AS x").unwrap();
    assert_eq!(broken(), [""; 0]);
    // A column of a replicated table goes, which nobody built.
    let mut without = state;
    without.layout.columns[1].live = false;
    let mut transaction = warehouse.begin().unwrap();
    transaction.alter_table(&without, &[]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(broken(), ["main.names"]);
}

#[test]
fn a_restriction_that_does_not_go_with_its_table_is_told_before() {
    let layout = items().layout;
    let check = |rows: Option<&str>, masks: &[(&str, Mask)]| {
        check_restriction(&layout, &restriction("clerk", rows, masks))
    };
    check(Some("name <> 'x' OR id IS NULL -- or so"), &[("name", Mask::Hash), ("id", Mask::Null)]).unwrap();
    for rows in [
        "status = 'OPEN'",
        "name",
        "true, true",
        "true) FROM shop.items WHERE (true",
        "true) OR (true",
        "id IN (SELECT 1)",
        "count(*) > 1",
        "name = $1",
        "name = 'x",
        "random() < 0.5",
        "",
        "true; SELECT (true",
    ] {
        let told = check(Some(rows), &[]);
        if rows == "true) OR (true" {
            // One condition after all, in parentheses of its own.
            told.unwrap();
            continue;
        }
        assert!(told.is_err(), "{rows}");
    }
    for masks in [[("nam", Mask::Null)], [("id", Mask::Hash)]] {
        assert!(check(None, &masks).is_err(), "{masks:?}");
    }
}
