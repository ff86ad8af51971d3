//! Models whose rows are in files, as dbt-duckdb has them.

use std::{collections::BTreeMap, fs, path::Path};

use super::Pair;

const ROWS: &str = "select * from (values (1, 'a', date '2024-01-01', 1.50::decimal(9, 2)), (2, 'b;c', null, null), (3, null, date '2024-03-01', 3.25)) t(id, name, day, price)";

/// The files below a directory, but for what is in those that each run writes; of partitions only where they are.
fn files(dir: &Path) -> BTreeMap<String, usize> {
    fn walk(dir: &Path, base: &Path, found: &mut BTreeMap<String, usize>) {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(base).unwrap().display().to_string();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                let name = name
                    .rsplit_once('/')
                    .filter(|(dir, _)| dir.contains('='))
                    .map_or(name.clone(), |(dir, _)| dir.into());
                *found.entry(name).or_default() += 1;
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

#[test]
fn models_in_files_are_written_where_and_how_they_say() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let models = [
        ("plain", ""),
        ("as_csv", "format='csv', delimiter='|'"),
        ("as_json", "format='json'"),
        ("placed", "location='out/placed_{{ target.name }}.csv.gz'"),
        ("by_options", "location='out/rows', options={'format': 'csv', 'delimiter': ';', 'null': 'none', 'header': true}, csv_read_options={'delim': ';', 'nullstr': 'none'}"),
        ("parted", "location='out/parted', options={'partition_by': 'id, name', 'overwrite_or_ignore': 1}"),
        ("parted_too", "options={'partition_by': 'id', 'overwrite_or_ignore': true}, parquet_read_options={'hive_partitioning': true, 'union_by_name': true}"),
        ("compressed", "format='json', options={'compression': 'gzip'}"),
        ("hooked", "pre_hook='create schema if not exists hooked', post_hook='create or replace table hooked.rows as select count(*) as n from {{ this }}', persist_docs={'relation': true}"),
        ("wrong_format", "format='xlsx'"),
        ("wrong_options", "options=['a']"),
    ];
    let profiles = fs::read_to_string(pair.at("ours").join("profiles.yml")).unwrap();
    let rooted = format!("{}\n      external_root: files\n", profiles.trim_end());
    pair.write("profiles.yml", &rooted);
    for dir in ["out/keep", "files/keep"] {
        pair.write(dir, "");
    }
    for (name, config) in models {
        let more = if config.is_empty() { "" } else { ", " };
        let empty = "{% if var('none', false) %} where false{% endif %}";
        pair.write(
            &format!("models/files/{name}.sql"),
            &format!("{{{{ config(materialized='external'{more}{config}) }}}} {ROWS}{empty}"),
        );
    }
    pair.write("models/files/files.yml", "models: [{name: hooked, description: in a file}]\n");
    pair.write("models/files/after.sql", "{{ config(materialized='table') }} select count(*) as n, max(price) as price from {{ ref('plain') }}");
    pair.write("macros/own.sql", "");
    for vars in ["{none: false}", "{none: true}", "{none: false}"] {
        pair.both(&[
            "run",
            "--threads",
            "1",
            "--select",
            "files",
            "--vars",
            vars,
            "--exclude",
            if vars.contains("true") { "parted parted_too" } else { "nothing" },
        ]);
        assert_eq!(files(&pair.at("ours").join("out")), files(&pair.at("theirs").join("out")));
        assert_eq!(files(&pair.at("ours").join("files")), files(&pair.at("theirs").join("files")));
    }
    // A table makes way for one, and one for a table; how a file is written can be the project's own.
    pair.write("models/files/after.sql", "{{ config(materialized='external') }} select 1 as n");
    pair.write("models/files/plain.sql", "{{ config(materialized='table') }} select 1 as n");
    pair.write("macros/own.sql", "{% macro write_to_file(relation, location, options) %}{% call statement('written') %}copy (select *, 'own' as by from {{ relation }}) to '{{ location }}' ({{ options }}){% endcall %}{% endmacro %}");
    pair.both(&["run", "--threads", "1", "--select", "after", "plain", "as_csv"]);
    // What is not done of them is refused.
    fs::write(
        pair.at("ours").join("models/files/plain.sql"),
        "{{ config(materialized='external', plugin='sheets') }} select 1 as n",
    )
    .unwrap();
    let told = pair.ours(&["run", "--select", "plain"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("MS9108") && told.contains("`plugin` of an external model"), "{told}");
}
