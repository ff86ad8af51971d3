//! `pg-sandbox [COMMAND [ARGUMENT…]]`: a throwaway PostgreSQL cluster from the shell, for the demo and for trying things.
//!
//! The command (default: a shell) finds the cluster through libpq's variables and DATABASE_URL, and finds psql on its PATH. When it
//! ends, so does the cluster, and the exit status is the command's.

use std::env;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use millstream_testkit::PgCluster;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pg-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let cluster = PgCluster::start_default()?;
    let mut arguments = env::args_os().skip(1);
    let program = arguments.next().or_else(|| env::var_os("SHELL")).unwrap_or_else(|| "sh".into());
    let mut path = vec![cluster.bin_dir().to_owned()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .env("PATH", env::join_paths(path)?)
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "postgres")
        .env("DATABASE_URL", cluster.url());
    // SAFETY: both calls are async-signal-safe. The command gets a terminal's Ctrl-C itself, and must not outlive the cluster.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
        // We end when the command does, however it chooses to take a Ctrl-C.
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
    let status = command.status().map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
    // As a shell would say it: 128 and the signal's number.
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
