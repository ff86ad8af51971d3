//! What packages do with the context, with tables of results and with regular expressions, done by both programs.

use std::fs;

use super::Pair;

/// A model whose columns are texts of what templates give.
fn telling(parts: &[&str]) -> String {
    let columns = parts.iter().enumerate().map(|(at, part)| format!("$text${{{{ {part} }}}}$text$ as c{at}"));
    format!("select {}", columns.collect::<Vec<_>>().join(",\n"))
}

#[test]
fn what_is_put_into_the_context_is_seen_by_what_is_called_from_then_on() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "macros/names.sql",
        "{% macro said() %}{{ context.get('word', 'none') }}{% endmacro %}\n\
         {% macro by_name() %}{{ word | default('unheard') }}{% endmacro %}\n\
         {% macro behind() %}{{ by_name() }}{% endmacro %}\n\
         {% macro change(word_now) %}{% do context.update({'word': word_now, 'other': 1}) %}\
         {{ word | default('not here') }} {{ by_name() }} {{ behind() }} {{ said() }} {{ context['word'] }} {{ context.other }}{% endmacro %}\n\
         {% macro taken() %}{{ context.pop('word') }} {{ by_name() }} {{ context.pop('word', 'gone') }} {{ context.setdefault('word', 'again') }} \
         {{ context.setdefault('word', 'not') }} {{ behind() }}{% endmacro %}",
    );
    pair.write(
        "models/names.sql",
        &telling(&[
            "said()",
            "change('first')",
            "word | default('not here')",
            "by_name()",
            "render('{{ word }}{{ by_name() }}')",
            "change('second')",
            "'word' in context",
            "'unheard_of' in context",
            "taken()",
            "context is mapping",
            "context.update(said='as a variable') or said()",
            "bakery.get('by_name')()",
            "bakery.get('nothing') is none",
            "bakery['said'] is callable",
            "'said' in bakery",
            "'nothing' in bakery",
            "bakery.keys() | list | length > 4",
        ]),
    );
    // Another node has its own.
    pair.write("models/other_names.sql", &telling(&["said()", "by_name()", "change('third')"]));
    pair.both(&["run", "--select", "names", "other_names"]);
}

#[test]
fn a_materialization_runs_what_it_puts_into_the_context() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "macros/made.sql",
        "{% materialization table, default %}\
         {% do context.update({'sql': 'select 7 as seven from (' ~ sql ~ ') as query', 'post_hooks': []}) %}\
         {{ return(dbt.materialization_table_default()) }}{% endmaterialization %}\n\
         {% materialization test, default %}\
         {% do context.update({'sql': 'select * from (' ~ sql ~ ') as rows_found limit 1'}) %}\
         {{ return(dbt.materialization_test_default()) }}{% endmaterialization %}",
    );
    pair.write(
        "models/seven.sql",
        "{{ config(materialized='table', post_hook='select no_such_column') }} select 1 as n from range(3)",
    );
    pair.write("tests/many.sql", "select n from range(9) as r(n)");
    pair.both(&["build", "--threads", "1", "--select", "seven", "many"]);
}

#[test]
fn tables_are_printed_as_agate_prints_them() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let query = "select * from (values (1, 'a \"quoted\", word', 1234567.5::decimal(12, 2), 0.12345::double, date '2024-02-29', \
                 timestamp '2024-01-01 10:00:00', true, null), (-20, 'größe, and a text that is far too long for it', -0.5, -1e3, null, \
                 timestamp '2024-01-01 10:00:00.5', false, null), (null, null, 3, 2, date '2024-01-01', null, null, null)) \
                 as v(n, word, amount, share, day, moment, yes, nothing) order by n nulls last";
    pair.write(
        "macros/printed.sql",
        &format!(
            "{{% macro printed() %}}{{% set found = run_query(\"{}\") %}}\
             {{% do found.print_table() %}}{{% do found.print_table(max_rows=2, max_columns=none, max_column_width=none, max_precision=none) %}}\
             {{% do found.print_table(max_column_width=12, max_precision=1) %}}{{% do found.select(['n', 'word']).print_table(1) %}}\
             {{% do found.print_csv() %}}{{% do found.limit(2).exclude(['day', 'moment']).print_csv() %}}\
             {{% do found.rename({{'n': 'number'}}).limit(1, 2).select(['number', 'yes']).print_csv() %}}{{% do found.select(['nothing']).print_csv() %}}\
             {{% for kind in found.column_types %}}{{{{ print('type ' ~ loop.index ~ ' ' ~ (kind.jsonify(found.rows[0][loop.index0]) | tojson)) }}}}{{% endfor %}}\
             {{% do found.print_json() %}}{{{{ print('') }}}}{{% endmacro %}}",
            query.replace('"', "\\\"")
        ),
    );
    let lines = |output: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(output).into_owned();
        // Lines of the programs' own begin with the time.
        let is_log =
            |line: &str| line.contains("[0m") || line.get(2..3) == Some(":") || line.trim().is_empty();
        text.lines().filter(|line| !is_log(line)).map(str::to_owned).collect()
    };
    let arguments = ["run-operation", "printed"];
    let (theirs, ours) = (pair.dbt(&arguments), pair.ours(&arguments));
    assert!(theirs.status.success() && ours.status.success(), "{}", String::from_utf8_lossy(&ours.stdout));
    let (theirs, ours) = (lines(&theirs.stdout), lines(&ours.stdout));
    assert!(theirs.len() > 30, "{theirs:#?}");
    assert_eq!(ours, theirs, "{ours:#?}");
}

#[test]
fn regular_expressions_are_pythons() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write(
        "macros/found.sql",
        r#"{% macro marked(match) %}<{{ match.group(0) }}>{% endmacro %}
{% macro references(text) %}
  {%- set pattern = '(?ix)
      # neither "is distinct " nor
      (?<!distinct\s)
      (from|join)\s+   # a word, and blanks
      ([\[`\"\']?)     # (what opens a name
      (\w+)
      ([\]`\"\']?)(?=\s|$)
      ' -%}
  {{ return(modules.re.findall(pattern, text)) }}
{% endmacro %}"#,
    );
    let expressions = [
        r"references('select 1 from a join \'b\' on x is distinct from c where y from [d] from e.f') | tojson",
        r"modules.re.findall('({{\s*var\s*\([^)]+\)\s*}})', 'from {{ \'{{ var(1) }}\' }} x') | tojson",
        r"modules.re.findall('a{,2}b|x{2}|{y}|{', 'aab xx {y} {') | tojson",
        r"modules.re.findall('[[&&~-]+|[]a]', 'x[&& ~-] a') | tojson",
        r"modules.re.findall('(\w)\\1', 'aabbc') | tojson",
        r"modules.re.findall('x*', 'abxd') | tojson",
        r"modules.re.sub('x*', '-', 'abxd')",
        r"modules.re.sub('(?P<word>\w+) (\w+)', '\\2 \\g<word> \\\\', 'one two three four', count=1)",
        r"modules.re.sub('\d+', marked, 'a1b22')",
        r"modules.re.subn('[aeiou]', '', 'a vowel') | string",
        r"modules.re.split('([,;])\s*', 'a, b;c,d', 2) | tojson",
        r"modules.re.split('(?<=[a-z])(?=[A-Z])', 'camelCaseWord') | tojson",
        r"modules.re.match('b', 'ab') is none",
        r"modules.re.fullmatch('a|ab', 'ab').span() | string",
        r"modules.re.search('ß(x)?', 'größe').span() | string",
        r"modules.re.search('ß(x)?', 'größe').span(1) | string",
        r"modules.re.search('(a)(?P<b>x)?', 'cab').groups('none') | string",
        r"modules.re.search('(a)(?P<b>x)?', 'cab').groupdict() | string",
        r"modules.re.search('(a)(b)', 'cab')[2]",
        r"modules.re.search('(a)(b)', 'cab').group(2, 1) | string",
        r"modules.re.search('o$', 'zero\n') is none",
        r"modules.re.search('o\Z', 'zero\n') is none",
        r"modules.re.findall('^\w', 'a\nb', modules.re.M) | tojson",
        r"modules.re.findall('A.b', 'a\nb A\nB', modules.re.S + modules.re.I) | tojson",
        r"modules.re.compile('a(?!b)', modules.re.I).findall('ab Ac') | tojson",
        r"modules.re.compile('\s+').sub(' ', 'a   b')",
        r"modules.re.compile('x+').pattern",
        r"modules.re.escape('a.b-c d%_')",
        r"modules.re.findall('\<a\>|\-|\_', '<a> - _') | tojson",
        r"modules.re.sub('(?i)[^a-z0-9]+', '_', 'Größe & Maß')",
    ];
    let mut model = telling(&expressions);
    model.push_str(", $text${% for found in modules.re.finditer('a(.)', 'ab ac') %}{{ found.start() }}{{ found.group(1) }}{{ found.end(1) }} {% endfor %}$text$ as iterated");
    pair.write("models/found.sql", &model);
    pair.both(&["run", "--select", "found"]);
}

#[test]
fn what_an_invocation_was_called_with_is_told() {
    let pair = Pair::new("shop", "bakery.duckdb");
    let told = [
        "which",
        "vars",
        "select",
        "exclude",
        "full_refresh",
        "indirect_selection",
        "introspect",
        "print",
        "write_json",
        "warn_error_options",
        "cache_selected_only",
        "target",
        "threads",
        "quiet",
        "empty",
        "fail_fast",
        "store_failures",
        "invocation_command",
    ];
    let mut lines: Vec<String> = told
        .iter()
        .map(|name| {
            format!("{{{{ print('arg {name} ' ~ (invocation_args_dict.get('{name}', 'none') | tojson)) }}}}")
        })
        .collect();
    for flag in [
        "FULL_REFRESH",
        "FAIL_FAST",
        "INDIRECT_SELECTION",
        "DEBUG",
        "QUIET",
        "VERSION_CHECK",
        "INVOCATION_COMMAND",
        "WHICH",
    ] {
        lines.push(format!("{{{{ print('flag {flag} ' ~ flags.{flag}) }}}}"));
    }
    lines.push("{{ print('envs ' ~ (dbt_metadata_envs | tojson)) }}{{ print('in ' ~ ('vars' in invocation_args_dict)) }}".into());
    pair.write(
        "macros/told.sql",
        &format!("{{% macro told() %}}{{% if execute %}}{}{{% endif %}}{{% endmacro %}}", lines.join("")),
    );
    let project = fs::read_to_string(pair.at("ours").join("dbt_project.yml")).unwrap();
    pair.write("dbt_project.yml", &format!("{project}\non-run-end: ['{{{{ told() }}}}']\n"));
    for arguments in [
        &["build", "--select", "loaves", "patrons", "--vars", "{a: 1, b: x}", "--full-refresh"][..],
        &[
            "run",
            "--select",
            "stg_patrons",
            "--exclude",
            "stg_sales",
            "--fail-fast",
            "--threads",
            "1",
            "--target",
            "dev",
        ],
    ] {
        let (mut theirs, mut ours) = (pair.their_command(arguments), pair.our_command(arguments));
        theirs.env("DBT_ENV_CUSTOM_ENV_RUN", "7");
        ours.env("DBT_ENV_CUSTOM_ENV_RUN", "7");
        let (theirs, ours) = (theirs.output().unwrap(), ours.output().unwrap());
        let lines = |output: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(output).into_owned();
            let is_told =
                |line: &&str| ["arg ", "flag ", "envs ", "in "].iter().any(|word| line.starts_with(word));
            text.lines().filter(is_told).map(str::to_owned).collect()
        };
        let (theirs, ours_told) = (lines(&theirs.stdout), lines(&ours.stdout));
        assert!(theirs.len() > 20, "{theirs:#?}");
        assert_eq!(ours_told, theirs, "{}", String::from_utf8_lossy(&ours.stdout));
    }
    let results = fs::read_to_string(pair.at("ours").join("target/run_results.json")).unwrap();
    assert!(results.contains("\"env\":{\"RUN\":\"7\"}") || results.contains("\"RUN\": \"7\""), "{results}");
}

#[test]
fn spines_and_ranges_of_dates_have_the_dates_that_dbt_gives() {
    let pair = Pair::new("shop", "bakery.duckdb");
    for (name, part, ends) in [
        ("days", "day", ["date '2024-02-25'", "date '2024-03-05'"]),
        ("months", "month", ["date '2024-01-15'", "date '2025-01-01'"]),
        ("hours", "hour", ["timestamp '2024-01-01 22:30:00'", "timestamp '2024-01-02 03:00:00'"]),
    ] {
        let [first, last] = ends;
        let spine = format!("{{{{ config(materialized='table') }}}} {{{{ dbt.date_spine('{part}', \"{first}\", \"{last}\") }}}}");
        pair.write(&format!("models/{name}.sql"), &spine);
    }
    pair.write(
        "models/ranges.sql",
        &telling(&[
            "dbt.dates_in_range('20240227', '20240301')",
            "dates_in_range('2024-01-01', in_fmt='%Y-%m-%d')",
            "dates_in_range('20240101', '20240102', out_fmt='%d.%m.%y')",
            "partition_range('20240101,20240103')",
            "partition_range(20240101)",
            "convert_datetime(' 2024-01-05 ', '%Y-%m-%d')",
            "dbt.get_powers_of_two(9)",
            "dbt.get_intervals_between(\"date '2024-01-01'\", \"date '2024-01-09'\", 'day') if execute",
        ]),
    );
    let arguments = ["run", "--select", "days", "months", "hours", "ranges"];
    let told = pair.ends_alike(&arguments);
    assert_eq!(pair.tables("ours"), pair.tables("theirs"), "{told}");
    for wrong in
        ["dates_in_range('20240102', '20240101')", "partition_range('1,2,3')", "dbt.get_powers_of_two(0)"]
    {
        pair.write("models/ranges.sql", &telling(&[wrong]));
        pair.ends_alike(&["run", "--select", "ranges"]);
    }
}
