//! Values as SQL literals: ordinary ones, and those that software gets wrong.

use super::random::Random;

/// Smallest value that PostgreSQL moves out of line, with room to spare (`TOAST_TUPLE_THRESHOLD` is about 2 kB).
const LARGE_BYTES_MIN: i64 = 3_000;
/// Several chunks of a TOAST table and more than a block.
const LARGE_BYTES_MAX: i64 = 14_000;

const WORDS: &[&str] = &[
    "''",
    "' '",
    "'plain'",
    "'O''Brien'",
    "E'tab\\tnewline\\nend'",
    "E'back\\\\slash'",
    "'NULL'",
    "E'\\\\N'",
    "'{\"a\":1}'",
    "'ünïcödé ∑ 漢字'",
    "'🐘🦆'",
    "'\"quoted\"'",
    "'a,b;c'",
    "E'\\u0001'",
    "'-1'",
    "'1.50'",
    "'true'",
    "'%_'",
    "'<a>&amp;</a>'",
];

/// Short text, most of it awkward.
pub(super) fn word(random: &mut Random) -> String {
    if random.chance(30) {
        return format!("'w{}'", random.below(1000));
    }
    if random.chance(5) {
        return "NULL".into();
    }
    (*random.pick(WORDS)).to_owned()
}

/// The same without NULL.
pub(super) fn word_not_null(random: &mut Random) -> String {
    format!("coalesce({}, 'none')", word(random))
}

/// Text that is stored out of line: random, so that nothing compresses it.
pub(super) fn large_text(random: &mut Random) -> String {
    let length = random.between(LARGE_BYTES_MIN, LARGE_BYTES_MAX);
    let text: String = (0..length).map(|_| char::from(b'a' + (random.bits() % 26) as u8)).collect();
    format!("'{text}'")
}

/// Bytes that are stored out of line.
pub(super) fn large_bytes(random: &mut Random) -> String {
    let length = random.between(LARGE_BYTES_MIN / 8, LARGE_BYTES_MAX / 16);
    let hex: String = (0..length).map(|_| format!("{:016x}", random.bits())).collect();
    format!("'\\x{hex}'")
}

/// Usually something short, sometimes something large.
pub(super) fn text_of_any_size(random: &mut Random) -> String {
    if random.chance(12) {
        large_text(random)
    } else {
        word(random)
    }
}

/// A numeric without declared precision.
pub(super) fn numeric(random: &mut Random) -> String {
    match random.below(12) {
        0 => "'NaN'".into(),
        1 => "1234567890123456789012345678901234567890".into(),
        2 => "-0.000000000000000000000000000000000000012345".into(),
        3 => "NULL".into(),
        4 => "1e20".into(),
        5 => "0".into(),
        _ => format!("{}.{:02}", random.between(-9999, 9999), random.below(100)),
    }
}

/// A uuid out of a small set, so that writers meet.
pub(super) fn uuid(random: &mut Random) -> String {
    format!("'00000000-0000-4000-8000-{:012x}'", random.below(120))
}

const TEXT_ARRAYS: &[&str] = &[
    "NULL",
    "'{}'",
    "'{a,b}'",
    "'{NULL,\"NULL\",\"\"}'",
    "E'{\"a,b\",\"q\\\\\"uote\",\"back\\\\\\\\slash\"}'",
    "'{ünï,漢}'",
];
const INT_ARRAYS: &[&str] = &["NULL", "'{}'", "'{1,2,3}'", "'{NULL,-1}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"];

pub(super) fn text_array(random: &mut Random) -> String {
    (*random.pick(TEXT_ARRAYS)).to_owned()
}

pub(super) fn int_array(random: &mut Random) -> String {
    (*random.pick(INT_ARRAYS)).to_owned()
}

/// The odd table's columns but for its key, with the literals that each may get beside NULL.
const ODDITIES: &[(&str, &[&str])] = &[
    ("a_small", &["0", "-32768", "32767"]),
    ("a_big", &["0", "-9223372036854775808", "9223372036854775807"]),
    ("a_real", &["0", "'NaN'", "'Infinity'", "'-Infinity'", "1.1", "-3.4e38", "1e-40"]),
    ("a_double", &["0", "'NaN'", "'Infinity'", "'-Infinity'", "0.1", "1.7976931348623157e308", "5e-324"]),
    ("a_numeric", &["1.50", "0", "-12345.678", "'NaN'", "0.00000000000000000001"]),
    ("a_money", &["0.0000", "9999999999.9999", "-0.0001"]),
    ("a_bool", &["true", "false"]),
    ("a_char", &["''", "'ab'", "'abcde'"]),
    ("a_bytes", &["''", "'\\x00'", "'\\xdeadbeef00'"]),
    ("a_date", &["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'2024-02-29'", "'5874897-12-31'"]),
    ("a_time", &["'00:00'", "'24:00'", "'12:34:56.789012'"]),
    ("a_timetz", &["'24:00:00+00'", "'00:00:00-15:59'", "'12:34:56.789+05:30'"]),
    (
        "a_stamp",
        &[
            "'infinity'",
            "'-infinity'",
            "'0001-01-01 00:00 BC'",
            "'2024-02-29 23:59:59.999999'",
            "'1969-12-31 23:59:59.5'",
        ],
    ),
    (
        "a_stamptz",
        &[
            "'infinity'",
            "'-infinity'",
            "'0044-03-15 12:00+00 BC'",
            "'2024-03-31 02:30:00+02'",
            "'1900-01-01 00:00:00.000001+00'",
        ],
    ),
    (
        "a_interval",
        &["'0'", "'1 mon -3 days 04:05:06.789'", "'-1 year -2 mons'", "'100000 days'", "'-00:00:00.000001'"],
    ),
    (
        "a_json",
        &["'null'", "'{\"b\": 1.50, \"a\": [1, null, \"x\"]}'", "'\"text\"'", "'[]'", "'{\"a\":{\"b\":{}}}'"],
    ),
    (
        "a_jsonb",
        &["'null'", "'{\"b\": 1.50, \"a\": [1, null, \"x\"]}'", "'123456789012345678901234567890'", "'{}'"],
    ),
    ("a_mood", &["'sad'", "'ok'", "'very happy, \"so\"'"]),
    ("a_positive", &["1", "2147483647"]),
    ("a_range", &["'empty'", "'[1,5)'", "'(,)'", "'[7,)'"]),
    ("an_inet", &["'10.0.0.1'", "'10.0.0.0/8'", "'::1'", "'2001:db8::/32'"]),
    ("a_mac", &["'08:00:2b:01:02:03'"]),
    ("some_bits", &["B''", "B'0'", "B'10110'"]),
    ("an_xml", &["'<a href=\"x\">é</a>'", "'text'"]),
    ("a_vector", &["''", "'fat:2,4A cat:3 ''it''''s'':1'"]),
    ("ints", INT_ARRAYS),
    ("words", TEXT_ARRAYS),
    ("moods", &["'{}'", "'{sad,NULL}'", "'{\"very happy, \\\"so\\\"\"}'"]),
    ("a_point", &["'(1,a)'", "'(,)'", "'(2,\"q\"\"uote, comma\")'"]),
    ("an_oid", &["0", "4294967295"]),
];

/// Some of the odd table's columns with a value each.
pub(super) fn oddities(random: &mut Random) -> Vec<(&'static str, String)> {
    let percent = *random.pick(&[10, 40, 100]);
    let mut chosen = Vec::new();
    for (column, literals) in ODDITIES {
        if random.chance(percent) {
            let value = if random.chance(10) { "NULL" } else { *random.pick(literals) };
            chosen.push((*column, value.to_owned()));
        }
    }
    if chosen.is_empty() {
        chosen.push(("a_bool", "NULL".into()));
    }
    chosen
}
