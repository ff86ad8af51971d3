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
use millstream_testkit::types::{odd_values, setup, table, SECTIONS, UNHELD};
use millstream_testkit::PgCluster;

/// The session's settings, as the source pins them.
const PINNED: &str =
    "-c DateStyle=ISO,MDY -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=3 \
                      -c bytea_output=hex -c lc_monetary=C";

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
        cluster.execute(setup()).unwrap();
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
    for line in SECTIONS.iter().flat_map(|section| table(section)) {
        let [pg_type, warehouse, example] = <[String; 3]>::try_from(line).unwrap();
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
    for line in table(UNHELD) {
        let [pg_type, value] = <[String; 2]>::try_from(line).unwrap();
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
