//! Embeds the web UI that `make ui` built, compressed once; and tells the loader where libduckdb is, for the tests, which serve a warehouse.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{write::GzEncoder, Compression};

/// Where `scripts/ui` leaves the pages.
const DIST: &str = "../../ui/dist";

/// What tells one build of the pages from another; it is written last.
const STAMP: &str = ".built";

/// A file that does not lose so much of its size is sent as it is: fonts are compressed already.
const WORTH_PERCENT: usize = 95;

fn main() -> io::Result<()> {
    // scripts/ui touches this file when it has built the pages: a file that is not there yet can't be watched.
    println!("cargo:rerun-if-changed=build.rs");
    embed(Path::new(DIST))?;
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // Where it was linked from. The room itself does not know DuckDB.
        if let Ok(directory) = env::var("DUCKDB_LIB_DIR") {
            println!("cargo:rustc-link-arg-tests=-Wl,-rpath,{directory}");
        }
    }
    Ok(())
}

/// Writes `ui.rs`: a list of the files. It is empty where the pages were not built.
fn embed(dist: &Path) -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut list = String::from("&[\n");
    if dist.join(STAMP).is_file() {
        println!("cargo:rerun-if-changed={DIST}");
        let mut files = Vec::new();
        gather(dist, &mut files)?;
        files.sort();
        for (number, path) in files.iter().enumerate() {
            let name = path.strip_prefix(dist).unwrap_or(path).to_string_lossy().replace('\\', "/");
            let bytes = fs::read(path)?;
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            let whole = out.join(format!("{number}"));
            fs::write(&whole, &bytes)?;
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&bytes)?;
            let compressed = encoder.finish()?;
            let gzip = if compressed.len() * 100 < bytes.len() * WORTH_PERCENT {
                let place = out.join(format!("{number}.gz"));
                fs::write(&place, &compressed)?;
                format!("Some(include_bytes!({place:?}))")
            } else {
                "None".to_owned()
            };
            list.push_str(&format!(
                "    Part {{ name: {name:?}, etag: \"\\\"{:x}\\\"\", bytes: include_bytes!({whole:?}), gzip: {gzip} }},\n",
                hasher.finish()
            ));
        }
    }
    list.push_str("]\n");
    fs::write(out.join("ui.rs"), list)
}

fn gather(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else if path.file_name().is_some_and(|name| name != STAMP) {
            files.push(path);
        }
    }
    Ok(())
}
