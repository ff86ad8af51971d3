//! The `millstream` program: arguments, configuration, wiring, exit codes, what a person reads.
//!
//! It holds no logic worth testing alone beyond its own business; data is the other rooms' affair.

pub mod args;
pub mod config;
mod engine;
pub mod error;
pub mod failure;
pub mod fault;
pub mod instance;
pub mod output;
pub mod signals;
pub mod status;
pub mod verbs;

/// Runs the program with the process's arguments and returns its exit status.
pub fn main() -> u8 {
    fault::arm();
    let arguments = match args::parse() {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let output = arguments.global.output();
    output.log(arguments.global.verbose);
    verbs::run(arguments, &output).unwrap_or_else(|failure| {
        if !output::is_unread(&failure) {
            output.failure(&failure);
        }
        failure.exit
    })
}
