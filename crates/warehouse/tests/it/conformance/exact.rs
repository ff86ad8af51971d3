//! Every documented type holds its odd values exactly, and becomes PostgreSQL's text when a column is widened.

use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
};

use arrow_array::{
    builder::{ListBuilder, StringBuilder, TimestampMicrosecondBuilder},
    types::{Float64Type, Int32Type, IntervalMonthDayNano},
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray,
    RecordBatch, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema};
use millstream_core::{
    warehouse::{Alteration, LayoutColumn, RowGroup, TableState, Warehouse},
    ColumnType,
};

use super::fixture::*;

pub(crate) fn run(make: &impl Fn() -> Box<dyn Warehouse>) {
    let mut warehouse = make();
    let warehouse = warehouse.as_mut();
    for case in cases() {
        values_come_back_as_they_went_in(warehouse, &case);
        a_column_widened_to_text_holds_postgresqls_text(warehouse, &case);
        a_row_of_odd_values_is_equal_to_itself(warehouse, &case);
        a_column_added_with_a_value_holds_it(warehouse, &case);
    }
    long_lists_cross_vector_boundaries(warehouse);
}

/// A type with values and the text that PostgreSQL prints for each.
struct Case {
    column_type: ColumnType,
    source_type: &'static str,
    values: ArrayRef,
    texts: Vec<Option<&'static str>>,
}

fn case(
    column_type: ColumnType,
    source_type: &'static str,
    values: impl Array + 'static,
    texts: &[Option<&'static str>],
) -> Case {
    assert_eq!(values.len(), texts.len(), "{source_type}");
    Case { column_type, source_type, values: Arc::new(values), texts: texts.to_vec() }
}

/// Microseconds of a day and time, proleptic Gregorian, from a day number.
const fn micros(day: i64, of_day: i64) -> i64 {
    day * 86_400_000_000 + of_day
}

/// Day numbers: 0044-03-15 BC, and 2026-11-21.
const IDES: i64 = -735_160;
const TODAY: i64 = 20_778;

fn uuid(bytes: &[Option<[u8; 16]>]) -> FixedSizeBinaryArray {
    FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes.iter().copied(), 16).unwrap()
}

fn cases() -> Vec<Case> {
    let list = |element: ColumnType| ColumnType::List(Box::new(element));
    let interval =
        |months, days, micros: i64| Some(IntervalMonthDayNano { months, days, nanoseconds: micros * 1000 });
    let mut text_list = ListBuilder::new(StringBuilder::new());
    text_list.append_value([
        Some("a"),
        None,
        Some(""),
        Some("NULL"),
        Some("x,y"),
        Some("q\"\\"),
        Some("{}"),
        Some(" "),
    ]);
    text_list.append_value([] as [Option<&str>; 0]);
    text_list.append_null();
    let mut time_list =
        ListBuilder::new(TimestampMicrosecondBuilder::new().with_timezone("UTC")).with_field(Field::new(
            "item",
            DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ));
    time_list.append_value([Some(micros(TODAY, 1)), Some(i64::MAX), None]);
    vec![
        case(
            ColumnType::Boolean,
            "boolean",
            BooleanArray::from(vec![Some(true), Some(false), None]),
            &[Some("t"), Some("f"), None],
        ),
        case(
            ColumnType::SmallInt,
            "smallint",
            Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None]),
            &[Some("-32768"), Some("32767"), None],
        ),
        case(
            ColumnType::Integer,
            "integer",
            Int32Array::from(vec![Some(i32::MIN), None]),
            &[Some("-2147483648"), None],
        ),
        case(
            ColumnType::BigInt,
            "bigint",
            Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]),
            &[Some("-9223372036854775808"), Some("9223372036854775807"), None],
        ),
        case(
            ColumnType::UInteger,
            "oid",
            UInt32Array::from(vec![Some(u32::MAX), None]),
            &[Some("4294967295"), None],
        ),
        case(
            ColumnType::Real,
            "real",
            Float32Array::from(vec![
                Some(0.1),
                Some(-0.0),
                Some(1e6),
                Some(123_456.0),
                Some(1.234_567_9e8),
                Some(-2.5e-5),
                Some(f32::NAN),
                Some(f32::INFINITY),
                Some(f32::MIN_POSITIVE),
                Some(0.0001),
                Some(3.402_823_5e38),
                None,
            ]),
            &[
                Some("0.1"),
                Some("-0"),
                Some("1e+06"),
                Some("123456"),
                Some("1.2345679e+08"),
                Some("-2.5e-05"),
                Some("NaN"),
                Some("Infinity"),
                Some("1.1754944e-38"),
                Some("0.0001"),
                Some("3.4028235e+38"),
                None,
            ],
        ),
        case(
            ColumnType::Double,
            "double precision",
            Float64Array::from(vec![
                Some(0.1),
                Some(-0.0),
                Some(0.0),
                Some(1e15),
                Some(1e14),
                Some(-1_234_567_890_123_456.0),
                Some(1e16),
                Some(1.5e300),
                Some(5e-324),
                Some(f64::NEG_INFINITY),
                Some(f64::NAN),
                Some(123_456_789.125),
                Some(1e-5),
                Some(-1e22),
                None,
            ]),
            &[
                Some("0.1"),
                Some("-0"),
                Some("0"),
                Some("1e+15"),
                Some("100000000000000"),
                Some("-1.234567890123456e+15"),
                Some("1e+16"),
                Some("1.5e+300"),
                Some("5e-324"),
                Some("-Infinity"),
                Some("NaN"),
                Some("123456789.125"),
                Some("1e-05"),
                Some("-1e+22"),
                None,
            ],
        ),
        case(
            ColumnType::Decimal(4, 2),
            "numeric(4,2)",
            Decimal128Array::from(vec![Some(-9999), Some(5), None]).with_precision_and_scale(4, 2).unwrap(),
            &[Some("-99.99"), Some("0.05"), None],
        ),
        case(
            ColumnType::Decimal(18, 3),
            "numeric(18,3)",
            Decimal128Array::from(vec![Some(999_999_999_999_999_999), Some(-1), None])
                .with_precision_and_scale(18, 3)
                .unwrap(),
            &[Some("999999999999999.999"), Some("-0.001"), None],
        ),
        case(
            ColumnType::Decimal(38, 10),
            "numeric",
            Decimal128Array::from(vec![
                Some(10_i128.pow(38) - 1),
                Some(1 - 10_i128.pow(38)),
                Some(15_000_000_000),
                Some(0),
                Some(1_000_000_000_000),
                None,
            ])
            .with_precision_and_scale(38, 10)
            .unwrap(),
            &[
                Some("9999999999999999999999999999.9999999999"),
                Some("-9999999999999999999999999999.9999999999"),
                Some("1.5"),
                Some("0"),
                Some("100"),
                None,
            ],
        ),
        case(
            ColumnType::Text,
            "text",
            StringArray::from(vec![
                Some(""),
                Some("it's \"quoted\" \\ \n ünï"),
                Some("longer than twelve bytes"),
                None,
            ]),
            &[Some(""), Some("it's \"quoted\" \\ \n ünï"), Some("longer than twelve bytes"), None],
        ),
        case(
            ColumnType::Json,
            "json",
            StringArray::from(vec![Some("{\"b\":1,  \"a\":[1.0, 1e400, null], \"b\":2}"), None]),
            &[Some("{\"b\":1,  \"a\":[1.0, 1e400, null], \"b\":2}"), None],
        ),
        case(
            ColumnType::Blob,
            "bytea",
            BinaryArray::from(vec![Some(&b""[..]), Some(&b"\x00\xff'\\x"[..]), None]),
            &[Some("\\x"), Some("\\x00ff275c78"), None],
        ),
        case(
            ColumnType::Date,
            "date",
            Date32Array::from(vec![
                Some(TODAY as i32),
                Some(i32::MAX),
                Some(-i32::MAX),
                Some(IDES as i32),
                None,
            ]),
            &[Some("2026-11-21"), Some("infinity"), Some("-infinity"), Some("0044-03-15 BC"), None],
        ),
        case(
            ColumnType::Time,
            "time without time zone",
            Time64MicrosecondArray::from(vec![Some(0), Some(86_400_000_000), Some(45_296_120_000), None]),
            &[Some("00:00:00"), Some("24:00:00"), Some("12:34:56.12"), None],
        ),
        case(
            ColumnType::Timestamp,
            "timestamp without time zone",
            TimestampMicrosecondArray::from(vec![
                Some(micros(TODAY, 1)),
                Some(i64::MAX),
                Some(-i64::MAX),
                Some(micros(IDES, 43_200_000_000)),
                None,
            ]),
            &[
                Some("2026-11-21 00:00:00.000001"),
                Some("infinity"),
                Some("-infinity"),
                Some("0044-03-15 12:00:00 BC"),
                None,
            ],
        ),
        case(
            ColumnType::TimestampTz,
            "timestamp with time zone",
            TimestampMicrosecondArray::from(vec![
                Some(micros(TODAY, 500_000)),
                Some(i64::MAX),
                Some(-i64::MAX),
                Some(micros(IDES, 43_200_000_000)),
                None,
            ])
            .with_timezone("UTC"),
            &[
                Some("2026-11-21 00:00:00.5+00"),
                Some("infinity"),
                Some("-infinity"),
                Some("0044-03-15 12:00:00+00 BC"),
                None,
            ],
        ),
        case(
            ColumnType::Interval,
            "interval",
            IntervalMonthDayNanoArray::from(vec![
                interval(14, 3, 14_706_700_000),
                interval(1, 0, 0),
                interval(0, 30, 0),
                interval(0, 0, 0),
                interval(-14, 3, -14_706_700_000),
                interval(-1, 0, 1_000_000),
                interval(12, -1, 1),
                interval(0, 0, 360_000_000_000_000),
                None,
                interval(0, 1, 0),
                interval(-1, 1, 0),
            ]),
            &[
                Some("1 year 2 mons 3 days 04:05:06.7"),
                Some("1 mon"),
                Some("30 days"),
                Some("00:00:00"),
                Some("-1 years -2 mons +3 days -04:05:06.7"),
                Some("-1 mons +00:00:01"),
                Some("1 year -1 days +00:00:00.000001"),
                Some("100000:00:00"),
                None,
                Some("1 day"),
                Some("-1 mons +1 day"),
            ],
        ),
        case(
            ColumnType::Uuid,
            "uuid",
            uuid(&[
                Some([0xff; 16]),
                Some([0; 16]),
                Some(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef"),
                None,
            ]),
            &[
                Some("ffffffff-ffff-ffff-ffff-ffffffffffff"),
                Some("00000000-0000-0000-0000-000000000000"),
                Some("01234567-89ab-cdef-0123-456789abcdef"),
                None,
            ],
        ),
        case(
            list(ColumnType::Integer),
            "integer[]",
            ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
                Some(vec![Some(1), None, Some(-3)]),
                Some(vec![]),
                None,
            ]),
            &[Some("{1,NULL,-3}"), Some("{}"), None],
        ),
        case(
            list(ColumnType::Double),
            "double precision[]",
            ListArray::from_iter_primitive::<Float64Type, _, _>(vec![
                Some(vec![Some(-0.0), Some(1e15), None]),
                None,
            ]),
            &[Some("{-0,1e+15,NULL}"), None],
        ),
        case(
            list(ColumnType::Text),
            "text[]",
            text_list.finish(),
            &[Some(r#"{a,NULL,"","NULL","x,y","q\"\\","{}"," "}"#), Some("{}"), None],
        ),
        case(
            list(ColumnType::TimestampTz),
            "timestamp with time zone[]",
            time_list.finish(),
            &[Some("{\"2026-11-21 00:00:00.000001+00\",infinity,NULL}")],
        ),
        Case {
            values: {
                let decimals = Decimal128Array::from(vec![Some(15_000_000_000), None])
                    .with_precision_and_scale(38, 10)
                    .unwrap();
                let field = Arc::new(Field::new_list_field(DataType::Decimal128(38, 10), true));
                let offsets = arrow_buffer::OffsetBuffer::from_lengths([2]);
                Arc::new(ListArray::new(field, offsets, Arc::new(decimals), None))
            },
            column_type: list(ColumnType::Decimal(38, 10)),
            source_type: "numeric[]",
            texts: vec![Some("{1.5,NULL}")],
        },
        Case {
            values: {
                let field = Arc::new(uuid_field("item"));
                let offsets = arrow_buffer::OffsetBuffer::from_lengths([2]);
                Arc::new(ListArray::new(field, offsets, Arc::new(uuid(&[Some([1; 16]), None])), None))
            },
            column_type: list(ColumnType::Uuid),
            source_type: "uuid[]",
            texts: vec![Some("{01010101-0101-0101-0101-010101010101,NULL}")],
        },
    ]
}

fn uuid_field(name: &str) -> Field {
    let extension = ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
    Field::new(name, DataType::FixedSizeBinary(16), true).with_metadata(HashMap::from([extension]))
}

fn value_column(case: &Case) -> LayoutColumn {
    LayoutColumn { source_type: case.source_type.into(), ..column(2, "value", case.column_type.clone()) }
}

/// A new table for the case: all cases share one warehouse.
fn odd(case: &Case) -> TableState {
    static TABLES: AtomicU32 = AtomicU32::new(20_000);
    let id = TABLES.fetch_add(1, Ordering::Relaxed);
    table(
        id,
        &format!("odd{id}"),
        vec![column(1, "id", ColumnType::Integer), value_column(case)],
        Some(vec![1]),
    )
}

/// `c1` numbers the rows, `c2` holds the case's values; then the columns given.
fn rows(case: &Case, more: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let value = match case.column_type {
        ColumnType::Uuid => uuid_field("c2"),
        _ => Field::new("c2", case.values.data_type().clone(), true),
    };
    let mut fields = vec![Field::new("c1", DataType::Int32, true), value];
    let ids: ArrayRef = Arc::new(Int32Array::from_iter_values(0..case.values.len() as i32));
    let mut columns = vec![ids, case.values.clone()];
    for (name, array) in more {
        fields.push(Field::new(name, array.data_type().clone(), true));
        columns.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn filled(warehouse: &mut dyn Warehouse, case: &Case, state: &TableState) {
    create(warehouse, state);
    let count = case.values.len();
    let opened = rows(
        case,
        vec![
            ("valid_from", times((0..count).map(|_| 11))),
            ("operation_type", Arc::new(StringArray::from(vec!["INSERT"; count]))),
            ("_lsn", numbers((0..count).map(|_| 11))),
            ("_seq", numbers((0..count).map(|row| row as u64))),
        ],
    );
    write(warehouse, &state.layout, RowGroup { open: Some(opened), ..RowGroup::default() });
}

fn values_come_back_as_they_went_in(warehouse: &mut dyn Warehouse, case: &Case) {
    let state = odd(case);
    filled(warehouse, case, &state);
    let keys = rows(case, vec![("ordinal", numbers(0..case.values.len() as u64))]);
    let keys = keys.project(&[0, 2]).unwrap();
    let mut transaction = warehouse.begin().unwrap();
    let found = transaction.lookup(&state.layout, &keys).unwrap();
    let mut seen = 0;
    for batch in found {
        assert_eq!(batch.column(1).data_type(), case.values.data_type(), "{}", case.source_type);
        let ordinals = batch.column(2).to_data();
        let ordinals = arrow_array::UInt64Array::from(ordinals);
        for row in 0..batch.num_rows() {
            let there = batch.column(1).slice(row, 1);
            let sent = case.values.slice(ordinals.value(row) as usize, 1);
            assert_eq!(format!("{there:?}"), format!("{sent:?}"), "{}", case.source_type);
            seen += 1;
        }
    }
    assert_eq!(seen, case.values.len());
}

fn a_column_widened_to_text_holds_postgresqls_text(warehouse: &mut dyn Warehouse, case: &Case) {
    let mut state = odd(case);
    filled(warehouse, case, &state);
    state.layout.columns[1].column_type = ColumnType::Text;
    let mut transaction = warehouse.begin().unwrap();
    transaction.alter_table(&state, &[Alteration::Retype { attnum: 2, to: ColumnType::Text }]).unwrap();
    transaction.commit().unwrap();
    let expected: Vec<_> = case.texts.iter().map(|text| text.unwrap_or("-")).collect();
    assert_eq!(
        query(warehouse, &format!("SELECT value FROM {} ORDER BY id", state.layout.target)),
        expected,
        "{}",
        case.source_type
    );
    assert!(warehouse.tables().unwrap().contains(&state));
}

/// Comparing, and matching whole rows, takes every value for itself and for nothing else, but for the sign of a zero.
fn a_row_of_odd_values_is_equal_to_itself(warehouse: &mut dyn Warehouse, case: &Case) {
    let mut state = odd(case);
    filled(warehouse, case, &state);
    let sent = rows(case, vec![]);
    let mut reader = warehouse.reader().unwrap();
    reader.stage(&state.layout, &sent).unwrap();
    let comparison = reader.compare_staged(&state.layout, 5).unwrap();
    assert!(comparison.is_equal(), "{}: {comparison:?}", case.source_type);
    let count = case.values.len();
    let turned: Vec<_> = (0..count).map(|row| ((row + 1) % count) as u32).collect();
    let kinds: Vec<_> = case.texts.iter().map(|text| text.map(without_sign_of_zero)).collect();
    let different = (0..count).filter(|row| kinds[*row] != kinds[(row + 1) % count]).count();
    let shifted = arrow_select::take::take(&case.values, &UInt32Array::from(turned), None).unwrap();
    let shifted = Case { values: shifted, texts: vec![], ..case_of(case) };
    reader.stage(&state.layout, &rows(&shifted, vec![])).unwrap();
    let comparison = reader.compare_staged(&state.layout, 50).unwrap();
    assert_eq!(comparison.different.count, different as u64, "{}: {comparison:?}", case.source_type);
    state.layout.key = None;
    let mut transaction = warehouse.begin().unwrap();
    let counts = transaction.count_equal(&state.layout, &sent).unwrap();
    assert_eq!(counts, vec![1; count], "{}", case.source_type);
}

/// The form that equal numbers have: zeros have no sign.
fn without_sign_of_zero(text: &str) -> String {
    let is_end = |c| matches!(c, ',' | '{' | '}');
    let values = text.split_inclusive(is_end).map(|value| match value.trim_end_matches(is_end) {
        "-0" => &value[1..],
        _ => value,
    });
    values.collect()
}

fn case_of(case: &Case) -> Case {
    Case {
        column_type: case.column_type.clone(),
        source_type: case.source_type,
        values: case.values.clone(),
        texts: case.texts.clone(),
    }
}

/// Rows older than a column hold what the catalogue says, read back from its text.
fn a_column_added_with_a_value_holds_it(warehouse: &mut dyn Warehouse, case: &Case) {
    let mut state = odd(case);
    filled(warehouse, case, &state);
    let (mut adds, mut retypes, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (text, attnum) in case.texts.iter().zip(3..) {
        let added = LayoutColumn { attnum, name: format!("added{attnum}"), ..value_column(case) };
        names.push(added.name.clone());
        adds.push(Alteration::Add { column: added.clone(), existing: text.map(str::to_owned) });
        retypes.push(Alteration::Retype { attnum, to: ColumnType::Text });
        state.layout.columns.push(LayoutColumn { column_type: ColumnType::Text, ..added });
    }
    adds.append(&mut retypes);
    let mut transaction = warehouse.begin().unwrap();
    transaction.alter_table(&state, &adds).unwrap();
    transaction.commit().unwrap();
    let sql = format!("SELECT DISTINCT {} FROM {}", names.join(", "), state.layout.target);
    let expected: Vec<_> = case.texts.iter().map(|text| text.unwrap_or("-")).collect();
    assert_eq!(query(warehouse, &sql), [expected.join("|")], "{}", case.source_type);
}

fn long_lists_cross_vector_boundaries(warehouse: &mut dyn Warehouse) {
    let lists = (0..5_000).map(|row| (row % 7 != 0).then(|| (0..row % 5).map(Some).collect::<Vec<_>>()));
    let case = case(
        ColumnType::List(Box::new(ColumnType::Integer)),
        "integer[]",
        ListArray::from_iter_primitive::<Int32Type, _, _>(lists),
        &[None; 5_000],
    );
    let state = odd(&case);
    filled(warehouse, &case, &state);
    assert_eq!(
        query(
            warehouse,
            &format!(
                "SELECT count(*), count(value), sum(len(value)) FROM {} \
                 WHERE value IS NULL OR len(value) = id % 5",
                state.layout.target
            )
        ),
        ["5000|4285|8570"]
    );
}
