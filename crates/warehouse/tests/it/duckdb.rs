//! DuckDB passes the suite; and what is particular to it.

use std::{cell::Cell, path::Path};

use millstream_core::warehouse::Warehouse;
use millstream_warehouse::{DuckDb, DuckDbOptions};

use crate::conformance;

pub(crate) fn open(path: &Path) -> DuckDb {
    DuckDb::open(path, &DuckDbOptions { threads: Some(2), ..DuckDbOptions::default() }).unwrap()
}

#[test]
fn duckdb_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let made = Cell::new(0);
    conformance::run(|| -> Box<dyn Warehouse> {
        made.set(made.get() + 1);
        Box::new(open(&directory.path().join(format!("{}.duckdb", made.get()))))
    });
}
