//! What is made of what: source tables, tables, models, endpoints, dashboards.
//!
//! The warehouse tells what a statement reads by itself and through models alike. What it reads through a model is left out: the way there leads
//! through that model.

use std::{collections::HashMap, sync::Arc};

use axum::{http::request::Parts, response::Response};
use serde_json::{json, Value};

use super::{
    super::route::Site,
    document,
    files::folded,
    parameters,
    survey::{self, Reads},
};
use crate::{dashboard::ChartOf, problem::Problem, relation::RelationKind};

/// The nodes and edges.
pub(super) async fn answer(site: &Site, parts: &Parts) -> Result<Response, Problem> {
    parameters(parts, &[])?;
    let survey = survey::of(site).await?;
    let relations = site.relations().await?;
    let host = site.host().clone();
    const DOING: &str = "looking at the tables";
    let read = move |_: &_| host.tables().map_err(|error| Problem::of(&error, DOING, false));
    let states = site.answers.reading().with_turn(DOING, read).await?;

    let mut graph = Graph::default();
    for state in &states {
        let (source, target) = (&state.layout.source, &state.layout.target);
        let from = graph.node("source", &source.to_string(), None);
        let to = graph.node("table", &target.to_string(), None);
        graph.edges.push((from, to.clone()));
        let names =
            ["", "_history"].map(|suffix| folded(&target.schema, &format!("{}{suffix}", target.name)));
        names.into_iter().for_each(|name| drop(graph.named.insert(name, to.clone())));
    }
    for (relation, _) in
        relations.iter().filter(|(_, kind)| matches!(kind, RelationKind::View | RelationKind::Held))
    {
        let id = graph.node("model", &format!("{}.{}", relation.schema, relation.name), None);
        graph.named.insert(folded(&relation.schema, &relation.name), id);
    }
    for (name, reads) in &survey.models {
        if let Some(id) = graph.named.get(name).cloned() {
            graph.reads(reads, &survey.models, &id);
        }
    }
    for endpoint in &survey.endpoints.served {
        let id = graph.node("endpoint", &endpoint.path, None);
        if let Some(reads) = survey.endpoint(&endpoint.path) {
            graph.reads(reads, &survey.models, &id);
        }
    }
    for dashboard in &survey.dashboards.served {
        let id = graph.node("dashboard", &dashboard.title, Some(&dashboard.name));
        for (index, chart) in dashboard.charts.iter().enumerate() {
            if let ChartOf::Endpoint(path) = &chart.of {
                let path = path.split('?').next().unwrap_or_default();
                graph.edges.push((format!("endpoint:{path}"), id.clone()));
            }
            if let Some(reads) = survey.chart(&dashboard.name, index) {
                graph.reads(reads, &survey.models, &id);
            }
        }
    }
    Ok(document(parts, &graph.document()))
}

#[derive(Default)]
struct Graph {
    nodes: Vec<Value>,
    edges: Vec<(String, String)>,
    /// Nodes of tables and models by their folded names.
    named: HashMap<Arc<str>, String>,
}

impl Graph {
    fn node(&mut self, kind: &str, label: &str, name: Option<&str>) -> String {
        let id = format!("{kind}:{}", name.unwrap_or(label));
        self.nodes.push(json!({"id": id, "kind": kind, "label": label}));
        id
    }

    /// Edges from what a statement reads itself.
    fn reads(&mut self, reads: &Reads, models: &HashMap<Arc<str>, Reads>, to: &str) {
        for name in direct(reads, models) {
            if let Some(from) = self.named.get(name).filter(|from| *from != to) {
                self.edges.push((from.clone(), to.to_owned()));
            }
        }
    }

    fn document(mut self) -> Value {
        self.edges.sort();
        self.edges.dedup();
        json!({"nodes": self.nodes, "edges": self.edges})
    }
}

/// What is read and not through another model that is read.
fn direct<'a>(reads: &'a Reads, models: &HashMap<Arc<str>, Reads>) -> Vec<&'a Arc<str>> {
    let through = |name: &Arc<str>| {
        reads
            .iter()
            .filter(|other| *other != name)
            .any(|other| models.get(other).is_some_and(|read| read.contains(name)))
    };
    reads.iter().filter(|name| !through(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(names: &[&str]) -> Reads {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn what_is_read_through_a_model_is_no_edge_of_its_own() {
        let models = HashMap::from([
            (Arc::from("s.daily"), reads(&["s.orders"])),
            (Arc::from("s.weekly"), reads(&["s.daily", "s.orders"])),
        ]);
        let direct = |of: &[&str]| {
            let reads = reads(of);
            direct(&reads, &models).iter().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(direct(&["s.orders", "s.customers"]), ["s.customers", "s.orders"]);
        assert_eq!(direct(&["s.orders", "s.daily"]), ["s.daily"]);
        assert_eq!(direct(&["s.orders", "s.daily", "s.weekly", "s.items"]), ["s.items", "s.weekly"]);
    }
}
