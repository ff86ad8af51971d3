//! The columns of a project from what was told of it ([`crate::report`]): whoever keeps that answers where a column comes from without the project's files,
//! flags and variables.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use millstream_core::build::DescribedRelation;
use serde_json::{json, Value as Json};

use super::{
    project::{followed, Columns, Entry},
    trace::{Edges, Step, Way},
    Column, Dialect,
};

/// How many steps are told of each way: more than anybody reads, and a document that a browser draws.
const STEPS_TOLD_MAX: usize = 1_000;

/// A node as it was told of.
#[derive(Debug, Clone, Copy)]
pub struct Told<'t> {
    /// Its unique id.
    pub id: &'t str,
    /// Its document.
    pub document: &'t Json,
    /// What it was last compiled to.
    pub compiled: Option<&'t str>,
}

impl<'t> Told<'t> {
    fn text(&self, key: &str, at: usize) -> Option<&'t str> {
        self.document["lineage"][key][at].as_str()
    }

    fn path(&self) -> Option<[&'t str; 3]> {
        Some([self.text("path", 0)?, self.text("path", 1)?, self.text("path", 2)?])
    }

    /// The names of columns that properties have.
    fn written(&self) -> Vec<String> {
        let columns = self.document["columns"].as_array().into_iter().flatten();
        columns.filter_map(|column| column["name"].as_str()).map(str::to_owned).collect()
    }

    fn entry(&self, there: Option<Vec<String>>) -> Entry<'t> {
        let made = self.document["lineage"]["made"].as_array().into_iter().flatten();
        let reads = self.document["parents"].as_array().into_iter().flatten();
        let is_listed = matches!(self.document["resource"].as_str(), Some("source" | "seed"));
        Entry {
            id: self.id,
            path: self.path(),
            cte: self.document["lineage"]["cte"].as_str().map(str::to_owned),
            reads: reads.filter_map(Json::as_str).collect(),
            written: is_listed.then(|| self.written()),
            // A seed's file is not at hand.
            may_have_more: is_listed,
            sql: self.compiled,
            made: made.filter_map(Json::as_str).map(str::to_owned).collect(),
            there,
        }
    }
}

/// The databases that the relations of nodes are in.
pub fn databases<'t>(nodes: &[Told<'t>]) -> BTreeSet<&'t str> {
    nodes.iter().filter_map(|node| node.text("path", 0)).collect()
}

/// Where the columns of a project come from, and who reads whom.
#[derive(Debug, Default)]
pub struct Followed {
    dialect: Option<Dialect>,
    columns: Columns,
    /// The names by which columns are known otherwise: by properties, or in the warehouse.
    names: HashMap<String, Vec<String>>,
    /// Nodes that have others than those names, for all that is known.
    open: BTreeSet<String>,
    children: HashMap<String, Vec<String>>,
}

impl Followed {
    /// Follows all columns. `described` are the relations that are in the warehouse.
    pub fn of<'t>(nodes: &[Told<'t>], described: &[DescribedRelation], dialect: Dialect) -> Self {
        let key = |path: [&str; 3]| path.map(|part| dialect.key(part));
        let there: HashMap<[String; 3], &DescribedRelation> = described
            .iter()
            .map(|relation| (key([&relation.database, &relation.schema, &relation.name]), relation))
            .collect();
        let has_columns = |node: &&Told<'_>| node.document["lineage"].is_object();
        let entry = |node: &Told<'t>| {
            let relation = node.path().and_then(|path| there.get(&key(path)).copied());
            let names = |relation: &DescribedRelation| {
                relation.columns.iter().map(|column| column.name.clone()).collect()
            };
            node.entry(relation.map(names))
        };
        let mut found = Followed { dialect: Some(dialect), ..Followed::default() };
        let mut entries = Vec::new();
        for node in nodes.iter().filter(has_columns) {
            let entry = entry(node);
            let mut names = node.written();
            names.extend(entry.there.iter().flatten().cloned());
            found.names.insert(node.id.to_owned(), names);
            if entry.may_have_more && entry.there.is_none() {
                found.open.insert(node.id.to_owned());
            }
            for parent in &entry.reads {
                found.children.entry((*parent).to_owned()).or_default().push(node.id.to_owned());
            }
            entries.push(entry);
        }
        // All were told of by one project.
        let usual = nodes.iter().find_map(|node| Some([node.text("usual", 0)?, node.text("usual", 1)?]));
        found.columns = followed(&entries, dialect, usual.unwrap_or_default());
        found
    }

    /// A column with all that it is made of and all that is made of it; `None`: there is no such column.
    pub fn column(&self, node: &str, name: &str) -> Option<Json> {
        let dialect = self.dialect?;
        let lineage = self.columns.0.get(node)?;
        let wanted = dialect.key(name);
        let output = lineage.columns.iter().find(|column| dialect.key(&column.name) == wanted);
        let named = self.names.get(node).into_iter().flatten().find(|known| dialect.key(known) == wanted);
        let is_open = !lineage.rest.is_empty() || !lineage.unknown.is_empty() || self.open.contains(node);
        if output.is_none() && named.is_none() && !is_open {
            return None;
        }
        let name = output.map(|column| &column.name).or(named).map_or(name, String::as_str);
        let of = Column { relation: node.into(), name: name.into() };
        let edges = Edges::of(&self.columns, dialect);
        let is_elsewhere = output.is_none() && !is_open;
        let unknown = edges
            .unknown(&of)
            .or_else(|| is_elsewhere.then(|| "what it was last compiled to has no such column".to_owned()));
        let (upstream, downstream) = (edges.upstream(&of), edges.downstream(&of));
        let told = |steps: &[Step]| -> Json { steps.iter().take(STEPS_TOLD_MAX).map(Step::json).collect() };
        Some(json!({
            "node": node, "column": name, "unknown": unknown,
            "upstream": told(&upstream), "upstream_count": upstream.len(),
            "downstream": told(&downstream), "downstream_count": downstream.len(),
            "not_followed": self.not_followed(&of, &downstream),
        }))
    }

    /// What reads a relation on the way down and isn't understood: it may be made of the column, too.
    fn not_followed(&self, of: &Column, downstream: &[Step]) -> Json {
        let steps = downstream.iter().filter(|step| step.way != Way::Rows).map(|step| &step.column);
        let relations: BTreeSet<&str> = steps.chain([of]).map(|column| &*column.relation).collect();
        let mut found = BTreeMap::new();
        for child in relations.into_iter().filter_map(|relation| self.children.get(relation)).flatten() {
            let reason = self.columns.0.get(child).and_then(|lineage| lineage.unknown.first());
            found.extend(reason.map(|reason| (child, reason)));
        }
        found.into_iter().map(|(node, reason)| json!({"node": node, "unknown": reason})).collect()
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::build::{DescribedColumn, RelationKind};

    use super::*;

    fn node(resource: &str, name: &str, parents: &[&str]) -> Json {
        json!({
            "resource": resource, "parents": parents, "columns": [],
            "lineage": {"path": ["w", "main", name], "usual": ["w", "main"], "cte": null, "made": []},
        })
    }

    fn relation(name: &str, columns: &[&str]) -> DescribedRelation {
        let column = |(at, name): (usize, &&str)| DescribedColumn {
            name: (*name).to_owned(),
            data_type: "BIGINT".into(),
            index: at as i64 + 1,
            comment: None,
        };
        DescribedRelation {
            database: "w".into(),
            schema: "main".into(),
            name: name.into(),
            kind: RelationKind::Table,
            comment: None,
            owner: None,
            columns: columns.iter().enumerate().map(column).collect(),
        }
    }

    fn shop() -> Followed {
        let orders = node("source", "orders", &[]);
        let mut named = node("model", "named", &["source.orders"]);
        named["lineage"]["path"] = Json::Null;
        named["lineage"]["cte"] = json!("__dbt__cte__named");
        let totals = node("model", "totals", &["model.named"]);
        let odd = node("model", "odd", &["model.totals"]);
        let never = node("model", "never", &["model.totals"]);
        let mut kept = node("snapshot", "kept", &["model.totals"]);
        kept["lineage"]["made"] = json!(["dbt_scd_id"]);
        let nodes = [
            ("model.totals", &totals, Some("with __dbt__cte__named as (select id as n from main.orders) select sum(n) as Total from __dbt__cte__named")),
            ("model.named", &named, Some("select id as n from \"w\".\"main\".\"orders\"")),
            ("source.orders", &orders, None),
            ("model.odd", &odd, Some("select from from from")),
            ("model.never", &never, None),
            ("snapshot.kept", &kept, Some("select * from totals")),
        ];
        let told = nodes.map(|(id, document, compiled)| Told { id, document, compiled });
        assert_eq!(databases(&told).into_iter().collect::<Vec<_>>(), ["w"]);
        let there = [relation("orders", &["id", "status"]), relation("odd", &["x"])];
        Followed::of(&told, &there, Dialect::DuckDb)
    }

    fn steps(told: &Json, way: &str) -> Vec<String> {
        let steps = told[way].as_array().unwrap().iter();
        steps
            .map(|step| {
                format!(
                    "{} {}.{}",
                    step["depth"],
                    step["node"].as_str().unwrap(),
                    step["column"].as_str().unwrap()
                )
            })
            .collect()
    }

    #[test]
    fn a_column_is_followed_from_what_was_told_through_ephemeral_models_and_snapshots() {
        let shop = shop();
        let total = shop.column("model.totals", "total").unwrap();
        assert_eq!(total["column"], "Total", "as it is written");
        assert_eq!(steps(&total, "upstream"), ["1 model.named.n", "2 source.orders.id"]);
        assert_eq!(steps(&total, "downstream"), ["1 snapshot.kept.Total"]);
        let id = shop.column("source.orders", "id").unwrap();
        assert_eq!(
            steps(&id, "downstream"),
            ["1 model.named.n", "2 model.totals.Total", "3 snapshot.kept.Total"]
        );
        assert_eq!((&id["unknown"], &id["downstream_count"]), (&Json::Null, &json!(3)));
    }

    #[test]
    fn of_a_thousand_models_that_read_two_each_a_bounded_part_is_told() {
        const COUNT: usize = 1_000;
        let id = |at: usize| format!("model.m{at}");
        let ids: Vec<String> = (0..COUNT).map(id).collect();
        // Each reads two of those before: every way but the first leads to what was there already.
        let read = |at: usize| [at.saturating_sub(1), at / 2];
        let documents: Vec<Json> = (0..COUNT)
            .map(|at| node("model", &format!("m{at}"), &read(at).map(|at| ids[at].as_str())))
            .collect();
        let compiled: Vec<String> = (0..COUNT)
            .map(|at| match at {
                0 => "select 1 as x, 2 as y".to_owned(),
                at => {
                    let [a, b] = read(at);
                    format!("select a.x + b.y as x, b.x + a.y as y from main.m{a} as a, main.m{b} as b")
                }
            })
            .collect();
        let told: Vec<Told<'_>> = (0..COUNT)
            .map(|at| Told { id: &ids[at], document: &documents[at], compiled: Some(&compiled[at]) })
            .collect();
        let followed = Followed::of(&told, &[], Dialect::DuckDb);
        let last = followed.column(&ids[COUNT - 1], "x").unwrap();
        assert_eq!(last["upstream"].as_array().unwrap().len(), STEPS_TOLD_MAX);
        assert!(last["upstream_count"].as_u64().unwrap() > 2_000 && last["unknown"].is_null());
        assert_eq!((last["downstream_count"].as_u64(), &last["not_followed"]), (Some(0), &json!([])));
    }

    #[test]
    fn what_is_not_known_says_why_and_who_may_read_a_column_unseen_is_named() {
        let shop = shop();
        let reason =
            |node: &str, name: &str| shop.column(node, name).unwrap()["unknown"].as_str().unwrap().to_owned();
        assert!(!reason("model.odd", "x").is_empty());
        assert_eq!(reason("model.never", "x"), "it is not compiled");
        assert!(reason("snapshot.kept", "dbt_scd_id").contains("the snapshot makes it"));
        let total = shop.column("model.totals", "Total").unwrap();
        let unseen: Vec<&str> = total["not_followed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["node"].as_str().unwrap())
            .collect();
        assert_eq!(unseen, ["model.never", "model.odd"]);
        assert!(shop.column("model.totals", "n").is_none() && shop.column("model.nothing", "n").is_none());
        assert!(shop.column("source.orders", "gone").is_none());
    }
}
