//! Tells the loader where libduckdb is, so that the tests of this room run without LD_LIBRARY_PATH: where it was linked from.
//! A build script speaks for its own package only; the binary has one too.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    if let Ok(directory) = env::var("DUCKDB_LIB_DIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{directory}");
    }
}
