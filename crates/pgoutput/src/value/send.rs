//! From the binary form of a value to its text, for every kind that is copied in binary: what a column that was widened to text
//! makes of chunks that were copied when it was narrow. Holds also what the narrow type could not: NaN, 131,072 digits, the year
//! 294276, several dimensions.

use millstream_core::TypeKind;

use super::{
    array::write_element,
    bytes::{write_bytea, write_uuid},
    datetime::{self, write_clock, write_date, write_timestamp, MICROS_PER_SECOND, POSTGRES_EPOCH_SECONDS},
    float::{write_f32, write_f64},
    interval::write_interval,
    number::{trim_scale, write_integer},
    Fault, Parsed,
};

/// Dimensions that an array can have (`MAXDIM`).
const DIMENSIONS_MAX: usize = 6;

/// The bytes as an array of the type's length.
fn exactly<const LENGTH: usize>(bytes: &[u8]) -> Parsed<[u8; LENGTH]> {
    bytes.try_into().map_err(|_| Fault::Malformed("of another length than its type"))
}

/// `jsonb_send`: a version, then the text.
pub(crate) fn jsonb(bytes: &[u8]) -> Parsed<&[u8]> {
    match bytes {
        [1, text @ ..] => Ok(text),
        _ => Err(Fault::Malformed("unknown version of jsonb")),
    }
}

/// Appends the text. On an error what was appended stays.
pub(crate) fn write_as_text(kind: &TypeKind, bytes: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    match kind {
        TypeKind::Bool => out.push(if exactly::<1>(bytes)?[0] != 0 { b't' } else { b'f' }),
        TypeKind::Int2 => write_integer(out, i16::from_be_bytes(exactly(bytes)?).into()),
        TypeKind::Int4 => write_integer(out, i32::from_be_bytes(exactly(bytes)?).into()),
        TypeKind::Int8 => write_integer(out, i64::from_be_bytes(exactly(bytes)?).into()),
        TypeKind::Oid => write_integer(out, u32::from_be_bytes(exactly(bytes)?).into()),
        TypeKind::Float4 => write_f32(out, f32::from_be_bytes(exactly(bytes)?)),
        TypeKind::Float8 => write_f64(out, f64::from_be_bytes(exactly(bytes)?)),
        TypeKind::Numeric { declared } => {
            let start = out.len();
            write_numeric(bytes, out)?;
            if declared.is_none() {
                let kept = trim_scale(&out[start..]).len();
                out.truncate(start + kept);
            }
        }
        TypeKind::Text | TypeKind::Enum | TypeKind::Json => write_utf8(bytes, out)?,
        TypeKind::Jsonb => write_utf8(jsonb(bytes)?, out)?,
        TypeKind::Bytea => write_bytea(out, bytes),
        TypeKind::Date => write_date(out, datetime::date_from_binary(bytes)?),
        TypeKind::Time => {
            let micros = datetime::time_from_binary(bytes)?.unsigned_abs();
            write_clock(out, micros / MICROS_PER_SECOND as u64, nanos(micros as i64));
        }
        TypeKind::Timestamp | TypeKind::TimestampTz => match i64::from_be_bytes(exactly(bytes)?) {
            i64::MAX => out.extend_from_slice(b"infinity"),
            i64::MIN => out.extend_from_slice(b"-infinity"),
            micros => {
                let seconds = micros.div_euclid(MICROS_PER_SECOND) + POSTGRES_EPOCH_SECONDS;
                let zone = if *kind == TypeKind::TimestampTz { "+00" } else { "" };
                write_timestamp(out, seconds, nanos(micros), b' ', zone);
            }
        },
        TypeKind::Interval => {
            let [m0, m1, m2, m3, m4, m5, m6, m7, d0, d1, d2, d3, n0, n1, n2, n3] = exactly(bytes)?;
            let micros = i64::from_be_bytes([m0, m1, m2, m3, m4, m5, m6, m7]);
            match (micros, i32::from_be_bytes([d0, d1, d2, d3]), i32::from_be_bytes([n0, n1, n2, n3])) {
                (i64::MAX, i32::MAX, i32::MAX) => out.extend_from_slice(b"infinity"),
                (i64::MIN, i32::MIN, i32::MIN) => out.extend_from_slice(b"-infinity"),
                (micros, days, months) => write_interval(out, months, days, i128::from(micros) * 1000),
            }
        }
        TypeKind::Uuid => write_uuid(out, &exactly::<16>(bytes)?),
        TypeKind::Array(element) => write_array(element, bytes, out)?,
        TypeKind::TimeTz | TypeKind::Other => return Err(super::NO_BINARY),
    }
    Ok(())
}

fn nanos(micros: i64) -> u32 {
    (micros.rem_euclid(MICROS_PER_SECOND) * 1000) as u32
}

fn write_utf8(bytes: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(super::NOT_UTF8);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// `numeric_out`: all digits before the point, and as many behind it as the display scale says.
fn write_numeric(bytes: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    let Some((head, digits)) = bytes.split_first_chunk::<8>() else {
        return Err(Fault::Malformed("shorter than a numeric's head"));
    };
    let count = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let weight = i32::from(i16::from_be_bytes([head[2], head[3]]));
    match u16::from_be_bytes([head[4], head[5]]) {
        0x0000 => {}
        0x4000 => out.push(b'-'),
        0xC000 => return write_utf8(b"NaN", out),
        0xD000 => return write_utf8(b"Infinity", out),
        0xF000 => return write_utf8(b"-Infinity", out),
        _ => return Err(Fault::Malformed("unknown sign of a numeric")),
    }
    let scale = usize::from(u16::from_be_bytes([head[6], head[7]]));
    if digits.len() != count * 2 {
        return Err(Fault::Malformed("a numeric's count of digits is not its length"));
    }
    // Digits of base 10000; those that are not stored are zero.
    let group = |index: i32| -> [u8; 4] {
        let at = usize::try_from(index).ok().and_then(|index| digits.get(index * 2..index * 2 + 2));
        let value = at.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]) % 10_000);
        [1000, 100, 10, 1].map(|power| b'0' + (value / power % 10) as u8)
    };
    if weight < 0 {
        out.push(b'0');
    } else {
        let first = group(0);
        let zeros = first.iter().take(3).take_while(|&&digit| digit == b'0').count();
        out.extend_from_slice(&first[zeros..]);
        for index in 1..=weight {
            out.extend_from_slice(&group(index));
        }
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut index = weight + 1;
        while out.len() < end {
            out.extend_from_slice(&group(index));
            index += 1;
        }
        out.truncate(end);
    }
    Ok(())
}

/// `array_out`: bounds where one is not 1, a pair of braces per dimension.
fn write_array(element: &TypeKind, bytes: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    let cut = Fault::Malformed("an array is cut short");
    let mut rest = bytes;
    let word = |rest: &mut &[u8]| -> Parsed<i32> {
        let (head, behind) = rest.split_first_chunk::<4>().ok_or(cut)?;
        *rest = behind;
        Ok(i32::from_be_bytes(*head))
    };
    let dimensions = word(&mut rest)?;
    let (_has_nulls, _element_oid) = (word(&mut rest)?, word(&mut rest)?);
    let dimensions = usize::try_from(dimensions).ok().filter(|&dimensions| dimensions <= DIMENSIONS_MAX);
    let dimensions = dimensions.ok_or(Fault::Malformed("absurd number of dimensions"))?;
    if dimensions == 0 {
        return write_utf8(b"{}", out);
    }
    let mut lengths = [0i32; DIMENSIONS_MAX];
    let mut bounds = [1i32; DIMENSIONS_MAX];
    for dimension in 0..dimensions {
        lengths[dimension] = word(&mut rest)?;
        bounds[dimension] = word(&mut rest)?;
        // An array without elements has no dimensions.
        if lengths[dimension] < 1 {
            return Err(Fault::Malformed("a dimension without length"));
        }
    }
    let lengths = &lengths[..dimensions];
    if bounds.iter().any(|&bound| bound != 1) {
        for (&length, &bound) in lengths.iter().zip(&bounds) {
            out.push(b'[');
            write_integer(out, bound.into());
            out.push(b':');
            write_integer(out, i128::from(bound) + i128::from(length) - 1);
            out.push(b']');
        }
        out.push(b'=');
    }
    let mut text = Vec::new();
    // Where in each dimension the next element stands: braces open with the first of a dimension and close behind its last.
    let mut index = [0i32; DIMENSIONS_MAX];
    let index = &mut index[..dimensions];
    loop {
        let opened = index.iter().rev().take_while(|&&at| at == 0).count();
        out.resize(out.len() + opened, b'{');
        match word(&mut rest)? {
            -1 => out.extend_from_slice(b"NULL"),
            length => {
                let length = usize::try_from(length).map_err(|_| cut)?;
                let (value, behind) = rest.split_at_checked(length).ok_or(cut)?;
                rest = behind;
                text.clear();
                write_as_text(element, value, &mut text)?;
                write_element(out, &text);
            }
        }
        let mut dimension = dimensions;
        loop {
            let Some(outer) = dimension.checked_sub(1) else {
                return if rest.is_empty() { Ok(()) } else { Err(Fault::Malformed("more than an array")) };
            };
            index[outer] += 1;
            if index[outer] < lengths[outer] {
                break;
            }
            index[outer] = 0;
            out.push(b'}');
            dimension = outer;
        }
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn text(kind: &TypeKind, bytes: &[u8]) -> Parsed<String> {
        let mut out = Vec::new();
        write_as_text(kind, bytes, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_no_narrow_type_holds_is_text() {
        let declared = TypeKind::Numeric { declared: Some((50, 3)) };
        let bare = TypeKind::Numeric { declared: None };
        // 1, weight -2, display scale 10: 0.00000001 with two zeros behind.
        let small = b"\0\x01\xff\xfe\0\0\0\x0a\0\x01";
        assert_eq!(text(&declared, small).unwrap(), "0.0000000100");
        assert_eq!(text(&bare, small).unwrap(), "0.00000001");
        assert_eq!(text(&bare, b"\0\0\0\0\xc0\0\0\0").unwrap(), "NaN");
        assert_eq!(text(&bare, b"\0\0\0\0\xf0\0\0\0").unwrap(), "-Infinity");
        // 5 with weight 2: five hundred million.
        assert_eq!(text(&bare, b"\0\x01\0\x02\x40\0\0\0\0\x05").unwrap(), "-500000000");
        let late = 9_223_371_331_199_999_999i64.to_be_bytes();
        assert_eq!(text(&TypeKind::TimestampTz, &late).unwrap(), "294276-12-31 23:59:59.999999+00");
        let mut matrix = Vec::new();
        for word in [2i32, 0, 23, 2, 0, 2, -1, 4, 1, 4, 2, 4, 3, -1] {
            matrix.extend(word.to_be_bytes());
        }
        let array = TypeKind::Array(Box::new(TypeKind::Int4));
        assert_eq!(text(&array, &matrix).unwrap(), "[0:1][-1:0]={{1,2},{3,NULL}}");
    }

    proptest! {
        #[test]
        fn garbage_is_never_a_panic(mut bytes in vec(any::<u8>(), 0..80), dimensions in 0u8..8) {
            let array = TypeKind::Array(Box::new(TypeKind::Numeric { declared: None }));
            let kinds = [
                TypeKind::Bool, TypeKind::Int2, TypeKind::Float4, TypeKind::Numeric { declared: None }, TypeKind::Text,
                TypeKind::Jsonb, TypeKind::Date, TypeKind::Time, TypeKind::Timestamp, TypeKind::Interval,
                TypeKind::Uuid, TypeKind::Other, array,
            ];
            for kind in &kinds {
                let _ = text(kind, &bytes);
            }
            if bytes.len() > 20 {
                bytes[..16].copy_from_slice(&[0, 0, 0, dimensions, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
                let _ = text(&kinds[12], &bytes);
            }
        }
    }
}
