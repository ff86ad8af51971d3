//! Finding PostgreSQL's programs.
//!
//! Debian keeps the server's programs out of PATH, one directory per major version. `MILLSTREAM_PG_BIN` names another
//! directory, which is how one machine tests against several versions. Packages that carry a server alone are welcome there: what
//! they lack (`psql`, `pg_recvlogical`) is taken from where this machine has it, since clients speak to every version.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where Debian and Ubuntu keep the versions.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The directory that holds `postgres`, `initdb` and `psql`.
pub(crate) fn directory() -> Result<PathBuf> {
    if let Some(named) = env::var_os("MILLSTREAM_PG_BIN").map(PathBuf::from) {
        return if holds_server(&named) {
            Ok(named)
        } else {
            Err(Error::new(format!("MILLSTREAM_PG_BIN is {}, which holds no `initdb`", named.display())))
        };
    }
    newest_debian(Path::new(DEBIAN_ROOT)).or_else(on_path).ok_or_else(|| {
        Error::new(
            "no PostgreSQL server found: run scripts/bootstrap, or set MILLSTREAM_PG_BIN to the directory of `initdb`",
        )
    })
}

/// A program of the server's directory, or where that has none, the machine's own: as Debian keeps it, else by PATH.
pub(crate) fn program(directory: &Path, name: &str) -> PathBuf {
    let beside = directory.join(name);
    if beside.is_file() {
        return beside;
    }
    let own = newest_debian(Path::new(DEBIAN_ROOT)).map(|bin| bin.join(name));
    own.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name))
}

fn holds_server(directory: &Path) -> bool {
    directory.join("initdb").is_file() && directory.join("postgres").is_file()
}

fn newest_debian(root: &Path) -> Option<PathBuf> {
    fs::read_dir(root)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let major: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            holds_server(&bin).then_some((major, bin))
        })
        .max()
        .map(|(_, bin)| bin)
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|directory| holds_server(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_the_server_does_not_bring_along_is_the_machines_own() {
        let bin = directory().unwrap();
        assert_eq!(program(&bin, "initdb"), bin.join("initdb"));
        let nowhere = Path::new("/nonexistent");
        let psql = program(nowhere, "psql");
        assert!(!psql.starts_with(nowhere), "{}", psql.display());
        assert!(std::process::Command::new(&psql).arg("--version").output().unwrap().status.success());
    }
}
