//! Every type of docs/reference/types.md, with the page's example and with odd values: the server's text output and its binary COPY become the
//! same Arrow value, which prints as the server's text and `to_jsonb` again; what is refused is refused in both forms.

use std::{collections::HashMap, process::Stdio};

use arrow_array::ArrayRef;
use arrow_schema::Field;
use millstream_core::{base::CopyEncoding, ColumnType, TypeKind};
use millstream_pgoutput::{
    copy::CopyReader,
    render::{write_json, write_text},
    types::{arrow_field, column_type_of, copy_encoding, parse_column_type, resolve, CatalogType},
    value::ValueError,
    ColumnBuilder,
};
use millstream_testkit::PgCluster;

const PAGE: &str = include_str!("../../../../docs/reference/types.md");

/// The session's settings, as the source pins them.
const PINNED: &str =
    "-c DateStyle=ISO,MDY -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=3 \
                      -c bytea_output=hex -c lc_monetary=C";

/// A line of one of the page's tables: type, warehouse type or value, example.
struct Line {
    cells: Vec<String>,
}

/// The code spans that begin each cell, line by line, of the section's table.
fn table(section: &str) -> Vec<Line> {
    let section = PAGE.split("\n## ").find(|text| text.starts_with(section)).expect("a section of the page");
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let lines: Vec<Line> = lines
        .map(|line| {
            let mut cells = Vec::new();
            let mut rest = line;
            while let Some(at) = rest.find("| `") {
                let code = &rest[at + 3..];
                let end = code.find("` |").expect("a closed code span");
                cells.push(code[..end].to_owned());
                rest = &code[end + 2..];
            }
            Line { cells }
        })
        .collect();
    assert!(!lines.is_empty());
    lines
}

/// Odd values by type, besides the page's examples.
fn odd_values(pg_type: &str) -> Vec<String> {
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

/// A value as the server gives it.
struct Served {
    binary: Vec<u8>,
    text: String,
    json: String,
}

struct Server {
    cluster: PgCluster,
    catalogue: HashMap<u32, CatalogType>,
}

impl Server {
    fn start() -> Self {
        let cluster = PgCluster::start_default().unwrap();
        let setup = PAGE.split("```sql").nth(1).unwrap().split("```").next().unwrap();
        cluster.execute(setup).unwrap();
        let rows = cluster
            .execute(
                "SELECT oid, ascii(typtype::text), ascii(typcategory::text), typbasetype, typtypmod, typelem FROM pg_type",
            )
            .unwrap();
        let catalogue = rows.lines().map(|line| {
            let number: Vec<i64> = line.split('|').map(|cell| cell.parse().unwrap()).collect();
            let row = CatalogType {
                typtype: number[1] as u8,
                typcategory: number[2] as u8,
                typbasetype: number[3] as u32,
                typtypmod: number[4] as i32,
                typelem: number[5] as u32,
            };
            (number[0] as u32, row)
        });
        let catalogue = catalogue.collect();
        Server { cluster, catalogue }
    }

    /// Puts the values into a column of the type and reads it back in every form.
    fn serve(&self, pg_type: &str, values: &[String]) -> (TypeKind, Vec<Served>) {
        let literals: Vec<String> =
            values.iter().map(|value| format!("({}::{pg_type})", literal(value))).collect();
        self.cluster
            .execute(&format!(
                "DROP TABLE IF EXISTS odd; CREATE TABLE odd (n integer GENERATED ALWAYS AS IDENTITY, v {pg_type}); \
                 INSERT INTO odd (v) VALUES {};",
                literals.join(", ")
            ))
            .unwrap();
        let column = self
            .cluster
            .execute(
                "SELECT atttypid, atttypmod FROM pg_attribute WHERE attrelid = 'odd'::regclass AND attname = 'v'",
            )
            .unwrap();
        let (oid, typmod) = column.split_once('|').unwrap();
        let kind =
            resolve(oid.parse().unwrap(), typmod.parse().unwrap(), |oid| self.catalogue.get(&oid).copied())
                .unwrap();
        // format() calls the type's output function, which a cast to text doesn't always.
        let copy = "COPY (SELECT v, format('%s', v), to_jsonb(v)::text FROM odd ORDER BY n) TO STDOUT (FORMAT binary)";
        let mut psql = self.cluster.psql("postgres");
        let output = psql.env("PGOPTIONS", PINNED).args(["-c", copy]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut reader = CopyReader::new(&output.stdout[..]);
        let mut served = Vec::new();
        while let Some(row) = reader.next_row().unwrap() {
            let fields: Vec<Vec<u8>> = row.fields().map(|field| field.expect("no NULL").to_vec()).collect();
            let [binary, text, json] = <[Vec<u8>; 3]>::try_from(fields).unwrap();
            let string = |bytes| String::from_utf8(bytes).unwrap();
            served.push(Served { binary, text: string(text), json: string(json) });
        }
        assert_eq!(served.len(), values.len());
        (kind, served)
    }
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn one(
    kind: &TypeKind,
    to: &ColumnType,
    push: impl FnOnce(&mut ColumnBuilder) -> Result<(), ValueError>,
) -> Result<ArrayRef, ValueError> {
    let mut builder = ColumnBuilder::new(kind, to, 1);
    push(&mut builder)?;
    Ok(builder.finish())
}

fn printed(array: &ArrayRef) -> String {
    let mut out = String::new();
    write_text(array, 0, &mut out).unwrap();
    out
}

fn json(field: &Field, array: &ArrayRef) -> String {
    let mut out = String::new();
    write_json(field, array, 0, &mut out).unwrap();
    out
}

/// A decimal of the warehouse's own choice doesn't keep the scale that a number was written with.
fn trimmed(pg_type: &str, text: &str) -> String {
    if pg_type == "numeric" && text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// A chunk that was copied in binary becomes the same text as the stream's values once its column is text.
fn widens_from_binary(kind: &TypeKind, value: &Served) {
    let push = |builder: &mut ColumnBuilder| builder.push_binary(&value.binary);
    let binary = one(kind, &ColumnType::Text, push).unwrap_or_else(|error| panic!("{}: {error}", value.text));
    let text = one(kind, &ColumnType::Text, |builder| builder.push_text(value.text.as_bytes())).unwrap();
    assert_eq!(&binary, &text, "{}: as text, text and binary differ", value.text);
}

#[test]
fn every_type_of_the_page_is_what_the_page_says_and_comes_back_as_it_was() {
    let server = Server::start();
    let sections = ["Exact types", "Arrays", "Types that travel as text"];
    for line in sections.iter().flat_map(|section| table(section)) {
        let [pg_type, warehouse, example] = <[String; 3]>::try_from(line.cells).unwrap();
        let to = parse_column_type(&warehouse).unwrap();
        let mut values = vec![example.clone()];
        values.extend(odd_values(&pg_type));
        let (kind, served) = server.serve(&pg_type, &values);
        assert_eq!(column_type_of(&kind), to, "{pg_type}");
        assert_eq!(served[0].text, example, "the page's example of {pg_type} is not as the server prints it");
        let field = arrow_field("v", &to);
        for value in &served {
            let context = format!("{pg_type}: {}", value.text);
            let array = one(&kind, &to, |builder| builder.push_text(value.text.as_bytes()))
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            if copy_encoding(&kind, &to) == CopyEncoding::Binary {
                let binary = one(&kind, &to, |builder| builder.push_binary(&value.binary))
                    .unwrap_or_else(|error| panic!("{context}: binary: {error}"));
                assert_eq!(&array, &binary, "{context}: text and binary differ");
                widens_from_binary(&kind, value);
            }
            assert_eq!(trimmed(&pg_type, &printed(&array)), trimmed(&pg_type, &value.text), "{context}");
            let expected = match (&to, &kind) {
                // Ours is a string where the server knows parts, and JSON's text is not made anew.
                (ColumnType::Text, _) => continue,
                (_, TypeKind::Json) => &value.text,
                // A number is a number, which to_jsonb sees only in its own six types.
                (_, TypeKind::Oid) => &value.text,
                _ => &value.json,
            };
            let printed = json(&field, &array);
            assert_eq!(trimmed(&pg_type, &printed), trimmed(&pg_type, expected), "{context}: JSON");
            // Widened, it is the server's text; of a value that is there already likewise.
            let widened = one(&kind, &ColumnType::Text, |builder| builder.push_array(&array, 0)).unwrap();
            assert_eq!(trimmed(&pg_type, &super::types::printed(&widened)), trimmed(&pg_type, &value.text));
        }
    }
}

#[test]
fn every_value_that_the_page_says_a_column_cannot_hold_is_refused_in_both_forms() {
    let server = Server::start();
    for line in table("Values a column can't hold") {
        let [pg_type, value] = <[String; 2]>::try_from(line.cells).unwrap();
        let (kind, served) = server.serve(&pg_type, std::slice::from_ref(&value));
        let to = column_type_of(&kind);
        let [served] = &served[..] else { panic!("one row") };
        assert_eq!(served.text, value, "the page's value is not as the server prints it");
        let text = one(&kind, &to, |builder| builder.push_text(served.text.as_bytes())).unwrap_err();
        let binary = one(&kind, &to, |builder| builder.push_binary(&served.binary)).unwrap_err();
        assert!(text.is_unrepresentable() && binary.is_unrepresentable(), "{text}; {binary}");
        let widened =
            one(&kind, &ColumnType::Text, |builder| builder.push_text(served.text.as_bytes())).unwrap();
        assert_eq!(printed(&widened), value);
    }
}

#[test]
fn numbers_of_131072_digits_are_refused_by_a_decimal_and_kept_as_text() {
    let server = Server::start();
    let value = format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383));
    let (kind, served) = server.serve("numeric", std::slice::from_ref(&value));
    let to = column_type_of(&kind);
    assert!(one(&kind, &to, |builder| builder.push_text(value.as_bytes())).unwrap_err().is_unrepresentable());
    let binary = one(&kind, &to, |builder| builder.push_binary(&served[0].binary));
    assert!(binary.unwrap_err().is_unrepresentable());
    let text = one(&kind, &ColumnType::Text, |builder| builder.push_text(value.as_bytes())).unwrap();
    assert_eq!(printed(&text), value);
    widens_from_binary(&kind, &served[0]);
}
