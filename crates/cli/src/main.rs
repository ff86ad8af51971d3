//! The `millstream` program: arguments, configuration, wiring, exit codes.

fn main() {}
