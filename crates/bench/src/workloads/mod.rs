//! The workloads. Each has a server of its own and leaves nothing behind.

mod growth;
mod latency;
mod live;
mod models;
mod serve;
mod snapshot;
mod stream;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use self::models::{MODELS, PARSE, SHOP};
use crate::debezium::Debezium;
use crate::error::{Error, Result};
use crate::machine::free_bytes;
use crate::product::Product;
use crate::report::{thousands, Workload, GROWTH};
use crate::scale::Scale;

/// Where everything is written that a workload needs.
const RUN: &str = "bench/data/run";

/// What workloads are run with.
pub(crate) struct Bench {
    pub(crate) scale: Scale,
    pub(crate) product: Product,
    /// The engine, or why it can't be had.
    pub(crate) debezium: Result<Debezium>,
}

/// A workload by name.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Snapshot,
    Inserts,
    Tpcb,
    Large,
    Growth(u64),
    Latency,
    Serve,
    Live,
    Shop,
    Tables(u64),
    Parse(u64),
}

/// All of them, in the order in which they are run.
pub(crate) fn all(scale: &Scale) -> Vec<Planned> {
    let fixed = [
        ("snapshot", Kind::Snapshot),
        ("inserts", Kind::Inserts),
        ("tpcb", Kind::Tpcb),
        ("large", Kind::Large),
        ("latency", Kind::Latency),
        ("serve", Kind::Serve),
        ("live", Kind::Live),
    ];
    let fixed = fixed.into_iter().map(|(name, kind)| Planned { name: name.to_owned(), kind });
    let growth = scale.growth_rows.iter().map(|&rows| Planned {
        name: format!(
            "{GROWTH}{}",
            if rows < 1_000_000 { format!("{}k", rows / 1_000) } else { format!("{}M", rows / 1_000_000) }
        ),
        kind: Kind::Growth(rows),
    });
    let tables = scale.models.iter().map(|&count| (MODELS, count, Kind::Tables(count)));
    let parse = scale.models_parsed.iter().map(|&count| (PARSE, count, Kind::Parse(count)));
    let models =
        tables.chain(parse).map(|(name, count, kind)| Planned { name: format!("{name}{count}"), kind });
    let shop = Planned { name: SHOP.to_owned(), kind: Kind::Shop };
    fixed.chain(growth).chain([shop]).chain(models).collect()
}

impl Planned {
    /// Runs it. What goes wrong stands in the result: the others are still worth running.
    pub(crate) fn run(&self, bench: &Bench) -> Workload {
        let mut workload = Workload::new(self.name.clone(), String::new());
        let outcome = Directory::make(bench.scale.disk_bytes).and_then(|directory| match self.kind {
            Kind::Snapshot => snapshot::run(bench, &directory.0, &mut workload),
            Kind::Inserts => stream::inserts(bench, &directory.0, &mut workload),
            Kind::Tpcb => stream::tpcb(bench, &directory.0, &mut workload),
            Kind::Large => stream::large(bench, &directory.0, &mut workload),
            Kind::Growth(rows) => growth::run(bench, &directory.0, rows, &mut workload),
            Kind::Latency => latency::run(bench, &directory.0, &mut workload),
            Kind::Serve => serve::run(bench, &directory.0, &mut workload),
            Kind::Live => live::run(bench, &directory.0, &mut workload),
            Kind::Shop => models::shop(bench, &directory.0, &mut workload),
            Kind::Tables(count) => models::tables(bench, &directory.0, count, &mut workload),
            Kind::Parse(count) => models::parse(bench, &directory.0, count, &mut workload),
        });
        workload.compare();
        workload.error = outcome.err().map(|error| error.to_string());
        workload
    }
}

/// A workload's directory, removed behind it.
struct Directory(PathBuf);

impl Directory {
    fn make(disk_bytes: u64) -> Result<Self> {
        let path = Path::new(RUN).to_owned();
        // What a bench that was killed left behind; the lock says that none is running.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(Error::during(path.display()))?;
        // The server's files lie in the directory for temporary files, often on the same disk.
        for place in [path.clone(), std::env::temp_dir()] {
            if let Some(free) = free_bytes(&place).filter(|&free| free < disk_bytes) {
                return Err(Error::new(format!(
                    "{} has {} MB free, and this run may need {} MB: set TMPDIR, or run a smaller one",
                    place.display(),
                    thousands(free as f64 / 1e6),
                    thousands(disk_bytes as f64 / 1e6),
                )));
            }
        }
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
