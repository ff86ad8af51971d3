//! What macros of packages ask of relations, columns and rows before they write SQL.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use super::Pair;

const MACROS: &str = r#"
{% macro kind_of(it) %}{{ return('relation' if it is mapping and it.get('metadata', {}).get('type', '').endswith('Relation') else 'other') }}{% endmacro %}
"#;

const RELATIONS: &str = r#"
{% set loaves = ref('loaves') %}
{% set made = api.Relation.create(database=target.database, schema=target.schema, identifier='loaves', type='table') %}
select '{{ kind_of(loaves) }} {{ kind_of(made) }} {{ kind_of(this) }} {{ kind_of("loaves") }} {{ kind_of({}) }}' as kinds,
  '{{ loaves.get("metadata").type }} {{ loaves.get("nothing", "-") }} {{ loaves.get("identifier") }}' as got,
  '{{ api.Relation.add_ephemeral_prefix("x") }}' as prefixed
"#;

const COLUMNS: &str = r#"
-- depends_on: {{ ref('typed') }}
{% for column in adapter.get_columns_in_relation(ref('typed')) + [api.Column('t', 'varchar', 7), api.Column.create('u', 'string'), api.Column.create('v', 'decimal')] %}
{{ 'union all ' if not loop.first }}select '{{ column.name }}' as name, '{{ column.dtype }} / {{ column.data_type }}' as type,
  '{{ column.is_string() }} {{ column.is_number() }} {{ column.is_numeric() }} {{ column.is_integer() }} {{ column.is_float() }} {{ column.is_struct() }}' as kinds,
  '{{ column.char_size }} {{ column.numeric_precision }} {{ column.numeric_scale }} {{ column.string_size() if column.is_string() }} {{ column.literal(1) }}' as sizes,
  '{{ column.flatten() | map(attribute="name") | join(" ") }} {{ column.fields | map(attribute="dtype") | join(" ") }}' as inner_columns,
  '{{ api.Column.string_type(9) }} {{ api.Column.numeric_type("decimal", 9, 2) }} {{ api.Column.numeric_type("decimal", none, none) }}' as types
{% endfor %}
"#;

const TYPED: &str = "
select 1 as a, 1::bigint as b, 1::hugeint as c, 1::utinyint as d, 1.5::decimal(9,2) as e, 1.5::double as f, 1.5::real as g, 'x' as h,
  true as i, date '2024-02-29' as j, timestamp '2024-02-29 10:00:00' as k, [1, 2] as l, {'m': 1, 'n': {'o': 'x', 'p': 1.5::decimal(4,1)}} as q
";

const ROWS: &str = r#"
{% set query %}
select date '2024-02-29' as d, timestamp '2024-02-29 10:20:30.5' as t, timestamp '2024-02-29 10:20:00' as u, 12.50::decimal(9,2) as n, -0.05::decimal(9,2) as m, 'x' as s, null::date as z
{% endset %}
{% set row = run_query(query).rows[0] if execute else none %}
{% set columns = run_query(query).columns if execute else none %}
{% call statement('same', fetch_result=true) %}{{ query }}{% endcall %}
select
{% if execute %}
  '{{ row.d }} {{ row.t }} {{ row.u }} {{ row.n }} {{ row.m }} {{ row.z }}' as texts,
  '{{ row.d.strftime("%d.%m.%Y") }} {{ row.t.year }} {{ (row.t - row.u).seconds }} {{ row.d + modules.datetime.timedelta(days=1) }}' as times,
  '{{ row.d is string }} {{ row.n is number }} {{ row.n is string }} {{ row.n > 12 }} {{ row.m < 0 }} {{ row.n == 12.5 }} {{ [row.n, row.m, 3] | sort | first }}' as kinds,
  '{{ row.n + 1 }} {{ 1 - row.n }} {{ row.n * 2 }} {{ row.n * row.m }} {{ -row.n }} {{ row.m | abs }} {{ row.n | int }} {{ row.n | float }} {{ "%.1f" | format(row.n) }} {{ row.n - row.m }}' as numbers,
  '{% for name, column in columns.items() %}{{ name }} {{ column.values() | length }} {{ columns.dict()[name].name }} {% endfor %}' as by_name,
  $${{ row.values() | list }}$$ as listed, $${{ load_result('same')['data'][0] }}$$ as raw
{% else %} 1 as none {% endif %}
"#;

/// In words of both warehouses.
pub(super) const NUMBERS: &str = r#"
{% set query %}
select cast(1.5 as double precision) as a, cast(2 as double precision) as b, cast(1e20 as double precision) as c, cast(0.00001 as double precision) as d,
  cast(0.0000001 as double precision) as e, cast(123456789012345680 as double precision) as f, cast(7 as numeric(9, 0)) as g, cast(1.50 as numeric(9, 2)) as h,
  cast(-0.25 as real) as i, 3 as j, cast(1e-9 as double precision) as k
{% endset %}
{% if execute %}
{% set table = run_query(query) %}
{% set row = table.rows[0] %}
select $${{ row.values() | list }}$$ as listed, $${{ table.columns[0].values() }} {{ table.columns[6].values() | list }}$$ as by_column,
  '{{ row.values() | join(" ") }}' as joined,
  '{{ row.a + 1 }} {{ row.a * 2 }} {{ 1 - row.b }} {{ row.a + row.h }} {{ row.g + 1 }} {{ row.g * row.a }} {{ -row.a }} {{ row.i | abs }} {{ [row.a, row.b] | sum }}' as computed,
  '{{ row.a is number }} {{ row.a is string }} {{ row.b == 2 }} {{ row.a > 1 }} {{ row.a < row.b }} {{ row.g == 7 }} {{ row.i < 0 }} {{ [row.b, row.a, row.j] | sort | list | join(" ") }}' as compared,
  '{{ row.a | int }} {{ row.b | int }} {{ row.a | float }} {{ row.g | int }} {{ row.c | float }} {{ "%.2f" | format(row.a) }} {{ "%d" | format(row.b) }} {{ "%s" % row.b }}' as turned,
  '{{ row.a | round }} {{ row.h | round(1) }} {{ row.i | round(1) }} {{ row.a | round(3) }} {{ row.b | round }} {{ row.a | round(0, "ceil") }} {{ row.f | round(-2) }}' as rounded,
  '{{ row.a / 3 }} {{ row.h / row.g }} {{ 10 / row.g }} {{ row.g // 2 }} {{ row.g % 4 }} {{ -row.g % 4 }} {{ -7 // row.a }} {{ row.h ** 2 }} {{ row.g ** -1 }} {{ 2 ** row.g }}' as divided,
  '{{ row.c * row.c }} {{ row.k / 7 }} {{ row.g / 7 * 3 }} {{ row.i * 0 }} {{ row.f / row.g }} {{ row.f * row.f }} {{ row.f * row.f * row.k }} {{ row.f + row.k }} {{ -row.f * row.f }}' as long,
  '{{ row.a == 1.5 }} {{ row.k == 0.000000001 }} {{ row.h > 1.4 }} {{ 2.5 > row.a }} {{ row.f > 123456789012345679 }} {{ row.f / 10 != row.f // 10 }} {{ row.c in [1, 100000000000000000000.0] }}' as exactly,
  '{{ (row.g / 3) | round(2) }} {{ (row.g / 2) | round }} {{ (row.g / 3) | int }} {{ (row.g / 3) | float }} {{ row.g | round(1, "ceil") }} {{ (row.g / 3) | round(1, "floor") }} {{ (-row.g / 3) | int }}' as cut,
  '{{ "{:.2f}".format(row.g / 3) }} {{ "{:,.1f}".format(row.f) }} {{ "%.3f" | format(row.g / 3) }} {{ "{:.1f}".format(row.i) }} {{ (row.i / 3) | abs }} {{ [row.g / 3, row.a] | min }} {{ [row.g / 3, row.a / 3] | sum }}' as formatted,
  '{% for n in range(row.b | int) %}{{ n }}{% endfor %} {{ row.a if row.a else "none" }} {{ [row.a, row.b] | max }}' as used
{% else %} select 1 as none {% endif %}
"#;

/// What Python leaves undone with a decimal.
const UNDONE: [&str; 5] = ["it * 1.5", "1.5 - it", "it / 0", "it % 0", "it ** 0.5"];

const DATES: &str = r#"
select {% for part in ['day', 'week', 'Month', 'quarter', 'year'] %}
  {{ dbt.dateadd(part, -2, 'd') }} as by_{{ part }}, {{ dbt.last_day('d', part | lower) }} as last_of_{{ part }}{{ ',' if not loop.last }}
{% endfor %} from {{ ref('typed') }} cross join (select date '2024-02-29' as d)
"#;

#[test]
fn relations_columns_and_rows_answer_macros_as_dbts_do() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("macros/asked.sql", MACROS);
    pair.write("models/asked/relations.sql", RELATIONS);
    pair.write("models/asked/typed.sql", &format!("{{{{ config(materialized='table') }}}}{TYPED}"));
    pair.write("models/asked/columns.sql", COLUMNS);
    pair.write("models/asked/rows.sql", ROWS);
    pair.write("models/asked/dates.sql", DATES);
    pair.write("models/asked/numbers.sql", NUMBERS);
    for (number, undone) in UNDONE.iter().enumerate() {
        let text = format!(
            "{{% if execute %}}{{% set it = run_query('select 2.50::decimal(9,2) as n').rows[0].n %}}select '{{{{ {undone} }}}}' as a{{% endif %}}"
        );
        pair.write(&format!("models/asked/undone_{number}.sql"), &text);
    }
    pair.both(&["build", "--select", "loaves", "asked"]);
    let statuses = pair.statuses("ours");
    let failed = |name: &str| {
        let of_name = statuses.iter().filter(|(id, _)| id.contains(name));
        of_name.filter(|(_, (status, _))| status == "error").count()
    };
    assert_eq!((failed("undone"), failed("numbers")), (UNDONE.len(), 0), "{statuses:?}");
}

#[test]
fn results_and_manifest_name_the_table_that_a_test_keeps_its_rows_in() {
    let pair = Pair::new("shop", "bakery.duckdb");
    pair.write("models/asked/kept.sql", "select cast(null as integer) as a");
    let tests = "models: [{name: kept, columns: [{name: a, data_tests: [{not_null: {config: {store_failures: true}}}, {unique: {config: {store_failures_as: ephemeral}}}]}]}]\n";
    pair.write("models/asked/kept.yml", tests);
    pair.both(&["build", "--select", "kept"]);
    let named = |side: &str, file: &str| -> BTreeMap<String, Value> {
        let text = fs::read_to_string(pair.at(side).join("target").join(file)).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let nodes: Vec<&Value> = match &found["results"] {
            Value::Array(results) => results.iter().collect(),
            _ => found["nodes"].as_object().unwrap().values().collect(),
        };
        let kept = nodes.into_iter().filter(|node| node["unique_id"].as_str().unwrap().contains("kept"));
        kept.map(|node| (node["unique_id"].to_string(), node["relation_name"].clone())).collect()
    };
    for file in ["run_results.json", "manifest.json"] {
        let (theirs, ours) = (named("theirs", file), named("ours", file));
        assert_eq!((ours.len(), &ours), (3, &theirs), "{file}");
    }
}
