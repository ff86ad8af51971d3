//! `make bench`: Millstream and what a person would hold it to, measured in one run on this machine.
//!
//! Start reading at `workloads/mod.rs` for what is done, `peers.rs` and `product.rs` for whom it is done with, `child.rs` for how
//! time and memory are taken, and `report.rs` for what comes out. `bin/millstream-bench-capture.rs` is the one thing measured that
//! the program does not offer by itself. bench/README.md says how to read it.
//!
//! Only absolute figures of one run on one machine may be compared, so everything is measured from outside and alike: real
//! processes, over TCP, from their start to their end.

mod child;
mod client;
mod data;
mod dbt;
mod debezium;
mod error;
mod fastapi;
mod goals;
mod instrument;
mod interrupt;
mod machine;
mod peers;
mod probe;
mod product;
mod report;
mod scale;
mod server;
mod workloads;

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::debezium::Debezium;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::product::Product;
use crate::report::Report;
use crate::scale::Scale;
use crate::server::Server;
use crate::workloads::{Bench, Planned};

/// Relative to the checkout, as every path of the bench: a control socket's path must be short.
const DATA: &str = "bench/data";
const RESULTS: &str = "bench/results";
/// The file of what is no whole run.
const PARTIAL: &str = "partial";

const USAGE: &str = "usage: millstream-bench [full|quick|smoke] [WORKLOAD…]";

fn main() -> ExitCode {
    interrupt::install();
    match run(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::set_current_dir(&root).map_err(Error::during(root.display()))?;
    let (scale, names) = match arguments.split_first() {
        Some((first, rest)) if Scale::named(first).is_some() => (first.as_str(), rest),
        _ => ("full", &arguments[..]),
    };
    let scale = Scale::named(scale).ok_or_else(|| Error::new(USAGE))?;
    let plan = select(workloads::all(&scale), names)?;
    let _lock = lock()?;

    let (product, debezium, machine) = describe()?;
    let bench = Bench { scale, product, debezium };
    // Thousands of clients are thousands of sockets. Where fewer are allowed, the workload that needs them says so.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    if let Err(why) = &bench.debezium {
        eprintln!("without the Debezium engine: {why}");
    }
    let started = Instant::now();
    let minutes = || started.elapsed().as_secs_f64() / 60.0;
    let mut report = Report::new(scale.name, machine);
    for planned in &plan {
        eprintln!("{} ({:.1} min)", planned.name, minutes());
        let workload = planned.run(&bench);
        if let Some(error) = &workload.error {
            eprintln!("{}: {error}", planned.name);
        }
        report.add(workload, minutes(), bench.product.duckdb_version());
        // Kept as it grows: an hour that ends in Ctrl-C has measured something.
        keep(&report, PARTIAL)?;
        if interrupt::requested() {
            break;
        }
    }
    let failed = interrupt::requested() || report.workloads.iter().any(|workload| workload.error.is_some());
    // A selection does not replace what a whole run has left.
    let name = if names.is_empty() && !failed { scale.name } else { PARTIAL };
    keep(&report, name)?;
    let shown = std::io::stdout().write_all(report.markdown().as_bytes());
    shown.map_err(Error::during("printing the report"))?;
    eprintln!("kept as {RESULTS}/{name}.md and .json");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The workloads of those names; all, where none is named. A name may be the beginning of several.
fn select(all: Vec<Planned>, names: &[String]) -> Result<Vec<Planned>> {
    let known: Vec<String> = all.iter().map(|planned| planned.name.clone()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.iter().any(|known| known.starts_with(*name))) {
        return Err(Error::new(format!("no workload `{unknown}`; there are {}\n{USAGE}", known.join(", "))));
    }
    let wanted =
        |planned: &Planned| names.is_empty() || names.iter().any(|name| planned.name.starts_with(name));
    Ok(all.into_iter().filter(wanted).collect())
}

/// Two benches at once would measure each other.
fn lock() -> Result<File> {
    fs::create_dir_all(DATA).map_err(Error::during(DATA))?;
    let path = Path::new(DATA).join("lock");
    let file = File::create(&path).map_err(Error::during(path.display()))?;
    // SAFETY: the descriptor is open for as long as `file` is.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(Error::new("another bench runs in this checkout"));
    }
    Ok(file)
}

fn describe() -> Result<(Product, Result<Debezium>, Machine)> {
    let product = Product::beside_this_program()?;
    let debezium = Debezium::prepare();
    let version =
        debezium.as_ref().map_or_else(|_| "no Debezium".to_owned(), |engine| engine.version.clone());
    let postgres = Server::start()?.program_path("postgres");
    let machine = Machine::describe(&postgres, version);
    Ok((product, debezium, machine))
}

fn keep(report: &Report, name: &str) -> Result<()> {
    fs::create_dir_all(RESULTS).map_err(Error::during(RESULTS))?;
    // A text ends in one newline.
    let markdown = format!("{}\n", report.markdown().trim_end());
    let mut json = serde_json::to_string_pretty(report).map_err(Error::during("the report as JSON"))?;
    json.push('\n');
    for (ending, text) in [("md", &markdown), ("json", &json)] {
        let path = Path::new(RESULTS).join(format!("{name}.{ending}"));
        fs::write(&path, text).map_err(Error::during(path.display()))?;
    }
    Ok(())
}
