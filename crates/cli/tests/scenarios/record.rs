//! The warehouse compared with what the witnesses at the source recorded.

use std::collections::BTreeMap;

use millstream_testkit::{compare, Oracle};
use serde_json::Value;

use crate::project::Project;

/// What a comparison with the record came to.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// What differs, by table and position.
    pub(crate) differences: BTreeMap<String, String>,
    /// Positions of the doubtful table that were left out.
    pub(crate) uncertain: Vec<String>,
}

/// Where the tables differ from the record, as of these commits (indexes, in any order). Left out is, of the table `doubtful`, exactly what the program
/// itself declares not to be certain. All others must be exact even there: the program has a table of which something *could* have gone unseen read again.
pub(crate) fn compare_record(
    oracle: &Oracle,
    project: &Project,
    commits: &[usize],
    compared: impl Fn(&str) -> bool,
    doubtful: &str,
) -> Compared {
    let last = oracle.last().unwrap();
    let mut commits = commits.to_vec();
    commits.sort_unstable();
    let stretches = uncertain(project);
    let mut result = Compared::default();
    let mut replay = oracle.replay();
    for index in commits {
        replay.advance(index + 1).unwrap();
        let position = oracle.commits()[index].position();
        let at = lsn(&position);
        for (name, table) in replay.tables().iter().filter(|(name, _)| compared(name)) {
            if name == doubtful
                && stretches.get(name).into_iter().flatten().any(|(from, to)| (*from..*to).contains(&at))
            {
                result.uncertain.push(position.clone());
                continue;
            }
            let answer = project.sql_as_of(&format!("SELECT * FROM {name}"), &position);
            if let Err(error) = compare(table, &last[name].columns, &answer) {
                result.differences.insert(format!("{name} as of {position}"), error.to_string());
            }
        }
    }
    result
}

/// From where up to where (that excluded) the program says that each table's history is not certain.
pub(crate) fn uncertain(project: &Project) -> BTreeMap<String, Vec<(u64, u64)>> {
    let status: Value = serde_json::from_str(&project.succeed(&["status", "--json"])).unwrap();
    let end = |to: &Value| to.as_str().map_or(u64::MAX, lsn);
    let tables = status["tables"].as_array().unwrap().iter();
    tables
        .map(|table| {
            let stretches = table["uncertain"].as_array().unwrap().iter();
            let stretches =
                stretches.map(|stretch| (lsn(stretch["from"].as_str().unwrap()), end(&stretch["to"])));
            (table["name"].as_str().unwrap().to_owned(), stretches.collect())
        })
        .collect()
}

/// Each row that came, changed or went behind `begun` must stand in history once: a change that took effect twice, and left the row as it
/// was, shows nowhere else.
#[track_caller]
pub(crate) fn compare_events(
    oracle: &Oracle,
    project: &Project,
    begun: u64,
    compared: impl Fn(&str) -> bool,
) {
    let mut differences = BTreeMap::new();
    for (table, recorded) in oracle.events(oracle.behind(begun)) {
        if !compared(&table) {
            continue;
        }
        let counts = format!(
            "SELECT operation_type AS event, count(*) AS n FROM {table}_history WHERE _lsn >= {begun} GROUP BY ALL"
        );
        let rows: Vec<Value> = serde_json::from_str(&project.sql(&counts)).unwrap();
        for (event, operation) in [('I', "INSERT"), ('U', "UPDATE"), ('D', "DELETE")] {
            let held = rows.iter().find(|row| row["event"] == operation).and_then(|row| row["n"].as_u64());
            let (held, recorded) = (held.unwrap_or(0), recorded.get(&event).copied().unwrap_or(0));
            if held != recorded {
                differences
                    .insert(format!("{operation} of {table}"), format!("{held} instead of {recorded}"));
            }
        }
    }
    assert!(differences.is_empty(), "history does not hold each event once:\n{differences:#?}");
}

/// A position as PostgreSQL prints it.
pub(crate) fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap();
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}
