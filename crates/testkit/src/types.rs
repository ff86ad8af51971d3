//! The types that are promised to work, and values of each: the reference page is the list, so that what it says is what is tested.

/// docs/reference/types.md.
const PAGE: &str = include_str!("../../../docs/reference/types.md");

/// The sections whose types have a column that holds all of their values but those of [`UNHELD`].
pub const SECTIONS: [&str; 3] = ["Exact types", "Arrays", "Types that travel as text"];

/// The section of values that a column of their type can't hold.
pub const UNHELD: &str = "Values a column can't hold";

/// SQL that makes the page's own types and the extensions.
#[must_use]
pub fn setup() -> &'static str {
    let code = PAGE.split("```sql").nth(1).unwrap_or_default();
    code.split("```").next().unwrap_or_default()
}

/// The code spans that begin each cell, line by line, of the section's table: a type, and what the page says of it.
///
/// # Panics
/// The page has no such section, or one without a table.
#[must_use]
pub fn table(section: &str) -> Vec<Vec<String>> {
    let section = PAGE.split("\n## ").find(|text| text.starts_with(section)).unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let lines: Vec<Vec<String>> = lines
        .map(|line| {
            let mut cells = Vec::new();
            let mut rest = line;
            while let Some(at) = rest.find("| `") {
                let code = &rest[at + 3..];
                let Some(end) = code.find("` |") else { break };
                cells.push(code[..end].to_owned());
                rest = &code[end + 2..];
            }
            cells
        })
        .collect();
    assert!(!lines.is_empty(), "the page of types has no such table");
    lines
}

/// Odd values by type, besides the page's examples. Each fits the column that the page gives the type.
#[must_use]
pub fn odd_values(pg_type: &str) -> Vec<String> {
    let values: &[&str] = match pg_type {
        "boolean" => &["f"],
        "smallint" => &["0", "32767"],
        "integer" => &["-2147483648"],
        "bigint" => &["-9223372036854775808", "0"],
        "oid" => &["0"],
        "real" => {
            &["NaN", "Infinity", "-Infinity", "-0", "3.4028235e38", "16777216", "1e6", "123456", "0.0001"]
        }
        "double precision" => &[
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "5e-324",
            "1.7976931348623157e308",
            "1e15",
            "123456789012345",
            "1e-5",
            "0.0001",
            "-1.5e-300",
            "100000000000000000000.5",
        ],
        "numeric(12,2)" => &["-0.01", "0", "-9999999999.99"],
        "numeric(3,-2)" => &["-99900", "0"],
        "numeric" => &["0", "-0.5", "1.50", "10000", "9999999999999999999999999999.9999999999", "1e27"],
        "text" => &["", "a\tb\\n\"c\"{},'", "NULL", "\u{1}\u{7f}\u{1F600}"],
        "bytea" => &["\\x", "\\x5c78", "abc\\\\\\000"],
        "date" => &["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31", "2000-02-29", "0001-01-01"],
        "time" => &["00:00:00", "23:59:59.999999", "00:00:00.1"],
        "timestamp" => &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00 BC",
            "294247-01-10 04:00:54.775806",
            "12024-01-02 03:04:05",
            "1969-12-31 23:59:59.999999",
        ],
        "timestamptz" => &[
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00.5+00 BC",
            "2024-01-02 03:04:05+05:30",
            "294247-01-10 04:00:54.775806+00",
        ],
        "interval" => &[
            "0",
            "-1 year",
            "1 mon -1 day",
            "-00:00:00.000001",
            "2562047:47:16.854775",
            "-178000000 years",
            "2147483647 days 2147483647 months",
            "-1 days +00:00:01",
        ],
        "json" => &["null", "\"a\"", " [1,\n2 ] ", "1e400"],
        "jsonb" => &["null", "\"\\u00e9\\n\"", "[1e3, {\"z\": null, \"a\": []}]", "1.000"],
        "integer[]" => &["{}", "{NULL}", "{-2147483648,2147483647}"],
        "text[]" => &["{}", "{\"a\\\"b\\\\c\",\"{}\",\"a,b\",\" x \",\"\t\",ü,\"null\",nullx}"],
        "timestamptz[]" => &["{-infinity,\"0044-03-15 12:00:00 BC\"}"],
        "bytea[]" => &["{\"\\\\x\",NULL}"],
        "jsonb[]" => &["{\"null\",\"\\\"a b\\\"\"}"],
        "mood[]" => &["{}"],
        "inet[]" => &["{}", "[0:0]={10.0.0.1}"],
        "pair" => &["(,)", "(,\"\")", "(1,\"a\"\"b\\\\,()\")"],
        "pair[]" => &["{NULL,\"(,)\"}", "{{\"(1,a)\"},{\"(2,b)\"}}"],
        "numeric(50,2)" => &["NaN", "0"],
        "timetz" => &["00:00:00+00", "12:00:00.5+05:30:17"],
        "int4range" => &["empty", "(,)", "(,5)"],
        "money" => &["-0.01", "92233720368547758.07"],
        "xml" => &["", "<a b=\"1\">&lt;</a><c/>"],
        "inet" => &["::1", "192.168.0.0/16"],
        "bit varying" => &["", "0"],
        "point" => &["(NaN,Infinity)"],
        "path" => &["[(0,0),(1,1)]"],
        "tsvector" => &["", "'a b':1A 'c''d':2"],
        "\"char\"" => &["", "\\377"],
        "hstore" => &["", "\"a b\"=>\"c\\\"d\""],
        "citext" => &[""],
        _ => &[],
    };
    let mut values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
    if pg_type == "numeric(50,2)" || pg_type == "text" {
        values.push("9".repeat(48));
    }
    values
}
