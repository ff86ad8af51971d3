//! The `millstream` program. All of it stands in the library, so that tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(millstream_cli::main())
}
