//! `lineage`: where columns come from, and what is made of them.

use std::sync::Arc;

use millstream_models::{
    columns::{
        project::{self, Columns},
        trace::{Edges, Step, Way},
        Column, Lineage,
    },
    engine::{
        catalog::{self, Catalog},
        live::Shared,
        run::{Outcome as NodeOutcome, Run, Status, Work},
    },
    parse::{
        node::{Node, Resource},
        Manifest,
    },
    place::nearest,
    select::{Graph, Ids},
    ModelsError, Problem, ProblemKind,
};
use serde_json::{json, Value};

use super::{compiled, Call};
use crate::{
    args::LineageFlags,
    failure::{Failure, Outcome},
    output::Format,
};

pub(super) fn run(call: &Call<'_>, flags: &LineageFlags) -> Outcome {
    let manifest = call.project()?;
    let (node, name) = find(&manifest, &flags.of)?;
    let columns = columns(call, &manifest)?;
    let nothing = Lineage::default();
    let lineage = columns.0.get(&node.unique_id).unwrap_or(&nothing);
    let dialect = project::dialect(&manifest);
    let shown = Shown { manifest: &manifest, edges: Edges::of(&columns, dialect), flags };
    let is_json = call.output.format == Format::Json;
    let Some(name) = name else {
        if is_json {
            let mut told = json!({"node": node.unique_id});
            if let (Value::Object(told), Value::Object(more)) = (&mut told, project::node_json(lineage)) {
                told.extend(more);
            }
            call.output.json(&told)?;
        } else {
            for line in shown.node(node, lineage) {
                call.output.line(&line)?;
            }
        }
        return Ok(0);
    };
    let key = dialect.key(name);
    let column = lineage.columns.iter().find(|column| dialect.key(&column.name) == key);
    // One of those that come through a `*` can be there all the same.
    let is_open = !lineage.rest.is_empty() || (node.resource == Resource::Source && column.is_none());
    if column.is_none() && !is_open {
        let names = lineage.columns.iter().map(|column| column.name.as_str());
        let message = match lineage.unknown.first() {
            Some(reason) => format!("the columns of `{}` aren't known: {reason}", node.search_name()),
            None => format!("`{}` has no column `{name}`", node.search_name()),
        };
        let mut problem = Problem::new(ProblemKind::Missing, message);
        if let Some(meant) = nearest(name, names) {
            problem = problem.hint(format!("did you mean `{meant}`?"));
        }
        return Err(ModelsError::from(problem).into());
    }
    let name = column.map_or(name, |column| &column.name);
    let of = Column { relation: node.unique_id.as_str().into(), name: name.into() };
    if is_json {
        call.output.json(&shown.column_json(&of))?;
    } else {
        for line in shown.column(&of) {
            call.output.line(&line)?;
        }
    }
    Ok(0)
}

/// The node that is meant, and the column where one is.
fn find<'m, 'n>(manifest: &'m Manifest, name: &'n str) -> Result<(&'m Node, Option<&'n str>), Failure> {
    let named = |wanted: &str| {
        let is_called =
            |node: &&Node| node.unique_id == wanted || title(node) == wanted || node.name == wanted;
        let mut found: Vec<&Node> = manifest.all().filter(is_column_holder).filter(is_called).collect();
        // By its own name before by that of a table of a source.
        found.sort_by_key(|node| (node.unique_id != wanted, title(node) != wanted));
        found.first().copied()
    };
    if let Some(node) = named(name) {
        return Ok((node, None));
    }
    if let Some((node, column)) = name.rsplit_once('.') {
        if let Some(node) = named(node) {
            return Ok((node, Some(column)));
        }
    }
    let known: Vec<String> = manifest.all().filter(is_column_holder).map(title).collect();
    let wanted = name.rsplit_once('.').map_or(name, |(node, _)| node);
    let meant = nearest(wanted, known.iter().map(String::as_str));
    let mut problem = Problem::new(ProblemKind::Missing, format!("there is no node `{wanted}` with columns"));
    problem = problem.hint(match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "columns are named NODE.COLUMN or SOURCE.TABLE.COLUMN".into(),
    });
    Err(ModelsError::from(problem).into())
}

fn is_column_holder(node: &&Node) -> bool {
    matches!(node.resource, Resource::Model | Resource::Seed | Resource::Snapshot | Resource::Source)
}

/// A node as people call it.
fn title(node: &Node) -> String {
    match (node.resource, node.extra.get("source_name").and_then(Value::as_str)) {
        (Resource::Source, Some(source)) => format!("{source}.{}", node.name),
        _ => node.search_name(),
    }
}

/// The columns of the whole project.
fn columns(call: &Call<'_>, manifest: &Arc<Manifest>) -> Result<Columns, Failure> {
    let is_compiled =
        |node: &&Node| matches!(node.resource, Resource::Model | Resource::Snapshot) && !node.is_ephemeral();
    let ids: Ids = manifest.all().filter(is_compiled).map(|node| node.unique_id.clone()).collect();
    let warehouse = call.warehouse(&manifest.world.project)?;
    let warehouse = &*warehouse;
    let console = call.console();
    let run = Run {
        shared: Arc::new(Shared::new(manifest.clone(), ids.clone())?),
        warehouse,
        // One that can't be compiled is no reason to leave out those behind it.
        graph: &Graph::default(),
        ids,
        work: Work::Compile,
        fail_fast: false,
        observer: &console,
    };
    let outcomes: Vec<NodeOutcome> = run.run()?;
    for outcome in outcomes.iter().filter(|outcome| outcome.status == Status::Error) {
        let reason = outcome.message.as_deref().unwrap_or_default();
        call.output.warn(&format!("{} can't be compiled: {reason}", outcome.unique_id));
    }
    let described = manifest.all().filter(|node| catalog::is_described(node));
    let described: Ids = described.map(|node| node.unique_id.clone()).collect();
    let described: Catalog = catalog::catalog(manifest, warehouse, &described)?;
    Ok(project::columns(manifest, &compiled(&outcomes), &described))
}

/// How columns are told.
struct Shown<'s> {
    manifest: &'s Manifest,
    edges: Edges<'s>,
    flags: &'s LineageFlags,
}

impl Shown<'_> {
    /// `orders.total`, or only the node.
    fn name(&self, column: &Column) -> String {
        let node = self.manifest.get(&column.relation).map_or_else(|| column.relation.to_string(), title);
        if column.name.is_empty() {
            return node;
        }
        format!("{node}.{}", column.name)
    }

    fn names<'c>(&self, columns: impl IntoIterator<Item = &'c Column>) -> String {
        columns.into_iter().map(|column| self.name(column)).collect::<Vec<_>>().join(", ")
    }

    /// Each column of a node with what it comes from directly.
    fn node(&self, node: &Node, lineage: &Lineage) -> Vec<String> {
        let mut lines = vec![title(node)];
        for column in &lineage.columns {
            let mut parts = Vec::new();
            let of = Column { relation: node.unique_id.as_str().into(), name: column.name.as_str().into() };
            if self.flags.downstream {
                let below = self.edges.downstream(&of);
                let direct = below.iter().filter(|step| step.depth == 1);
                parts.extend(direct.map(|step| self.step(step, "in")));
            } else {
                if !column.from.is_empty() {
                    parts.push(format!("from {}", self.names(&column.from)));
                }
                if !column.by.is_empty() {
                    parts.push(format!("rows decided by {}", self.names(&column.by)));
                }
                parts.extend(column.unknown.iter().map(|reason| format!("not certain: {reason}")));
            }
            let text = format!("  {}: {}", column.name, parts.join("; "));
            lines.push(text.trim_end_matches([':', ' ']).to_owned());
        }
        for rest in &lineage.rest {
            lines.push(format!(
                "  further columns of {}",
                self.names([&Column { relation: rest.relation.clone(), name: "".into() }])
            ));
        }
        if !lineage.rows.is_empty() && !self.flags.downstream {
            lines.push(format!("which rows there are is decided by {}", self.names(&lineage.rows)));
        }
        lines.extend(lineage.unknown.iter().map(|reason| format!("not certain: {reason}")));
        lines
    }

    fn step(&self, step: &Step, from: &str) -> String {
        let name = self.name(&step.column);
        let again = if step.again { " (see above)" } else { "" };
        let unknown = step.unknown.as_ref().map(|reason| format!(" (not certain: {reason})"));
        let text = match step.way {
            Way::From => format!("{from} {name}"),
            Way::By if from == "from" => format!("rows decided by {name}"),
            Way::By => format!("decides the rows of {name}"),
            Way::Rows => format!("decides which rows {name} has"),
        };
        format!("{text}{again}{}", unknown.unwrap_or_default())
    }

    /// A column with all above it and all below it.
    fn column(&self, of: &Column) -> Vec<String> {
        let mut lines = vec![self.name(of)];
        lines.extend(self.edges.unknown(of).map(|reason| format!("  not certain: {reason}")));
        let mut tell = |steps: Vec<Step>, from: &str| {
            for step in steps {
                lines.push(format!("{}{}", "  ".repeat(step.depth), self.step(&step, from)));
            }
        };
        if !self.flags.downstream {
            tell(self.edges.upstream(of), "from");
        }
        if !self.flags.upstream {
            tell(self.edges.downstream(of), "in");
        }
        lines
    }

    fn column_json(&self, of: &Column) -> Value {
        let steps = |steps: Vec<Step>| -> Value { steps.iter().map(Step::json).collect() };
        let mut told = json!({
            "node": &*of.relation, "column": &*of.name, "unknown": self.edges.unknown(of),
        });
        if !self.flags.downstream {
            told["upstream"] = steps(self.edges.upstream(of));
        }
        if !self.flags.upstream {
            told["downstream"] = steps(self.edges.downstream(of));
        }
        told
    }
}
