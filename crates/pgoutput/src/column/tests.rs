//! Text and binary forms become the same array; what fails leaves no trace.

use arrow_array::{cast::AsArray, types::*, Array};
use millstream_core::{ColumnType, TypeKind, Value};
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{render::write_text, types::column_type_of};

fn numeric(precision: u16, scale: i16) -> TypeKind {
    TypeKind::Numeric { declared: Some((precision, scale)) }
}

fn array_of(kind: TypeKind) -> TypeKind {
    TypeKind::Array(Box::new(kind))
}

/// One value of a kind in its default column type, printed again.
fn through(
    kind: &TypeKind,
    push: impl Fn(&mut ColumnBuilder) -> Result<(), ValueError>,
) -> Result<String, ValueError> {
    let mut builder = ColumnBuilder::new(kind, &column_type_of(kind), 1);
    push(&mut builder)?;
    let array = builder.finish();
    assert_eq!(array.data_type(), &arrow_type(&column_type_of(kind)));
    let mut out = String::new();
    write_text(&array, 0, &mut out).unwrap();
    Ok(out)
}

#[test]
fn what_postgresql_prints_comes_back_as_it_was() {
    for (kind, texts) in [
        (TypeKind::Bool, &["t", "f"][..]),
        (TypeKind::Int2, &["-32768", "32767"]),
        (TypeKind::Int4, &["-2147483648", "2147483647"]),
        (TypeKind::Int8, &["-9223372036854775808", "9223372036854775807"]),
        (TypeKind::Oid, &["0", "4294967295"]),
        (TypeKind::Float4, &["NaN", "-Infinity", "1e-45", "3.4028235e+38", "-0"]),
        (TypeKind::Float8, &["NaN", "Infinity", "5e-324", "0.1", "1e+15"]),
        (numeric(12, 2), &["9999999999.99", "-0.01", "0.00"]),
        (numeric(38, 38), &["-0.00000000000000000000000000000000000001"]),
        (numeric(3, -2), &["99900", "0"]),
        (numeric(50, 2), &["NaN", "123456789012345678901234567890123456789012345678.12"]),
        (TypeKind::Text, &["", "grüß\nGott", "NULL", "\\x00"]),
        (TypeKind::Enum, &["sad"]),
        (TypeKind::Other, &["(1,\"a b\",)", "[1,2)", "$1.00"]),
        (TypeKind::Bytea, &["\\x", "\\x00ff"]),
        (TypeKind::Date, &["infinity", "-infinity", "4714-11-24 BC", "5874897-12-31"]),
        (TypeKind::Time, &["24:00:00", "00:00:00.000001"]),
        (TypeKind::TimeTz, &["24:00:00-15:59:59"]),
        (TypeKind::Timestamp, &["infinity", "4714-11-24 00:00:00 BC", "294247-01-10 04:00:54.775806"]),
        (
            TypeKind::TimestampTz,
            &["-infinity", "0044-03-15 12:00:00.5+00 BC", "2024-02-29 23:59:59.999999+00"],
        ),
        (TypeKind::Interval, &["00:00:00", "-1 years -2 mons +3 days -04:05:06.7"]),
        (TypeKind::Uuid, &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
        (TypeKind::Json, &["{ \"a\" :  1, \"a\": 2}", "null"]),
        (TypeKind::Jsonb, &["{\"a\": 1.50}"]),
        (array_of(TypeKind::Int4), &["{}", "{1,NULL,-3}"]),
        (array_of(TypeKind::Text), &["{\"\",NULL,\"NULL\",\"a \\\"b\\\"\\\\,{}\",ü}"]),
        (array_of(TypeKind::Bytea), &["{\"\\\\x00\",NULL}"]),
        (array_of(TypeKind::Timestamp), &["{\"2024-01-02 03:04:05\",infinity}"]),
        (array_of(TypeKind::Jsonb), &["{\"{\\\"a\\\": [1, 2]}\",null}"]),
        (array_of(TypeKind::Other), &["[0:1]={{1},{2}}"]),
    ] {
        for text in texts {
            let result = through(&kind, |builder| builder.push_text(text.as_bytes()));
            // JSON's null as an element is quoted, unlike SQL's.
            let expected = text.replace(",null}", ",\"null\"}");
            assert_eq!(result.as_deref(), Ok(&*expected), "{kind:?}");
        }
    }
}

#[test]
fn what_the_type_cannot_hold_is_refused_with_the_reason() {
    for (kind, text, message) in [
        (numeric(12, 2), "NaN", "`NaN` can't be represented as decimal(12,2): NaN"),
        (
            TypeKind::Numeric { declared: None },
            "1.00000000001",
            "`1.00000000001` can't be represented as decimal(38,10): more digits behind the point than the type has",
        ),
        (
            TypeKind::Timestamp,
            "294276-12-31 00:00:00",
            "`294276-12-31 00:00:00` can't be represented as timestamp: later than 294247-01-10 04:00:54.775806",
        ),
        (
            array_of(TypeKind::Int4),
            "{{1},{2}}",
            "`{{1},{2}}` can't be represented as integer[]: more than one dimension",
        ),
        (
            array_of(TypeKind::Int4),
            "[0:0]={1}",
            "`[0:0]={1}` can't be represented as integer[]: its first index is not 1",
        ),
        (TypeKind::Interval, "infinity", "`infinity` can't be represented as interval: infinity"),
    ] {
        let error = through(&kind, |builder| builder.push_text(text.as_bytes())).unwrap_err();
        assert!(error.is_unrepresentable());
        assert_eq!(error.to_string(), message);
    }
    let error = through(&TypeKind::Int4, |builder| builder.push_text(b"abc")).unwrap_err();
    assert!(!error.is_unrepresentable());
    let error = through(&TypeKind::Text, |builder| builder.push_text(b"\xff")).unwrap_err();
    assert_eq!(error.to_string(), "`\u{fffd}` can't be read as text: not UTF-8");
    let long = "9".repeat(100_000);
    let error = through(&numeric(38, 0), |builder| builder.push_text(long.as_bytes())).unwrap_err();
    assert!(error.to_string().len() < 250, "{error}");
    let unchanged = through(&TypeKind::Int4, |builder| builder.push_value(Value::Unchanged));
    assert_eq!(unchanged, Err(ValueError::Unchanged));
}

#[test]
fn a_chosen_type_is_exact_or_refused() {
    let through = |kind: &TypeKind, to: ColumnType, text: &str| {
        let mut builder = ColumnBuilder::new(kind, &to, 1);
        builder.push_text(text.as_bytes()).map_err(|error| error.is_unrepresentable())?;
        let mut out = String::new();
        write_text(&builder.finish(), 0, &mut out).unwrap();
        Ok(out)
    };
    let any = TypeKind::Numeric { declared: None };
    for (kind, to, text, expected) in [
        (&any, ColumnType::Double, "0.10", Ok("0.1")),
        (&any, ColumnType::Double, "NaN", Ok("NaN")),
        (&any, ColumnType::Integer, "12.00", Ok("12")),
        (&any, ColumnType::Integer, "12.50", Err(true)),
        (&any, ColumnType::Text, "12.500", Ok("12.5")),
        (&array_of(any.clone()), ColumnType::Text, "{{12.500,NaN}}", Ok("{{12.5,NaN}}")),
        (&numeric(50, 3), ColumnType::Text, "12.500", Ok("12.500")),
        (&any, ColumnType::Double, &"9".repeat(400), Err(true)),
        (&TypeKind::Float8, ColumnType::Decimal(10, 5), "1e-05", Ok("0.00001")),
        (&TypeKind::Float8, ColumnType::BigInt, "1e+15", Ok("1000000000000000")),
        (&TypeKind::Float4, ColumnType::Double, "0.1", Ok("0.10000000149011612")),
        (&TypeKind::Text, ColumnType::Integer, "12", Ok("12")),
        (&TypeKind::Text, ColumnType::Integer, "twelve", Err(true)),
        (&TypeKind::Text, ColumnType::Boolean, "true", Ok("t")),
        (&TypeKind::Date, ColumnType::Timestamp, "2024-01-02", Ok("2024-01-02 00:00:00")),
        (&TypeKind::TimestampTz, ColumnType::Timestamp, "2024-01-02 03:04:05+00", Ok("2024-01-02 03:04:05")),
        (&TypeKind::Text, ColumnType::Timestamp, "2024-01-02 03:04:05+00", Err(true)),
        (&TypeKind::Timestamp, ColumnType::TimestampTz, "2024-01-02 03:04:05", Ok("2024-01-02 03:04:05+00")),
    ] {
        assert_eq!(through(kind, to.clone(), text), expected.map(str::to_owned), "{text} as {to}");
    }
}

#[test]
fn binary_forms_need_their_kind() {
    let push =
        |kind: &TypeKind, to: &ColumnType, bytes: &[u8]| ColumnBuilder::new(kind, to, 1).push_binary(bytes);
    assert!(push(&TypeKind::Int4, &ColumnType::Integer, b"\0\0\x01").is_err());
    assert!(push(&TypeKind::Int4, &ColumnType::Text, b"\0\0\0\x01").is_ok());
    assert!(push(&TypeKind::Other, &ColumnType::Text, b"abc").is_err());
    assert!(push(&TypeKind::Jsonb, &ColumnType::Json, b"\x02{}").is_err());
    assert!(push(&TypeKind::Jsonb, &ColumnType::Text, b"\x01{}").is_ok());
    assert!(push(&TypeKind::Bool, &ColumnType::Integer, &[1]).is_err());
    // Chosen anew after it was copied: 1.5 as a double, as an integer.
    let numeric = TypeKind::Numeric { declared: None };
    let one_and_a_half = b"\0\x02\0\0\0\0\0\x01\0\x01\x13\x88";
    let mut double = ColumnBuilder::new(&numeric, &ColumnType::Double, 1);
    double.push_binary(one_and_a_half).unwrap();
    assert_eq!(double.finish().as_primitive::<Float64Type>().value(0), 1.5);
    let error = push(&numeric, &ColumnType::Integer, one_and_a_half).unwrap_err();
    assert_eq!(error.to_string(), "`1.5` can't be represented as integer: not a whole number");
    // An error shows the value as people know it.
    let error = push(&numeric, &ColumnType::Decimal(38, 10), b"\0\0\0\0\xc0\0\0\0").unwrap_err();
    assert_eq!(error.to_string(), "`NaN` can't be represented as decimal(38,10): NaN");
    assert!(push(&TypeKind::Uuid, &ColumnType::Uuid, &[0; 15]).is_err());
    assert!(push(&TypeKind::Bool, &ColumnType::Boolean, &[2]).is_err());
    assert!(push(&TypeKind::Int8, &ColumnType::Double, &[0; 8]).is_ok());
    assert!(push(&TypeKind::Int8, &ColumnType::Decimal(19, 0), &[0; 8]).is_ok());
}

#[test]
fn every_nan_is_the_one_nan() {
    let mut builder = ColumnBuilder::new(&TypeKind::Float8, &ColumnType::Double, 2);
    builder.push_binary(&0xfff8_dead_beef_0001u64.to_be_bytes()).unwrap();
    builder.push_text(b"NaN").unwrap();
    let array = builder.finish();
    let array = array.as_primitive::<Float64Type>();
    assert_eq!(array.value(0).to_bits(), array.value(1).to_bits());
}

#[test]
fn a_value_that_fails_leaves_the_builder_as_it_was() {
    let kinds = [
        (TypeKind::Int4, &b"1"[..], &b"x"[..]),
        (TypeKind::Text, b"abc", b"ab\xff"),
        (TypeKind::Bytea, b"\\x0102", b"\\x01zz"),
        (array_of(TypeKind::Int4), b"{1,2}", b"{1,2,x}"),
        (array_of(TypeKind::Bytea), b"{\"\\\\x01\"}", b"{\"\\\\x01\",\"\\\\x0\"}"),
        (TypeKind::Uuid, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", b"a0"),
        (TypeKind::Bool, b"t", b"x"),
    ];
    for (kind, good, bad) in kinds {
        let column_type = column_type_of(&kind);
        let mut with = ColumnBuilder::new(&kind, &column_type, 4);
        let mut without = ColumnBuilder::new(&kind, &column_type, 4);
        for builder in [&mut with, &mut without] {
            builder.push_text(good).unwrap();
            builder.push_null();
        }
        assert!(with.push_text(bad).is_err());
        assert_eq!(with.len(), 2);
        with.push_text(good).unwrap();
        with.push_null();
        with.truncate(3);
        without.push_text(good).unwrap();
        assert_eq!(&with.take(), &without.take(), "{kind:?}");
        with.push_text(good).unwrap();
        assert_eq!(with.finish().len(), 1);
    }
}

#[test]
fn an_array_of_the_warehouse_is_taken_over() {
    let kinds = [
        (TypeKind::Bool, "t"),
        (TypeKind::Int2, "1"),
        (TypeKind::Int4, "1"),
        (TypeKind::Int8, "1"),
        (TypeKind::Oid, "1"),
        (TypeKind::Float4, "1.5"),
        (TypeKind::Float8, "1.5"),
        (numeric(5, 2), "1.50"),
        (TypeKind::Text, "abc"),
        (TypeKind::Bytea, "\\x00"),
        (TypeKind::Date, "2024-01-02"),
        (TypeKind::Time, "24:00:00"),
        (TypeKind::Timestamp, "infinity"),
        (TypeKind::TimestampTz, "2024-01-02 03:04:05+00"),
        (TypeKind::Interval, "1 day"),
        (TypeKind::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (TypeKind::Json, "{}"),
        (array_of(TypeKind::Uuid), "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}"),
    ];
    for (kind, text) in kinds {
        let column_type = column_type_of(&kind);
        let mut builder = ColumnBuilder::new(&kind, &column_type, 2);
        builder.push_null();
        builder.push_text(text.as_bytes()).unwrap();
        let array = builder.take();
        for row in 0..2 {
            builder.push_array(&array, row).unwrap();
        }
        assert_eq!(&builder.take(), &array, "{kind:?}");
        let mut widened = ColumnBuilder::new(&kind, &ColumnType::Text, 2);
        for row in 0..2 {
            widened.push_array(&array, row).unwrap();
        }
        let widened = widened.finish();
        assert!(widened.is_null(0));
        assert_eq!(widened.as_string::<i32>().value(1), text);
    }
    let text = arrow_array::StringArray::from(vec!["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]);
    let mut uuid = ColumnBuilder::new(&TypeKind::Uuid, &ColumnType::Uuid, 1);
    uuid.push_array(&text, 0).unwrap();
    let numbers = arrow_array::Int32Array::from(vec![1]);
    assert!(uuid.push_array(&numbers, 0).is_err());
    assert_eq!(uuid.len(), 1);
}

/// `array_send` of one dimension.
fn array_binary(elements: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    let dimensions = i32::from(!elements.is_empty());
    for word in [dimensions, 1, 23] {
        out.extend(word.to_be_bytes());
    }
    if !elements.is_empty() {
        out.extend((elements.len() as i32).to_be_bytes());
        out.extend(1i32.to_be_bytes());
    }
    for element in elements {
        match element {
            None => out.extend((-1i32).to_be_bytes()),
            Some(bytes) => {
                out.extend((bytes.len() as i32).to_be_bytes());
                out.extend(bytes);
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn text_and_binary_of_an_array_agree(values in vec(option::of("[a-zN{}\" \\\\,]{0,6}"), 0..6)) {
        let binary = array_binary(&values.iter().map(|v| v.clone().map(String::into_bytes)).collect::<Vec<_>>());
        let kind = array_of(TypeKind::Text);
        let text = through(&kind, |builder| builder.push_binary(&binary)).unwrap();
        prop_assert_eq!(through(&kind, |builder| builder.push_text(text.as_bytes())), Ok(text));
    }

    #[test]
    fn text_and_binary_of_integers_agree(value in any::<i64>(), null_first in any::<bool>()) {
        for kind in [TypeKind::Int2, TypeKind::Int4, TypeKind::Int8, TypeKind::Oid] {
            let (bytes, text) = match kind {
                TypeKind::Int2 => ((value as i16).to_be_bytes().to_vec(), (value as i16).to_string()),
                TypeKind::Int4 => ((value as i32).to_be_bytes().to_vec(), (value as i32).to_string()),
                TypeKind::Oid => ((value as u32).to_be_bytes().to_vec(), (value as u32).to_string()),
                _ => (value.to_be_bytes().to_vec(), value.to_string()),
            };
            let column_type = column_type_of(&kind);
            let mut builders = [(); 2].map(|()| ColumnBuilder::new(&kind, &column_type, 1));
            if null_first {
                builders.iter_mut().for_each(ColumnBuilder::push_null);
            }
            builders[0].push_binary(&bytes).unwrap();
            builders[1].push_text(text.as_bytes()).unwrap();
            let [binary, text] = builders.map(ColumnBuilder::finish);
            prop_assert_eq!(&binary, &text);
        }
    }

    #[test]
    fn garbage_is_never_a_panic(bytes in vec(any::<u8>(), 0..40)) {
        for kind in [
            TypeKind::Bool, TypeKind::Int2, TypeKind::Int4, TypeKind::Int8, TypeKind::Oid, TypeKind::Float4,
            TypeKind::Float8, numeric(10, 2), TypeKind::Text, TypeKind::Bytea, TypeKind::Date, TypeKind::Time,
            TypeKind::Timestamp, TypeKind::TimestampTz, TypeKind::Interval, TypeKind::Uuid, TypeKind::Json,
            TypeKind::Jsonb, TypeKind::Enum, TypeKind::Other, array_of(TypeKind::Int4), array_of(TypeKind::Text),
        ] {
            let mut builder = ColumnBuilder::new(&kind, &column_type_of(&kind), 0);
            let mut good = 0;
            good += usize::from(builder.push_text(&bytes).is_ok());
            good += usize::from(builder.push_binary(&bytes).is_ok());
            prop_assert_eq!(builder.len(), good);
            prop_assert_eq!(builder.finish().len(), good);
        }
    }
}
