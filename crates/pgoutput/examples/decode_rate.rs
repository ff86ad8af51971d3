//! How long decoding takes: nanoseconds a value by type, rows a second of a COPY. `cargo run --release -p millstream-pgoutput
//! --example decode_rate`.

use std::{hint::black_box, time::Instant};

use millstream_core::{base::CopyEncoding, ColumnType, TableId, TupleBuilder, TypeKind, Value};
use millstream_pgoutput::{
    copy::{CopyBatches, CopyColumn, CopyWriter},
    peek,
    types::column_type_of,
    ColumnBuilder, Message,
};

/// Values per measurement: a batch as apply makes them.
const VALUES: usize = 100_000;
/// Measurements, of which the fastest counts: other work on the machine only slows one down.
const REPEATS: usize = 15;

fn fastest(mut run: impl FnMut()) -> f64 {
    (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn report(name: &str, kind: &TypeKind, to: &ColumnType, values: &[Vec<u8>], binary: bool) {
    let seconds = fastest(|| {
        let mut builder = ColumnBuilder::new(kind, to, values.len());
        for value in values {
            let pushed = if binary { builder.push_binary(value) } else { builder.push_text(value) };
            if pushed.is_err() {
                std::process::abort();
            }
        }
        black_box(builder.finish());
    });
    eprintln!("{name:<28}{:>7.1} ns", seconds * 1e9 / values.len() as f64);
}

fn texts(make: impl Fn(u64) -> String) -> Vec<Vec<u8>> {
    // Steps of a large odd number: values of all lengths without a random generator.
    (0..VALUES as u64).map(|index| make(index.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()).collect()
}

fn main() {
    let numeric = TypeKind::Numeric { declared: Some((12, 2)) };
    let any_numeric = TypeKind::Numeric { declared: None };
    let timestamp = |n: u64| {
        let (n, micros) = (n >> 20, n % 1_000_000);
        format!(
            "20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.{micros:06}+00",
            n % 100,
            n % 12 + 1,
            n % 28 + 1,
            n % 24,
            n % 60,
            n % 59
        )
    };
    let list = TypeKind::Array(Box::new(TypeKind::Int4));
    let cases: Vec<(&str, TypeKind, Vec<Vec<u8>>)> = vec![
        ("integer", TypeKind::Int4, texts(|n| ((n >> 40) as i32).to_string())),
        ("bigint", TypeKind::Int8, texts(|n| (n as i64).to_string())),
        ("numeric(12,2)", numeric.clone(), texts(|n| format!("{}.{:02}", n >> 38, n % 100))),
        (
            "numeric, 30 digits",
            any_numeric,
            texts(|n| format!("{}{:010}.{:05}", n >> 8, n % 10_000_000_000, n % 100_000)),
        ),
        ("double precision", TypeKind::Float8, texts(|n| (n as f64 / 1e6).to_string())),
        ("boolean", TypeKind::Bool, texts(|n| if n & 1 == 0 { "t" } else { "f" }.to_owned())),
        ("timestamptz", TypeKind::TimestampTz, texts(timestamp)),
        ("date", TypeKind::Date, texts(|n| timestamp(n)[..10].to_owned())),
        (
            "uuid",
            TypeKind::Uuid,
            texts(|n| format!("{:08x}-{:04x}-4ef8-bb6d-6bb9bd380a11", n >> 32, n & 0xffff)),
        ),
        ("interval", TypeKind::Interval, texts(|n| format!("{} days 04:05:06.789", n % 100 + 2))),
        ("text, 20 bytes", TypeKind::Text, texts(|n| format!("{n:020}"))),
        ("text, 200 bytes", TypeKind::Text, texts(|n| format!("{n:0200}"))),
        ("bytea, 100 bytes", TypeKind::Bytea, texts(|n| format!("\\x{n:0200x}"))),
        ("integer[], 3 elements", list, texts(|n| format!("{{{},{},{}}}", n % 7, n % 100, n >> 45))),
    ];
    for (name, kind, values) in &cases {
        report(name, kind, &column_type_of(kind), values, false);
    }

    // numeric_send of 1234567.89, int4send, timestamptz_send.
    let numeric_binary = vec![b"\0\x03\0\x01\0\0\0\x02\0\x7b\x11\xd7\x22\xc4".to_vec(); VALUES];
    report("binary numeric(12,2)", &numeric, &column_type_of(&numeric), &numeric_binary, true);
    let integer_binary = vec![vec![0, 1, 2, 3]; VALUES];
    report("binary integer", &TypeKind::Int4, &ColumnType::Integer, &integer_binary, true);
    let time_binary = vec![700_000_000_000_000i64.to_be_bytes().to_vec(); VALUES];
    report("binary timestamptz", &TypeKind::TimestampTz, &ColumnType::TimestampTz, &time_binary, true);

    let mut row = TupleBuilder::new();
    for value in ["12345", "67", "a customer's name here", "1234567.89", "2024-01-02 03:04:05.678901+00", "t"]
    {
        row.push(Value::Text(value.as_bytes()));
    }
    let insert = Message::Insert { xid: None, table: TableId(16385), new: row.finish() }.encode();
    let seconds = fastest(|| {
        for _ in 0..VALUES {
            black_box(peek(black_box(&insert), false)).ok();
        }
    });
    eprintln!("{:<28}{:>7.1} ns", "peek at an insert", seconds * 1e9 / VALUES as f64);
    let seconds = fastest(|| {
        for _ in 0..VALUES {
            black_box(Message::decode(black_box(insert.clone()), false)).ok();
        }
    });
    eprintln!("{:<28}{:>7.1} ns", "decode an insert of 6", seconds * 1e9 / VALUES as f64);

    let kinds = [
        TypeKind::Int8,
        TypeKind::Int4,
        TypeKind::Text,
        numeric,
        TypeKind::TimestampTz,
        TypeKind::Bool,
        TypeKind::Text,
        TypeKind::Int4,
    ];
    let columns: Vec<CopyColumn> = kinds
        .iter()
        .zip(1..)
        .map(|(kind, attnum)| CopyColumn {
            attnum,
            kind: kind.clone(),
            encoding: CopyEncoding::Binary,
            to: Some(column_type_of(kind)),
        })
        .collect();
    let mut writer = CopyWriter::new();
    let rows = VALUES * 5;
    for row in 0..rows as i64 {
        writer.row([
            Some(&row.to_be_bytes()[..]),
            Some(&(row as i32).to_be_bytes()),
            Some(b"a customer's name here"),
            Some(&numeric_binary[0]),
            Some(&time_binary[0]),
            Some(&[1]),
            (row % 3 != 0).then_some(&b"a status"[..]),
            Some(&[0, 0, 1, 2]),
        ]);
    }
    let stream = writer.finish();
    let seconds = fastest(|| {
        for batch in CopyBatches::new(&stream[..], &columns, 122_880, 16 << 20) {
            if black_box(batch).is_err() {
                std::process::abort();
            }
        }
    });
    eprintln!(
        "binary COPY, 8 columns: {:.2} M rows/s, {:.0} MB/s",
        rows as f64 / seconds / 1e6,
        stream.len() as f64 / seconds / 1e6
    );
}
