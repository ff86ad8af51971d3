//! Projects built in PostgreSQL by this program and by dbt: two databases of one cluster, compared relation by relation.

use std::{collections::BTreeMap, fs, process::Command};

use millstream_testkit::PgCluster;
use serde_json::Value;

use crate::{dbt, Pair};

mod beginning;
mod edges;
mod made;
mod models;
mod seeds;

const TABLES: &str = include_str!("../postgres.py");

/// The database of each side. As long as each other, so that what is cut is cut at the same place.
const DATABASES: [(&str, &str); 2] = [("theirs", "db_theirs"), ("ours", "db_ours__")];

/// A project twice, each with a database of its own.
pub(crate) struct Twins {
    pub(crate) pair: Pair,
    pub(crate) cluster: PgCluster,
}

impl Twins {
    pub(crate) fn new(project: &str, profile: &str) -> Self {
        let twins = Twins { pair: Pair::new(project, ""), cluster: PgCluster::start_default().unwrap() };
        for (_, database) in DATABASES {
            twins.cluster.execute(&format!("CREATE DATABASE {database}")).unwrap();
        }
        twins.profile(profile, "threads: 2");
        twins
    }

    /// Writes the profile, with more of what the target says.
    fn profile(&self, profile: &str, more: &str) {
        for (side, database) in DATABASES {
            let text = format!(
                "{profile}:\n  target: dev\n  outputs:\n    dev:\n      type: postgres\n      host: 127.0.0.1\n      port: {}\n      user: postgres\n      \
                 password: none\n      dbname: {database}\n      schema: dev\n      {more}\n",
                self.cluster.port()
            );
            fs::write(self.pair.at(side).join("profiles.yml"), text).unwrap();
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.pair.write(path, text);
    }

    /// Changes both databases.
    fn execute(&self, sql: &str) {
        for (_, database) in DATABASES {
            self.cluster.execute_in(database, sql).unwrap();
        }
    }

    pub(crate) fn tables(&self, side: &str) -> BTreeMap<String, Value> {
        let database = DATABASES.iter().find(|(of, _)| *of == side).unwrap().1;
        let output = Command::new(dbt().join("python"))
            .args(["-c", TABLES])
            .arg(format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.cluster.port()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&alike(&String::from_utf8_lossy(&output.stdout))).unwrap()
    }

    /// What was said of each node that went well.
    fn responses(&self, side: &str) -> BTreeMap<String, (Value, Value)> {
        let text = fs::read_to_string(self.pair.at(side).join("target/run_results.json")).unwrap();
        let results: Value = serde_json::from_str(&alike(&text)).unwrap();
        let results = results["results"].as_array().unwrap().iter();
        results
            .filter(|result| ["success", "pass"].contains(&result["status"].as_str().unwrap()))
            .filter(|result| {
                // dbt compares the rows of unit tests itself, and so tells how many it got.
                let id = result["unique_id"].as_str().unwrap();
                !["operation.", "unit_test."].iter().any(|kind| id.starts_with(kind))
            })
            .map(|result| {
                let id = result["unique_id"].as_str().unwrap().to_owned();
                (id, (result["message"].clone(), result["adapter_response"].clone()))
            })
            .collect()
    }

    fn compiled(&self, side: &str) -> BTreeMap<String, String> {
        self.pair.compiled(side).into_iter().map(|(path, text)| (path, alike(&text))).collect()
    }

    /// Runs the same on both sides and compares everything; what ours told.
    #[track_caller]
    fn both(&self, arguments: &[&str]) -> String {
        let own = self.both_but_words(arguments);
        assert_eq!(self.responses("ours"), self.responses("theirs"), "{own}");
        own
    }

    /// The same but for what the server said.
    #[track_caller]
    pub(crate) fn both_but_words(&self, arguments: &[&str]) -> String {
        let (theirs, ours) = (self.pair.dbt(arguments), self.pair.ours(arguments));
        let own =
            format!("{}{}", String::from_utf8_lossy(&ours.stdout), String::from_utf8_lossy(&ours.stderr));
        let told = format!(
            "{}\ndbt:\n{}\nours:\n{own}",
            arguments.join(" "),
            String::from_utf8_lossy(&theirs.stdout)
        );
        assert_eq!(ours.status.code(), theirs.status.code(), "{told}");
        assert_eq!(self.pair.statuses("ours"), self.pair.statuses("theirs"), "{told}");
        assert_eq!(self.compiled("ours"), self.compiled("theirs"), "{told}");
        let (ours, theirs) = (self.tables("ours"), self.tables("theirs"));
        for (name, table) in &theirs {
            assert_eq!(ours.get(name), Some(table), "{name}\n{told}");
        }
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{told}");
        own
    }
}

/// A text in which the database is not told.
fn alike(text: &str) -> String {
    DATABASES.iter().fold(text.to_owned(), |text, (_, database)| text.replace(database, "db"))
}
