//! dbt projects: the same ones built and read by dbt and by Millstream, each in a directory and a DuckDB file of its own.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Bench;
use crate::child::{Child, Taken};
use crate::dbt::Dbt;
use crate::error::{Error, Result};
use crate::report::{Line, Workload, MILLSTREAM};

/// What the names of these workloads begin with.
pub(crate) const MODELS: &str = "models-";
/// The workload that looks like dbt's classic teaching example.
pub(crate) const SHOP: &str = "models-shop";
/// Those that are read and not built.
pub(crate) const PARSE: &str = "models-parse-";

/// Millstream's line of a run behind another one, which left its target directory.
const MILLSTREAM_WARM: &str = "Millstream, warm";

/// The variable that names a project's DuckDB file.
const FILE: &str = "BENCH_FILE";

/// Several times what dbt takes for the largest project.
const RUN_WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// Threads of both.
const THREADS: u32 = 4;
/// How often a short run is made; the middle one counts.
const REPEATS: usize = 3;
/// dbt is not run on more models than this: it takes a minute for them.
const DBT_MODELS_MAX: u64 = 1_000;

/// A project as files.
struct Sources {
    files: Vec<(String, String)>,
    /// Nodes that a build tells of, or models that a parse reads.
    nodes: u64,
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Verb {
    Build,
    Parse,
}

pub(super) fn shop(bench: &Bench, directory: &Path, workload: &mut Workload) -> Result<()> {
    workload.title = format!(
        "A shop: three seeds, five models, twenty tests. Cold: the target directory is deleted, and the seeds are others, before each run. Warm: the seeds are \
         others. The middle one of {REPEATS} runs. {THREADS} threads."
    );
    workload.unit = "nodes";
    compare(bench, directory, workload, Verb::Build, shop_sources)
}

pub(super) fn tables(bench: &Bench, directory: &Path, count: u64, workload: &mut Workload) -> Result<()> {
    workload.title = format!(
        "{count} table models; each but the first ten reads one before it, ten the same. {THREADS} threads."
    );
    workload.unit = "nodes";
    compare(bench, directory, workload, Verb::Build, |_| chain_sources(count))
}

pub(super) fn parse(bench: &Bench, directory: &Path, count: u64, workload: &mut Workload) -> Result<()> {
    workload.title = format!("Reading a project of {count} models, each with a description.");
    workload.unit = "nodes";
    compare(bench, directory, workload, Verb::Parse, |_| chain_sources(count))
}

/// Runs both on the same sources, cold and warm by turns; `sources` are told the number of the run.
fn compare(
    bench: &Bench,
    directory: &Path,
    workload: &mut Workload,
    verb: Verb,
    sources: impl Fn(usize) -> Sources,
) -> Result<()> {
    let nodes = sources(0).nodes;
    let small = nodes <= DBT_MODELS_MAX / 10;
    let repeats = if small { REPEATS } else { 1 };
    let mut programs = vec![(MILLSTREAM, MILLSTREAM_WARM, bench.product.program().to_owned(), false)];
    if matches!(verb, Verb::Parse) && nodes > 2 * DBT_MODELS_MAX {
        workload.notes.push("Without dbt: it takes most of a minute.".to_owned());
    } else {
        match Dbt::prepare() {
            Ok(dbt) => programs.insert(0, ("dbt", "dbt, warm", dbt.program, true)),
            Err(why) => workload.notes.push(format!("Without dbt: {why}.")),
        }
    }
    for (cold, warm, program, is_peer) in programs {
        let project = directory.join(if is_peer { "dbt" } else { "millstream" });
        let (mut colds, mut warms) = (Vec::new(), Vec::new());
        for number in 0..repeats {
            for (takes, is_cold) in [(&mut colds, true), (&mut warms, false)] {
                let sources = sources(2 * number + usize::from(!is_cold));
                write(&project, &sources)?;
                if is_cold {
                    let _ = fs::remove_dir_all(project.join("target"));
                }
                takes.push(run(&program, verb, &project, directory)?);
                if matches!(verb, Verb::Build) {
                    expect_success(&project, sources.nodes)?;
                }
            }
        }
        let line = |name: &str, takes| Line::new(name.to_owned(), nodes, middle(takes));
        let cold = line(cold, colds);
        workload.lines.push(if is_peer { cold.reference() } else { cold });
        workload.lines.push(line(warm, warms));
    }
    Ok(())
}

fn middle(mut takes: Vec<Taken>) -> Taken {
    takes.sort_by_key(|taken| taken.wall);
    takes[takes.len() / 2]
}

fn write(project: &Path, sources: &Sources) -> Result<()> {
    for (name, text) in &sources.files {
        let path: PathBuf = project.join(name);
        let folder = path.parent().unwrap_or(project);
        fs::create_dir_all(folder).map_err(Error::during(folder.display()))?;
        // What is the same stays as it is, for whoever looks at the times of files.
        if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            fs::write(&path, text).map_err(Error::during(path.display()))?;
        }
    }
    Ok(())
}

fn run(program: &Path, verb: Verb, project: &Path, directory: &Path) -> Result<Taken> {
    let mut command = Command::new(program);
    let verb = match verb {
        Verb::Build => "build",
        Verb::Parse => "parse",
    };
    command.arg(verb).arg("--project-dir").arg(project).arg("--profiles-dir").arg(project);
    // A relative path would be one of the directory that the bench was started in.
    let file = std::path::absolute(project.join("bench.duckdb"));
    command.env(FILE, file.map_err(Error::during(project.display()))?);
    command.envs([("DBT_SEND_ANONYMOUS_USAGE_STATS", "false"), ("DO_NOT_TRACK", "1")]);
    Child::spawn(command, verb, directory)?.finish(RUN_WAIT_MAX)
}

/// A run that left something out is no run.
fn expect_success(project: &Path, nodes: u64) -> Result<()> {
    let path = project.join("target/run_results.json");
    let text = fs::read_to_string(&path).map_err(Error::during(path.display()))?;
    let told: Value = serde_json::from_str(&text).map_err(Error::during(path.display()))?;
    let results = told["results"].as_array().map_or(&[][..], Vec::as_slice);
    let good = results.iter().filter(|result| result["status"] == "success" || result["status"] == "pass");
    let good = good.count() as u64;
    if good == nodes && results.len() as u64 == nodes {
        return Ok(());
    }
    Err(Error::new(format!(
        "{} tells of {good} good nodes of {}, not {nodes}",
        path.display(),
        results.len()
    )))
}

fn about(name: &str) -> Vec<(String, String)> {
    let project = format!("name: {name}\nversion: '1.0'\nprofile: bench\n");
    let profile = format!(
        "bench:\n  target: dev\n  outputs:\n    dev: {{type: duckdb, path: \"{{{{ env_var('{FILE}') }}}}\", threads: {THREADS}}}\n"
    );
    vec![("dbt_project.yml".into(), project), ("profiles.yml".into(), profile)]
}

/// Other rows for each run.
fn shop_sources(run: usize) -> Sources {
    let mut files = about("shop");
    let seed = |head: &str, count: usize, row: &dyn Fn(usize) -> String| {
        let rows: String = (1..=count).map(|number| row(number) + "\n").collect();
        format!("{head}\n{rows}")
    };
    let methods = ["card", "transfer", "coupon", "gift"];
    let states = ["placed", "shipped", "completed", "returned"];
    files.extend([
        ("seeds/raw_customers.csv".into(), seed("id,first_name,last_name", 100, &|n| format!("{n},First{},Last{}", (n * 7 + run) % 89, n % 13))),
        (
            "seeds/raw_orders.csv".into(),
            seed("id,customer,placed_on,status", 99, &|n| {
                format!("{n},{},2026-{:02}-{:02},{}", (n * 31 + run) % 100 + 1, n % 12 + 1, n % 28 + 1, states[(n + run) % 4])
            }),
        ),
        (
            "seeds/raw_payments.csv".into(),
            seed("id,order_id,method,cents", 113, &|n| {
                format!("{n},{},{},{}", n % 99 + 1, methods[(n + run) % 4], (n * 137 + run) % 3000)
            }),
        ),
        (
            "models/staging/stg_customers.sql".into(),
            "select id as customer_id, first_name, last_name from {{ ref('raw_customers') }}\n".into(),
        ),
        (
            "models/staging/stg_orders.sql".into(),
            "select id as order_id, customer as customer_id, placed_on, status from {{ ref('raw_orders') }}\n".into(),
        ),
        (
            "models/staging/stg_payments.sql".into(),
            "select id as payment_id, order_id, method, cents / 100.0 as amount from {{ ref('raw_payments') }}\n".into(),
        ),
        (
            "models/customers.sql".into(),
            "{{ config(materialized='table') }}\n\
             with placed as (select customer_id, min(placed_on) as first_order, max(placed_on) as last_order, count(*) as orders\n    \
             from {{ ref('stg_orders') }} group by 1),\n\
             paid as (select o.customer_id, sum(p.amount) as total from {{ ref('stg_payments') }} as p\n    \
             left join {{ ref('stg_orders') }} as o using (order_id) group by 1)\n\
             select c.*, placed.first_order, placed.last_order, placed.orders, paid.total from {{ ref('stg_customers') }} as c\n\
             left join placed using (customer_id) left join paid using (customer_id)\n"
                .into(),
        ),
        (
            "models/orders.sql".into(),
            "{{ config(materialized='table') }}\n{% set methods = ['card', 'transfer', 'coupon', 'gift'] %}\n\
             select o.*,\n{% for method in methods %}coalesce(sum(p.amount) filter (where p.method = '{{ method }}'), 0) as {{ method }}_amount,\n{% endfor %}\
             coalesce(sum(p.amount), 0) as amount\nfrom {{ ref('stg_orders') }} as o left join {{ ref('stg_payments') }} as p using (order_id)\n\
             group by all\n"
                .into(),
        ),
        ("models/schema.yml".into(), shop_properties()),
    ]);
    Sources { files, nodes: 3 + 5 + 20 }
}

/// Twenty tests.
fn shop_properties() -> String {
    let mut text = "version: 2\nmodels:\n".to_owned();
    let key = ["unique", "not_null"];
    let states = "accepted_values: {arguments: {values: [placed, shipped, completed, returned]}}";
    let methods = "accepted_values: {arguments: {values: [card, transfer, coupon, gift]}}";
    let customer = "relationships: {arguments: {to: ref('customers'), field: customer_id}}";
    let columns: [(&str, &str, &[&str]); 14] = [
        ("stg_customers", "customer_id", &key),
        ("stg_orders", "order_id", &key),
        ("stg_orders", "status", &[states]),
        ("stg_payments", "payment_id", &key),
        ("stg_payments", "method", &[methods]),
        ("customers", "customer_id", &key),
        ("orders", "order_id", &key),
        ("orders", "customer_id", &["not_null", customer]),
        ("orders", "status", &[states]),
        ("orders", "amount", &["not_null"]),
        ("orders", "card_amount", &["not_null"]),
        ("orders", "transfer_amount", &["not_null"]),
        ("orders", "coupon_amount", &["not_null"]),
        ("orders", "gift_amount", &["not_null"]),
    ];
    let mut before = "";
    for (model, column, tests) in columns {
        if model != before {
            let _ = write!(text, "  - name: {model}\n    description: Of the shop.\n    columns:\n");
            before = model;
        }
        let tests: String = tests.iter().map(|test| format!("          - {test}\n")).collect();
        let _ = write!(text, "      - name: {column}\n        data_tests:\n{tests}");
    }
    text
}

/// Models of which each reads one before it: as wide as deep is ten to one.
fn chain_sources(count: u64) -> Sources {
    let mut files = about("many");
    let mut properties = "version: 2\nmodels:\n".to_owned();
    for number in 0..count {
        let from = match number {
            0..10 => format!("select {number} as id, 'model {number}' as name"),
            _ => format!("select id + 1 as id, name from {{{{ ref('model_{}') }}}}", number / 10),
        };
        let text = format!("{{{{ config(materialized='table', tags=['tag_{}']) }}}}\n{from}\n", number % 7);
        files.push((format!("models/part_{}/model_{number}.sql", number / 100), text));
        let _ = write!(properties, "  - name: model_{number}\n    description: The model number {number}.\n");
    }
    files.push(("models/schema.yml".into(), properties));
    Sources { files, nodes: count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_has_twenty_tests_and_other_rows_each_time() {
        assert_eq!(shop_properties().matches("          - ").count(), 20);
        let (one, two) = (shop_sources(0), shop_sources(1));
        let changed = one.files.iter().zip(&two.files).filter(|(one, two)| one != two);
        assert_eq!(
            changed.map(|((name, _), _)| name.split('/').next().unwrap()).collect::<Vec<_>>(),
            ["seeds"; 3]
        );
    }

    #[test]
    fn every_model_of_many_is_described_once() {
        let sources = chain_sources(120);
        assert_eq!(sources.files.len(), 120 + 3);
        assert_eq!(sources.files.last().unwrap().1.matches("- name").count(), 120);
    }
}
