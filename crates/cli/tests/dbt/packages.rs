//! The packages that most projects have, from their own sources. They are in no registry that a test may rely on, and none of them is copied here: whoever has them names the folder
//! that holds theirs, `make packages PACKAGES=folder`.

use std::{env, path::PathBuf};

use super::{copy, Pair};

/// As their folders are called.
const PACKAGES: [&str; 5] = ["dbt_utils", "dbt_date", "dbt_expectations", "audit_helper", "codegen"];

/// Where they are.
const FOLDER: &str = "MILLSTREAM_DBT_PACKAGES";

#[test]
fn the_kitchen_is_built_with_public_packages_as_dbt_builds_it() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        eprintln!("not run: {FOLDER} names no folder with {}", PACKAGES.join(", "));
        return;
    };
    let folder = folder.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let pair = Pair::new("kitchen", "kitchen.duckdb");
    // Put in place, not fetched: what they ask for themselves would come from a registry.
    for name in PACKAGES {
        let package = folder.join(name);
        assert!(package.join("dbt_project.yml").exists(), "{} is no dbt package", package.display());
        for side in ["theirs", "ours"] {
            copy(&package, &pair.at(side).join("dbt_packages").join(name));
        }
    }
    pair.both(&["seed"]);
    pair.both(&["run"]);
    pair.both(&["test"]);
    let models = r#"{"model_names": ["facts", "dim"], "upstream_descriptions": true}"#;
    for arguments in [
        ["run-operation", "codegen.generate_model_yaml", "--args", models],
        [
            "run-operation",
            "codegen.generate_base_model",
            "--args",
            r#"{"source_name": "s", "table_name": "t"}"#,
        ],
    ] {
        pair.ends_alike(&arguments);
    }
}
