//! dbt with its adapter for DuckDB, fetched with the clients that tests ask with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::interrupt;

/// Fetches them, once.
const FETCH: &str = "scripts/clients";
const PROGRAM: &str = ".tools/clients/dbt/bin/dbt";

/// The program, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Dbt {
    /// Where it is.
    pub(crate) program: PathBuf,
}

impl Dbt {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// Says what is missing on this machine.
    pub(crate) fn prepare() -> Result<Self> {
        if !Path::new(PROGRAM).is_file() {
            let status = Command::new(FETCH).stdin(Stdio::null()).status().map_err(Error::during(FETCH))?;
            interrupt::check()?;
            if !status.success() {
                return Err(Error::new(format!("{FETCH} ended with {status}")));
            }
        }
        let program = std::path::absolute(PROGRAM).map_err(Error::during(PROGRAM))?;
        match program.is_file() {
            true => Ok(Self { program }),
            false => Err(Error::new(format!("{FETCH} left no {PROGRAM}"))),
        }
    }
}
