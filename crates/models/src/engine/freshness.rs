//! `source freshness`: when the newest row of each table of a source was loaded, and whether that is long ago.

use std::{rc::Rc, sync::Arc};

use millstream_core::build::BuildWarehouse;
use serde_json::{json, Value as Json};

use super::{
    compile::{self, SharedConnection},
    live::Shared,
    run::{deep, tell, Observer, Outcome, Run, Work},
};
use crate::{
    context::{modules::Moment, scene::Scene, table::Table},
    error::Result,
    jinja::{template, Args, Interrupt, JinjaError, Spot, Value},
    parse::{
        freshness::{Threshold, Verdict},
        names,
        node::{Node, Resource},
    },
    select::{Graph, Ids},
};

/// The first moment that dbt has: how it tells that a table has no rows.
const NEVER_US: i64 = -62_135_596_800_000_000;

/// What was found out about a table.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The table's unique id.
    pub unique_id: String,
    /// When its newest row was loaded, or why that can't be told.
    pub found: std::result::Result<Found, String>,
    /// When it began, when the statement was ready and when it was done, in seconds since 1970.
    pub times: [f64; 3],
}

/// When the newest row was loaded.
#[derive(Debug, Clone)]
pub struct Found {
    /// Then, in microseconds since 1970.
    pub loaded_us: i64,
    /// The warehouse's clock when it was asked.
    pub asked_us: i64,
    /// What that comes to.
    pub verdict: Verdict,
    /// What the table's configuration says of its age.
    pub threshold: Threshold,
    /// What the warehouse said.
    pub response: Json,
}

impl Found {
    /// How long ago it was, in seconds.
    pub fn age_seconds(&self) -> f64 {
        (self.asked_us - self.loaded_us) as f64 / 1e6
    }
}

impl Checked {
    /// What it comes to: `pass`, `warn`, `error` or `runtime error`.
    pub fn status(&self) -> &'static str {
        self.found.as_ref().map_or("runtime error", |found| found.verdict.name())
    }

    /// Whether the run has failed by it.
    pub fn is_wrong(&self) -> bool {
        self.found.as_ref().map_or(true, |found| found.verdict == Verdict::Error)
    }
}

/// Whether something is to be told of a table's age.
pub fn is_asked_for(node: &Node) -> bool {
    node.resource == Resource::Source && threshold(node).is_some_and(|threshold| threshold.is_said())
}

fn threshold(node: &Node) -> Option<Threshold> {
    // It was read when the project was parsed.
    Threshold::read(node.extra.get("freshness")).ok().flatten()
}

/// Asks for these tables, between the project's hooks, of which those that failed are returned.
///
/// Errors: no connection. What goes wrong with a table is told of it.
pub fn check(
    shared: &Arc<Shared>,
    warehouse: &dyn BuildWarehouse,
    ids: &Ids,
    observer: &dyn Observer,
) -> Result<(Vec<Checked>, Vec<Outcome>)> {
    deep(|| {
        let graph = Graph::default();
        let run = Run {
            shared: shared.clone(),
            warehouse,
            graph: &graph,
            ids: Ids::new(),
            work: Work::Build,
            fail_fast: false,
            observer,
        };
        let connection = run.connect()?;
        run.list(&connection)?;
        let mut hooks = run.hooks("on-run-start", &connection)?;
        let nodes: Vec<&Node> = ids.iter().filter_map(|id| shared.manifest.sources.get(id)).collect();
        let mut all = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            observer.started(at + 1, nodes.len(), node);
            let checked = table(shared, node, &connection);
            tell(observer);
            observer.checked(at + 1, nodes.len(), node, &checked);
            all.push(checked);
        }
        shared.give(run.given_at_the_end(&[]));
        hooks.extend(run.hooks("on-run-end", &connection)?);
        Ok((all, hooks))
    })
}

fn table(shared: &Arc<Shared>, node: &Node, connection: &SharedConnection) -> Checked {
    let begun = names::now();
    let mut times = [begun; 3];
    let found = ask(shared, node, connection, &mut times[1]);
    // What a statement has begun and not ended is of no use to the next.
    let _ = connection.borrow_mut().rollback();
    times[2] = names::now();
    Checked { unique_id: node.unique_id.clone(), found, times }
}

fn ask(
    shared: &Arc<Shared>,
    node: &Node,
    connection: &SharedConnection,
    ready: &mut f64,
) -> std::result::Result<Found, String> {
    let mut node = node.clone();
    node.depends_on = vec![node.unique_id.clone()];
    let (scene, _) = compile::scene(shared, &node, Some(connection));
    let told = |error: JinjaError| compile::problem(shared, &node, error).describe();
    let said = |key: &str| node.extra.get(key).and_then(Json::as_str);
    let relation = Value::object(node.relation());
    let (name, arguments) = match (said("loaded_at_query"), said("loaded_at_field")) {
        (Some(query), _) => {
            let parsed = template(query, &node.original_path.as_str().into(), Spot::default()).map_err(told)?;
            let sql = scene.interpreter().render(&parsed, &[]).map_err(told)?;
            ("collect_freshness_custom_sql", vec![("source", relation), ("loaded_at_query", Value::from(sql))])
        }
        (None, Some(field)) => {
            let filter = threshold(&node).and_then(|threshold| threshold.filter);
            let filter = filter.map_or(Value::None, Value::from);
            ("collect_freshness", vec![("source", relation), ("loaded_at_field", Value::from(field)), ("filter", filter)])
        }
        (None, None) => {
            return Err("nothing says when its rows were loaded: give the source a `loaded_at_field` or a `loaded_at_query`".into())
        }
    };
    *ready = names::now();
    let (answer, response) = call(&scene, name, arguments).map_err(told)?;
    let times = answer.as_ref().and_then(Table::times);
    let Some([loaded, asked]) = times else {
        return Err(format!("`{name}` gives no row of two times, which is what freshness is told from"));
    };
    let threshold = threshold(&node).ok_or("nothing says how old it may be")?;
    let [loaded_us, asked_us] = [loaded, asked].map(|time| time.unwrap_or(NEVER_US));
    let verdict = threshold.verdict((asked_us - loaded_us) as f64 / 1e6);
    Ok(Found { loaded_us, asked_us, verdict, threshold, response })
}

/// What a macro gives: the table of its result, or a table; and what the warehouse said of it.
fn call(
    scene: &Rc<Scene>,
    name: &str,
    arguments: Vec<(&str, Value)>,
) -> std::result::Result<(Option<Table>, Json), JinjaError> {
    let Some(entry) = scene.find_macro(name) else {
        return Err(JinjaError::new(format!("there is no macro `{name}`")));
    };
    let named = arguments.into_iter().map(|(name, value)| (Rc::from(name), value)).collect();
    let args = Args { positional: Vec::new(), named };
    let value = match scene.interpreter().call_macro(&entry.definition, args) {
        Ok(value) | Err(Interrupt::Return(value)) => value,
        Err(Interrupt::Error(error)) => return Err(*error),
    };
    let of = |key: &str| match &value {
        Value::Dict(result) => result.borrow().get(&Value::from(key)).cloned(),
        _ => None,
    };
    let table = if matches!(value, Value::Dict(_)) { of("table") } else { Some(value.clone()) };
    let response = match of("response").map(|response| response.to_json()) {
        Some(said @ Json::Object(_)) => said,
        _ => json!({"_message": "OK"}),
    };
    Ok((table.and_then(|table| table.downcast::<Table>().cloned()), response))
}

/// What is told of each table in `sources.json`. One that nothing could be told of is not in it, as with dbt.
pub fn results(all: &[Checked]) -> Vec<Json> {
    let moment = |us: i64| Moment::utc(us).iso("T");
    let seconds = |at: f64| moment((at * 1e6) as i64).replace("+00:00", "Z");
    all.iter()
        .filter_map(|checked| {
            let found = checked.found.as_ref().ok()?;
            let [begun, ready, done] = checked.times;
            Some(json!({
                "unique_id": checked.unique_id,
                "max_loaded_at": moment(found.loaded_us),
                "snapshotted_at": moment(found.asked_us),
                "max_loaded_at_time_ago_in_s": found.age_seconds(),
                "status": checked.status(),
                "criteria": found.threshold.to_json(),
                "adapter_response": found.response,
                "timing": [
                    {"name": "compile", "started_at": seconds(begun), "completed_at": seconds(ready)},
                    {"name": "execute", "started_at": seconds(ready), "completed_at": seconds(done)},
                ],
                "thread_id": "Thread-1 (worker)",
                "execution_time": done - begun,
            }))
        })
        .collect()
}
