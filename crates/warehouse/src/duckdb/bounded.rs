//! Functions that make a long value of a short one, with a bound.
//!
//! DuckDB's memory limit counts what its operators keep, not the values that a function is making: `repeat('x', 1000000000)` took the process 4 GB, most of it
//! before the query ran, for constants are folded while it is planned. Nothing interrupts a function. So on the connections of readers each name stands for a
//! macro that looks at the length first. It is no wall: functions can be nested, and a vector has 2,048 values.

/// Length of a value from which it is refused: that of `value_max` by default, beyond which no value reaches the warehouse.
const BYTES_MAX: u64 = 64 << 20;

/// Entries of a list from which it is refused: as many bytes, of numbers.
const ENTRIES_MAX: u64 = BYTES_MAX / 8;

/// What their errors begin with, before they say what is too long.
pub(super) const TOO_LONG: &str = "this makes ";

/// Makes the macros, on a connection of its own.
pub(super) fn macros() -> String {
    let text = |count: &str| {
        format!(
            "CASE WHEN {count} > {BYTES_MAX} THEN error('{TOO_LONG}a value of more than {} MB') ELSE n END",
            BYTES_MAX >> 20
        )
    };
    let entries = |count: &str, end: &str| {
        format!("CASE WHEN {count} > {ENTRIES_MAX} THEN error('{TOO_LONG}a list of more than {ENTRIES_MAX} entries') ELSE {end} END")
    };
    // Between two numbers, by steps; the last one belongs to it or not. Steps of nothing are refused by the function itself.
    let series = |name: &str| {
        let (one, two) = (entries("b", "b"), entries("b::HUGEINT - a", "b"));
        let three = entries("s <> 0 AND (b::HUGEINT - a) // s", "b");
        let times = entries("epoch(s) <> 0 AND (epoch(b) - epoch(a)) / epoch(s)", "b");
        format!(
            "CREATE TEMP MACRO {name}(b BIGINT) AS system.main.{name}({one}), \
             (a BIGINT, b BIGINT) AS system.main.{name}(a, {two}), \
             (a BIGINT, b BIGINT, s BIGINT) AS system.main.{name}(a, {three}, s), \
             (a TIMESTAMP, b TIMESTAMP, s INTERVAL) AS system.main.{name}(a, {times}, s), \
             (a TIMESTAMPTZ, b TIMESTAMPTZ, s INTERVAL) AS system.main.{name}(a, {times}, s);"
        )
    };
    let resize = |name: &str| {
        let size = entries("n", "n");
        format!("CREATE TEMP MACRO {name}(l, n) AS system.main.{name}(l, {size}), (l, n, v) AS system.main.{name}(l, {size}, v);")
    };
    let pad =
        |name: &str| format!("CREATE TEMP MACRO {name}(s, n, p) AS system.main.{name}(s, {}, p);", text("n"));
    [
        format!(
            "CREATE TEMP MACRO repeat(s, n) AS system.main.repeat(s, {});",
            text("n::HUGEINT * strlen(s::VARCHAR)")
        ),
        format!("CREATE TEMP MACRO bitstring(s, n) AS system.main.bitstring(s, {});", text("n")),
        pad("lpad"),
        pad("rpad"),
        resize("list_resize"),
        resize("array_resize"),
        series("range"),
        series("generate_series"),
    ]
    .concat()
}

/// The functions that have a bound: called by a schema, the macro would not be found.
pub(super) const BOUNDED: [&str; 8] =
    ["array_resize", "bitstring", "generate_series", "list_resize", "lpad", "range", "repeat", "rpad"];

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;
    use crate::duckdb::engine::{Connection, Database};

    fn connection() -> Connection {
        let connection = Database::open(std::path::Path::new(":memory:"), &[]).unwrap().connect().unwrap();
        connection.run(&macros()).unwrap();
        connection
    }

    #[test]
    fn what_is_short_is_made_as_ever() {
        let connection = connection();
        for (call, expected) in [
            ("repeat('ab', 3)", "ababab"),
            ("repeat([1], 2)", "[1, 1]"),
            ("repeat('\\x00'::BLOB, 2)", "\\x00\\x00"),
            ("coalesce(repeat(NULL, 3), repeat('x', NULL), 'none')", "none"),
            ("lpad('x', 3, '-') || rpad('x', 2, '-')", "--xx-"),
            ("bitstring('1', 3)", "001"),
            ("list_resize([1], 2)", "[1, NULL]"),
            ("array_resize([1], 2, 7)", "[1, 7]"),
            ("range(3)", "[0, 1, 2]"),
            ("range(2::TINYINT, 4)", "[2, 3]"),
            ("range(8, 3, -2)", "[8, 6, 4]"),
            ("range(1, 5, 0)", "[]"),
            ("generate_series(1, 3)", "[1, 2, 3]"),
            ("range(DATE '2020-01-01', DATE '2020-01-02', INTERVAL 12 HOURS)", "['2020-01-01 00:00:00', '2020-01-01 12:00:00']"),
            ("len(generate_series(TIMESTAMPTZ '2020-01-01 00:00:00+00', TIMESTAMPTZ '2020-02-01 00:00:00+00', INTERVAL 1 DAY))", "32"),
            ("len(range(TIMESTAMP '2020-01-01', TIMESTAMP '2030-01-01', INTERVAL 1 MONTH))", "120"),
        ] {
            let sql = format!("SELECT ({call})::VARCHAR");
            let batches = connection.query(&sql).unwrap_or_else(|error| panic!("{call}: {}", error.message));
            assert_eq!(batches[0].column(0).as_string::<i32>().value(0), expected, "{call}");
        }
        connection.query("SELECT * FROM range(100000000) LIMIT 1").unwrap();
    }

    /// As constants, which are folded while the statement is planned, and as columns.
    #[test]
    fn what_is_long_is_refused_before_it_is_made() {
        let connection = connection();
        for call in [
            "repeat('x', #)",
            "repeat(repeat('x', 1000000), 1000)",
            "repeat([1], #)",
            "lpad('x', #, '-')",
            "rpad('x', #, '-')",
            "bitstring('1', #)",
            "list_resize([1], #)",
            "array_resize([1], #, 7)",
            "range(#)",
            "range(-#, 1)",
            "generate_series(0, #)",
            "range(0, #, 2)",
            "range(0, -#, -2)",
            "range(TIMESTAMP '2000-01-01', TIMESTAMP '2020-01-01', INTERVAL 1 SECOND)",
        ] {
            for (count, from) in [("1000000000", ""), ("i", " FROM (SELECT 1000000000 AS i)")] {
                let sql = format!("SELECT {}{from}", call.replace('#', count));
                let error = connection.query(&sql).err().unwrap_or_else(|| panic!("{sql} was made"));
                assert!(error.message.contains(TOO_LONG), "{sql}: {}", error.message);
            }
        }
    }

    #[test]
    fn every_macro_is_one_that_guests_call_by_its_bare_name() {
        let connection = connection();
        let made = connection
            .query("SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'macro' AND NOT internal ORDER BY ALL")
            .unwrap();
        let names: Vec<_> = made[0].column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, BOUNDED);
    }
}
