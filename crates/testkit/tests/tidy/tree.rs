//! The checkout as the rules see it: the files that git knows or would add, and what cargo says about the packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use serde_json::Value;

/// The root of the checkout. As cargo says it when the test runs, not as it was compiled: checkouts that share a target directory share this program.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // Run by hand, the directory is the package's, as cargo would have it.
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env::current_dir().unwrap(), PathBuf::from);
        package.ancestors().nth(2).unwrap().to_owned()
    })
}

/// Every file of the checkout that is not ignored, relative to its root.
pub(crate) fn files() -> Vec<String> {
    let listing =
        stdout(Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]));
    listing.split_terminator('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

/// The files whose name ends so, with their text.
pub(crate) fn texts(ending: &str) -> Vec<(String, String)> {
    let paths = files().into_iter().filter(|path| path.ends_with(ending));
    paths.filter_map(|path| Some((path.clone(), fs::read_to_string(root().join(path)).ok()?))).collect()
}

/// What `cargo metadata` says, for the platform that the prebuilt library is for.
pub(crate) fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform=x86_64-unknown-linux-gnu",
        ]);
        serde_json::from_str(&stdout(&mut cargo)).unwrap()
    })
}

/// The packages, ours (`true`) or the dependencies (`false`).
pub(crate) fn packages(ours: bool) -> impl Iterator<Item = &'static Value> {
    // Packages from elsewhere have a source, members of the workspace have none.
    metadata()["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(move |package| package["source"].is_null() == ours)
}

/// Fails with everything that was found, not with the first.
#[track_caller]
pub(crate) fn assert_none(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

fn stdout(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
