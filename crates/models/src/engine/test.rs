//! Data tests: the rows that one finds are counted, and what the counts say of it is its status.

use std::sync::Arc;

use millstream_core::build::{Answer, Cell, RelationKind};
use serde_json::Value as Json;

use super::{
    build::{stores_failures, Built, Replacing},
    compile::{Compiled, SharedConnection},
    dialect::response_json,
    live::Shared,
    run::{warehouse_failed, Status},
};
use crate::{
    error::{Problem, ProblemKind, Result},
    parse::node::Node,
    warning::Verdict,
};

/// What a test counted.
pub(super) struct Counted {
    /// Rows that it found, or what it reckons by otherwise.
    pub failures: i64,
    /// Whether that is to be warned of.
    pub should_warn: bool,
    /// Whether that is an error.
    pub should_error: bool,
}

/// Runs a test, and keeps the rows that it finds where it is to.
///
/// Errors: the warehouse refuses it, or it counts nothing.
pub(super) fn run(
    shared: &Arc<Shared>,
    node: &Node,
    compiled: &Compiled,
    connection: &SharedConnection,
) -> Result<Built> {
    let mut main = compiled.sql.trim_end().trim_end_matches(';').to_owned();
    let limit = match node.config.get("limit") {
        Some(Json::Number(limit)) => Some(limit.to_string()),
        Some(Json::String(limit)) => Some(limit.clone()),
        _ => None,
    };
    if let Some(limit) = limit {
        main = format!("select * from (\n{main}\n) dbt_internal_test limit {limit}");
    }
    if stores_failures(shared, node) {
        let relation = node.relation();
        let there = shared.kind_of(node);
        let as_view = node.config_str("store_failures_as") == Some("view");
        let kind = if as_view { RelationKind::View } else { RelationKind::Table };
        connection.borrow_mut().begin().map_err(warehouse_failed)?;
        let replacing = Replacing { shared, node, relation: &relation, there, connection };
        replacing.whole(kind, &main)?;
        connection.borrow_mut().commit().map_err(warehouse_failed)?;
        shared.note(node, kind);
        main = format!("select * from {}", relation.render());
    }
    let said = |key: &str, default: &str| node.config_str(key).unwrap_or(default).to_owned();
    let (calc, warn_if, error_if) =
        (said("fail_calc", "count(*)"), said("warn_if", "!= 0"), said("error_if", "!= 0"));
    let sql = format!(
        "select\n  {calc} as failures,\n  {calc} {warn_if} as should_warn,\n  {calc} {error_if} as should_error\nfrom (\n{main}\n) dbt_internal_test"
    );
    let answer = connection.borrow_mut().query(&sql, 1).map_err(warehouse_failed)?;
    let counted = Counted::of(&answer)?;
    Ok(counted.outcome(shared, node, response_json(&answer.response), Some(sql)))
}

impl Counted {
    /// What the only row of an answer says, whose columns are `failures`, `should_warn` and `should_error`, in any order.
    ///
    /// Errors: there are other rows or columns, or they hold something else.
    pub(super) fn of(answer: &Answer) -> Result<Self> {
        let wrong = |what: String| Problem::new(ProblemKind::Warehouse, what);
        let [row] = &answer.rows[..] else {
            return Err(wrong(format!("the test gave {} rows of counts, not one", answer.rows.len())).into());
        };
        if answer.columns.len() != 3 {
            let message = format!("the test gave {} columns of counts, not three", answer.columns.len());
            return Err(wrong(message).hint("they are failures, should_warn and should_error").into());
        }
        let of = |name: &str| {
            let at = answer.columns.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
            at.and_then(|at| row.get(at)).ok_or_else(|| wrong(format!("the test gave no `{name}`")))
        };
        let whole = |count: f64| (count.fract() == 0.0).then_some(count as i64);
        let failures = match of("failures")? {
            Cell::Int(count) => Some(*count),
            Cell::Float(count) => whole(*count),
            Cell::Text(text) => text.parse::<f64>().ok().and_then(whole),
            Cell::Bool(found) => Some(i64::from(*found)),
            Cell::Null => None,
        };
        let Some(failures) = failures else {
            let problem = wrong("`fail_calc` of the test gave no whole number".into());
            return Err(problem.hint("a sum over no rows is NULL: coalesce(sum(…), 0)").into());
        };
        let truth = |cell: &Cell| match cell {
            Cell::Bool(truth) => Ok(*truth),
            Cell::Int(number) => Ok(*number != 0),
            Cell::Float(number) => Ok(*number != 0.0),
            Cell::Null => Ok(false),
            Cell::Text(text) => match text.to_lowercase().as_str() {
                "y" | "yes" | "t" | "true" | "on" | "1" => Ok(true),
                "n" | "no" | "f" | "false" | "off" | "0" => Ok(false),
                other => Err(wrong(format!("`{other}` is neither true nor false"))),
            },
        };
        Ok(Counted {
            failures,
            should_warn: truth(of("should_warn")?)?,
            should_error: truth(of("should_error")?)?,
        })
    }

    /// What became of a test that counted this.
    pub(super) fn outcome(&self, shared: &Shared, node: &Node, response: Json, ran: Option<String>) -> Built {
        let rule = |key: &str| node.config_str(key).unwrap_or("!= 0");
        let severe = node.config_str("severity").unwrap_or("error").eq_ignore_ascii_case("error");
        let (status, rule) = if severe && self.should_error {
            (Status::Fail, rule("error_if"))
        } else if self.should_warn {
            let warn_errors = &shared.manifest.world.project.base.warn_errors;
            let is_wrong = warn_errors.verdict(Some("LogTestResult")) == Verdict::Wrong;
            (if is_wrong { Status::Fail } else { Status::Warn }, rule("warn_if"))
        } else {
            (Status::Pass, "")
        };
        let failures = self.failures;
        let plural = if failures == 1 { "" } else { "s" };
        let kind = if status == Status::Fail { "fail" } else { "warn" };
        Built {
            status,
            message: (status != Status::Pass)
                .then(|| format!("Got {failures} result{plural}, configured to {kind} if {rule}")),
            // What passes has none to dbt, whatever was counted.
            failures: Some(if status == Status::Pass { 0 } else { failures }),
            response,
            ran,
        }
    }
}
