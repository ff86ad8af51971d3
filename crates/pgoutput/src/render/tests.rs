//! Every Arrow type that a query gives prints, as text and as JSON.

use std::sync::Arc;

use arrow_array::{builder::*, types::*, *};
use arrow_buffer::{i256, IntervalMonthDayNano, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};
use millstream_core::{ColumnType, TypeKind};

use super::*;
use crate::{column::ColumnBuilder, types::arrow_field};

fn text(array: &dyn Array, row: usize) -> String {
    let mut out = String::new();
    write_text(array, row, &mut out).unwrap();
    out
}

fn json(array: &dyn Array, row: usize) -> String {
    let mut out = String::new();
    write_json(&Field::new("c", array.data_type().clone(), true), array, row, &mut out).unwrap();
    out
}

#[test]
fn every_arrow_type_prints_as_text_and_json() {
    let cases: Vec<(ArrayRef, &str, &str)> = vec![
        (Arc::new(BooleanArray::from(vec![true])), "t", "true"),
        (Arc::new(Int8Array::from(vec![-1])), "-1", "-1"),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), "18446744073709551615", "18446744073709551615"),
        (Arc::new(Float32Array::from(vec![0.1])), "0.1", "0.1"),
        (Arc::new(Float64Array::from(vec![1e20])), "1e+20", "100000000000000000000"),
        (Arc::new(Float64Array::from(vec![-1.25e-7])), "-1.25e-07", "-0.000000125"),
        (
            Arc::new(Float64Array::from(vec![1.2345678901234567e16])),
            "1.2345678901234568e+16",
            "12345678901234568",
        ),
        (Arc::new(Float64Array::from(vec![-0.0])), "-0", "0"),
        (Arc::new(Float64Array::from(vec![f64::NAN])), "NaN", "\"NaN\""),
        (Arc::new(Float32Array::from(vec![f32::NEG_INFINITY])), "-Infinity", "\"-Infinity\""),
        (
            // DuckDB's hugeint.
            Arc::new(Decimal128Array::from(vec![i128::MAX]).with_data_type(DataType::Decimal128(38, 0))),
            "170141183460469231731687303715884105727",
            "170141183460469231731687303715884105727",
        ),
        (
            Arc::new(Decimal128Array::from(vec![-5]).with_data_type(DataType::Decimal128(10, 3))),
            "-0.005",
            "-0.005",
        ),
        (
            Arc::new(Decimal64Array::from(vec![150]).with_data_type(DataType::Decimal64(10, 2))),
            "1.50",
            "1.50",
        ),
        (
            Arc::new(
                Decimal256Array::from(vec![i256::from_parts(0, 1)])
                    .with_data_type(DataType::Decimal256(76, 0)),
            ),
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211456",
        ),
        (Arc::new(StringArray::from(vec!["a\"\\\n\u{1}ü"])), "a\"\\\n\u{1}ü", "\"a\\\"\\\\\\n\\u0001ü\""),
        (
            Arc::new(StringViewArray::from(vec!["a string longer than twelve"])),
            "a string longer than twelve",
            "\"a string longer than twelve\"",
        ),
        (Arc::new(LargeStringArray::from(vec!["a"])), "a", "\"a\""),
        (Arc::new(BinaryArray::from_vec(vec![b"\0\xff"])), "\\x00ff", "\"\\\\x00ff\""),
        (Arc::new(Date32Array::from(vec![-719_163])), "0001-12-31 BC", "\"0001-12-31 BC\""),
        (Arc::new(Date64Array::from(vec![86_400_000])), "1970-01-02", "\"1970-01-02\""),
        (Arc::new(Time64MicrosecondArray::from(vec![86_400_000_000])), "24:00:00", "\"24:00:00\""),
        (
            Arc::new(Time64NanosecondArray::from(vec![1_000_000_001])),
            "00:00:01.000000001",
            "\"00:00:01.000000001\"",
        ),
        (Arc::new(Time32SecondArray::from(vec![61])), "00:01:01", "\"00:01:01\""),
        (
            Arc::new(
                TimestampMicrosecondArray::from(vec![1_704_164_645_678_000]).with_timezone("Europe/Berlin"),
            ),
            "2024-01-02 03:04:05.678+00",
            "\"2024-01-02T03:04:05.678+00:00\"",
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![-63_517_780_800_000_000])),
            "0044-03-15 12:00:00 BC",
            "\"0044-03-15T12:00:00 BC\"",
        ),
        (Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX])), "infinity", "\"infinity\""),
        (Arc::new(TimestampSecondArray::from(vec![-i64::MAX])), "-infinity", "\"-infinity\""),
        (Arc::new(TimestampSecondArray::from(vec![-1])), "1969-12-31 23:59:59", "\"1969-12-31T23:59:59\""),
        (
            Arc::new(TimestampNanosecondArray::from(vec![1])),
            "1970-01-01 00:00:00.000000001",
            "\"1970-01-01T00:00:00.000000001\"",
        ),
        (
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, -3, 1_500_000_000)])),
            "1 year 2 mons -3 days +00:00:01.5",
            "\"1 year 2 mons -3 days +00:00:01.5\"",
        ),
        (Arc::new(DurationMillisecondArray::from(vec![-1500])), "-00:00:01.5", "\"-00:00:01.5\""),
        (Arc::new(NullArray::new(1)), "", "null"),
    ];
    for (array, expected_text, expected_json) in cases {
        assert_eq!(text(&array, 0), expected_text, "{}", array.data_type());
        assert_eq!(json(&array, 0), expected_json, "{}", array.data_type());
    }
}

#[test]
fn nested_values_print_as_arrays_and_composites() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(3)])]);
    assert_eq!(text(&list, 0), "{1,NULL,3}");
    assert_eq!(json(&list, 0), "[1, null, 3]");
    let field = Arc::new(Field::new("item", list.data_type().clone(), true));
    let nested = ListArray::new(field, OffsetBuffer::from_lengths([1]), Arc::new(list.clone()), None);
    assert_eq!(text(&nested, 0), "{{1,NULL,3}}");
    assert_eq!(json(&nested, 0), "[[1, null, 3]]");

    let fields = Fields::from(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b \"", DataType::Int32, true),
        Field::new("l", list.data_type().clone(), true),
    ]);
    let composite = StructArray::new(
        fields,
        vec![
            Arc::new(StringArray::from(vec!["x \"y\\"])),
            Arc::new(Int32Array::from(vec![None])),
            Arc::new(list),
        ],
        None,
    );
    assert_eq!(text(&composite, 0), r#"("x ""y\\",,"{1,NULL,3}")"#);
    assert_eq!(json(&composite, 0), r#"{"a": "x \"y\\", "b \"": null, "l": [1, null, 3]}"#);

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.keys().append_value("n");
    map.values().append_null();
    map.append(true).unwrap();
    let map = map.finish();
    assert_eq!(text(&map, 0), "{k=1, n=NULL}");
    assert_eq!(json(&map, 0), r#"{"k": 1, "n": null}"#);

    let dictionary: DictionaryArray<Int8Type> = ["sad", "happy", "sad"].into_iter().collect();
    assert_eq!(text(&dictionary, 2), "sad");
    assert_eq!(json(&dictionary, 1), "\"happy\"");
}

#[test]
fn json_is_embedded_as_it_is_where_the_field_says_so() {
    let text = " {\"a\" : [1,2]} ";
    let field = arrow_field("c", &ColumnType::Json);
    let array = StringArray::from(vec![Some(text), None]);
    let mut out = String::from("[");
    write_json(&field, &array, 0, &mut out).unwrap();
    write_json(&field, &array, 1, &mut out).unwrap();
    assert_eq!(out, format!("[{text}null"));

    let column_type = ColumnType::List(Box::new(ColumnType::Json));
    let kind = TypeKind::Array(Box::new(TypeKind::Jsonb));
    let mut builder = ColumnBuilder::new(&kind, &column_type, 1);
    builder.push_text(br#"{"{\"a\": 1}"}"#).unwrap();
    assert_eq!(json(&builder.finish(), 0), r#"[{"a": 1}]"#);
}

#[test]
fn null_is_nothing_in_text_and_null_in_json() {
    let array = Int32Array::from(vec![None]);
    assert_eq!(text(&array, 0), "");
    assert_eq!(json(&array, 0), "null");
}

#[test]
fn what_cannot_be_printed_leaves_no_trace() {
    let ends = Int32Array::from(vec![1]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &Int32Array::from(vec![7])).unwrap();
    let mut out = String::from("before");
    assert!(write_text(&runs, 0, &mut out).is_err());
    assert!(write_json(&Field::new("c", runs.data_type().clone(), true), &runs, 0, &mut out).is_err());
    assert_eq!(out, "before");
}
