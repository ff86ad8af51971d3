//! The queries of `queries.txt`: which of their edges are found, and that none is told that isn't one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// How many of the edges must be found.
const FOUND_MIN_PERCENT: usize = 95;

const QUERIES: &str = include_str!("queries.txt");

struct Shop(Vec<Known>);

impl Relations for Shop {
    fn relation(&self, path: &[String]) -> Option<Known> {
        // Whatever the schema, and as either dialect would compare names.
        let name = path.last()?;
        self.0.iter().find(|known| *known.id == **name || known.id.to_lowercase() == *name).cloned()
    }
}

struct Case {
    title: String,
    dialect: Dialect,
    sql: String,
    edges: BTreeSet<String>,
    /// Names of columns, in order; a `?` behind those that can't be known.
    columns: Vec<String>,
}

/// `orders(id, status)`, or `events ?`.
fn relation(line: &str) -> Known {
    match line.split_once('(') {
        Some((id, columns)) => Known {
            id: id.into(),
            columns: columns.trim_end_matches(')').split(", ").map(str::to_owned).collect(),
            complete: true,
        },
        None => Known { id: line.trim_end_matches(" ?").into(), columns: Vec::new(), complete: false },
    }
}

/// The names that are listed; within parentheses commas are no ends.
fn listed(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match (c, names.last_mut()) {
            (',', _) if depth == 0 => names.push(String::new()),
            (c, Some(name)) => name.push(c),
            _ => {}
        }
    }
    names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn case(text: &str) -> Case {
    let (title, body) = text.split_once('\n').unwrap();
    let (dialect, title) = match title.strip_prefix("[postgres] ") {
        Some(title) => (Dialect::Postgres, title),
        None => (Dialect::DuckDb, title),
    };
    let is_told = |line: &&str| {
        let name = line.split(" <- ").next().unwrap().split(" ~ ").next().unwrap().trim_end_matches(" ?");
        !line.is_empty() && !name.contains(' ') && !name.ends_with(')')
    };
    let lines: Vec<&str> = body.trim_end().lines().collect();
    let told = lines.iter().rev().take_while(|line| is_told(line)).count();
    let (sql, told) = lines.split_at(lines.len() - told);
    let (mut edges, mut columns) = (BTreeSet::new(), Vec::new());
    for line in told {
        let (rest, by) = line.split_once(" ~ ").unwrap_or((line, ""));
        let (name, from) = rest.split_once(" <- ").unwrap_or((rest, ""));
        edges.extend(listed(from).iter().map(|from| format!("{} <- {from}", name.trim())));
        edges.extend(listed(by).iter().map(|by| format!("{} ~ {by}", name.trim())));
        if name != "rows" {
            columns.push(name.to_owned());
        }
    }
    Case { title: title.to_owned(), dialect, sql: sql.join("\n"), edges, columns }
}

fn cases() -> (Shop, Vec<Case>) {
    let (head, body) = QUERIES.split_once("\n# ").unwrap();
    let (_, relations) = head.split_once("relations:\n").unwrap();
    let shop = Shop(relations.trim().lines().map(relation).collect());
    (shop, body.split("\n# ").map(case).collect())
}

fn edges(lineage: &Lineage) -> BTreeSet<String> {
    let tell = |column: &Column| format!("{}.{}", column.relation, column.name);
    let mut edges: BTreeSet<String> =
        lineage.rows.iter().map(|column| format!("rows ~ {}", tell(column))).collect();
    for column in &lineage.columns {
        edges.extend(column.from.iter().map(|from| format!("{} <- {}", column.name, tell(from))));
        edges.extend(column.by.iter().map(|by| format!("{} ~ {}", column.name, tell(by))));
    }
    edges
}

#[test]
fn nearly_all_edges_are_found_and_none_is_wrong() {
    let (shop, cases) = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let (mut found, mut all) = (0, 0);
    let (mut missed, mut wrong) = (Vec::new(), Vec::new());
    for case in &cases {
        let lineage = analyse(&case.sql, case.dialect, &shop);
        let told = lineage.as_ref().map(edges).unwrap_or_default();
        all += case.edges.len();
        found += case.edges.intersection(&told).count();
        let lost: Vec<&String> = case.edges.difference(&told).collect();
        if !lost.is_empty() {
            missed.push(format!("{}: {lost:?}: {:?}", case.title, lineage.as_ref().err()));
        }
        let extra: Vec<&String> = told.difference(&case.edges).collect();
        if !extra.is_empty() {
            wrong.push(format!("{}: {extra:?}", case.title));
        }
        let Ok(lineage) = lineage else { continue };
        let marked =
            |column: &Output| format!("{}{}", column.name, if column.unknown.is_some() { " ?" } else { "" });
        let columns: Vec<String> = lineage.columns.iter().map(marked).collect();
        if columns != case.columns {
            wrong.push(format!("{}: {columns:?} are not {:?}: {lineage:?}", case.title, case.columns));
        }
    }
    let percent = found * 100 / all;
    println!(
        "{} queries, {found} of {all} edges ({percent}%); not found:\n{}",
        cases.len(),
        missed.join("\n")
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(percent >= FOUND_MIN_PERCENT, "{percent}%:\n{}", missed.join("\n"));
}

#[test]
fn what_is_no_query_is_told_so() {
    let (shop, _) = cases();
    for (sql, expected) in [
        ("", "it is not one statement"),
        ("select 1; select 2", "it is not one statement"),
        ("drop table orders", "it is no query"),
        ("select 1 +", "its syntax is not known"),
        ("select 'open", "its text can't be read"),
        ("from ((((((((((((((((((((((((((((orders))))))))))))))))))))))))))))", "more than 8 parentheses"),
    ] {
        let told = analyse(sql, Dialect::DuckDb, &shop).unwrap_err();
        assert!(told.starts_with(expected), "{sql}: {told}");
    }
}

#[test]
fn long_chains_and_deep_nesting_end() {
    let (shop, _) = cases();
    let sum = format!("select {} as s from orders", vec!["amount"; 90_000].join(" + "));
    assert_eq!(analyse(&sum, Dialect::DuckDb, &shop).unwrap().columns[0].from.len(), 1);
    let union = vec!["select id from orders"; 5_000].join(" union all ");
    assert_eq!(analyse(&union, Dialect::DuckDb, &shop).unwrap().columns[0].from.len(), 1);
    for open in ["(", "[", "not ", "case when ", "f(", "select (", "select * from (", "exists (", "struct(a "]
    {
        let deep = format!("select {}", open.repeat(20_000));
        let _ = analyse(&deep, Dialect::DuckDb, &shop);
        let _ = analyse(&deep, Dialect::Postgres, &shop);
    }
    // Each of these reads the one before twice.
    let mut ctes = vec!["c0 as (select id, amount from orders)".to_owned()];
    for at in 1..200 {
        let before = at - 1;
        ctes.push(format!("c{at} as (select a.id, b.amount + a.amount as amount from c{before} a join c{before} b using (id))"));
    }
    let sql = format!("with {} select * from c199", ctes.join(", "));
    assert_eq!(edges(&analyse(&sql, Dialect::DuckDb, &shop).unwrap()).len(), 3);
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text in ".{0,200}") {
        let (shop, _) = cases();
        let _ = analyse_here(&text, Dialect::DuckDb, &shop);
        let _ = analyse_here(&text, Dialect::Postgres, &shop);
    }

    /// Words of queries in any order come further than letters do.
    #[test]
    fn any_words_have_an_answer(
        case in 0..1000_usize,
        changes in prop::collection::vec((0..200_usize, 0..200_usize, any::<bool>()), 0..6),
    ) {
        let (shop, cases) = cases();
        let case = &cases[case % cases.len()];
        let mut words: Vec<&str> = case.sql.split_inclusive([' ', ',', '(', ')', '.']).collect();
        for (from, to, twice) in changes {
            let (from, to) = (from % words.len(), to % words.len());
            if twice {
                words.insert(to, words[from]);
            } else {
                words.swap(from, to);
            }
        }
        let _ = analyse_here(&words.concat(), case.dialect, &shop);
    }
}
