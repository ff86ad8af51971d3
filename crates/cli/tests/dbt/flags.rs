//! Flags about what is told, and what is left behind.

use crate::Pair;

#[test]
fn what_templates_print_and_what_is_written_can_be_left_out() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "models/speaks.sql",
        "{% if execute %}{{ print('spoken') }}{{ log('logged ' ~ flags.WRITE_JSON, info=true) }}{% endif %} select 1 as a",
    );
    let said = |arguments: &[&str], words: [&str; 2]| {
        let (theirs, ours) = (pair.dbt(arguments), pair.ours(arguments));
        assert_eq!((ours.status.code(), theirs.status.code()), (Some(0), Some(0)), "{arguments:?}");
        for output in [ours, theirs] {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_said = |word: &str| text.contains(word.trim_start_matches('!')) != word.starts_with('!');
            assert!(words.iter().all(|word| is_said(word)), "{words:?}:\n{text}");
        }
    };
    let written = |side: &str| {
        ["manifest.json", "run_results.json"].map(|name| pair.at(side).join("target").join(name).exists())
    };
    said(&["--no-print", "run", "-s", "speaks", "--no-write-json"], ["!spoken", "logged False"]);
    assert_eq!((written("ours"), written("theirs")), ([false; 2], [false; 2]));
    said(&["run", "-s", "speaks", "--no-print", "--print"], ["spoken", "logged True"]);
    assert_eq!((written("ours"), written("theirs")), ([true; 2], [true; 2]));
}
