//! Floats.

use super::{
    number::{parse_i64, sign, write_integer, NOT_A_NUMBER, OUT_OF_RANGE},
    Fault, Parsed,
};

/// A double: the nearest one to what is written, which for PostgreSQL's shortest exact output is the very one.
#[inline]
pub(crate) fn parse_f64(text: &[u8]) -> Parsed<f64> {
    parse_float(text, f64::is_finite, |value| value == 0.0)
}

/// A single, likewise.
#[inline]
pub(crate) fn parse_f32(text: &[u8]) -> Parsed<f32> {
    parse_float(text, f32::is_finite, |value| value == 0.0)
}

#[inline]
fn parse_float<T: std::str::FromStr + Copy>(
    text: &[u8],
    is_finite: impl Fn(T) -> bool,
    is_zero: impl Fn(T) -> bool,
) -> Parsed<T> {
    let value: T = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(NOT_A_NUMBER)?;
    // A numeric can lie beyond a double's range; what the type itself prints can't.
    let digits = || text.iter().take_while(|byte| !matches!(byte, b'e' | b'E'));
    if !is_finite(value) && digits().any(u8::is_ascii_digit) {
        return Err(OUT_OF_RANGE);
    }
    if is_zero(value) && digits().any(|byte| matches!(byte, b'1'..=b'9')) {
        return Err(Fault::Unrepresentable("nearer to zero than the type's smallest number"));
    }
    Ok(value)
}

/// Appends a double as PostgreSQL prints it: shortest exact digits, an exponent below 10^-4 and from 10^15 on.
pub(crate) fn write_f64(out: &mut Vec<u8>, value: f64) {
    write_float(out, value.is_nan(), value.is_infinite(), value.is_sign_negative(), 15, || {
        format!("{value:e}")
    });
}

/// Appends a single likewise; its exponent begins at 10^6.
pub(crate) fn write_f32(out: &mut Vec<u8>, value: f32) {
    write_float(out, value.is_nan(), value.is_infinite(), value.is_sign_negative(), 6, || {
        format!("{value:e}")
    });
}

fn write_float(
    out: &mut Vec<u8>,
    is_nan: bool,
    is_infinite: bool,
    negative: bool,
    exponent_from: i32,
    scientific: impl Fn() -> String,
) {
    if is_nan {
        return out.extend_from_slice(b"NaN");
    }
    if negative {
        out.push(b'-');
    }
    if is_infinite {
        return out.extend_from_slice(b"Infinity");
    }
    // Rust's form is d.ddde±x with the same shortest digits.
    let scientific = scientific();
    let scientific = scientific.trim_start_matches('-');
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    if (-4..exponent_from).contains(&exponent) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(&digits);
        } else {
            let whole = exponent as usize + 1;
            let split = whole.min(digits.len());
            out.extend_from_slice(&digits[..split]);
            out.resize(out.len() + whole - split, b'0');
            if split < digits.len() {
                out.push(b'.');
                out.extend_from_slice(&digits[split..]);
            }
        }
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        write_integer(out, i128::from(exponent.abs()));
    }
}

/// Appends the printed form of a finite float without exponent and without a negative zero, as `numeric` prints the number.
pub(crate) fn write_plain_float(out: &mut Vec<u8>, printed: &[u8]) {
    if matches!(printed, b"-0") {
        return out.push(b'0');
    }
    let Some(at) = printed.iter().position(|&byte| byte == b'e') else {
        return out.extend_from_slice(printed);
    };
    let exponent = parse_i64(&printed[at + 1..]).unwrap_or(0);
    let (negative, mantissa) = sign(&printed[..at]);
    if negative {
        out.push(b'-');
    }
    // One digit stands before the point.
    let digits = mantissa.iter().copied().filter(u8::is_ascii_digit);
    let count = digits.clone().count();
    let zeros = exponent.unsigned_abs() as usize;
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + zeros - 1, b'0');
        out.extend(digits);
    } else {
        let whole = out.len() + zeros + 1;
        out.extend(digits);
        if count <= zeros {
            out.resize(whole, b'0');
        } else if out.len() > whole {
            out.insert(whole, b'.');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_print_as_postgresql_prints_them() {
        let doubles: [(f64, &str); 14] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1.0, "1"),
            (123456.789, "123456.789"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.5e20, "1.5e+20"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-300, "1e-300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in doubles {
            assert_eq!(printed(|out| write_f64(out, value)), text);
            assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Ok(value.to_bits()), "{text}");
        }
        for (value, text) in [(1e5f32, "100000"), (1e6, "1e+06"), (0.1, "0.1"), (16777216.0, "1.6777216e+07")]
        {
            assert_eq!(printed(|out| write_f32(out, value)), text);
            assert_eq!(parse_f32(text.as_bytes()).map(f32::to_bits), Ok(value.to_bits()));
        }
        assert_eq!(printed(|out| write_f64(out, f64::NAN)), "NaN");
        assert_eq!(parse_f64(b"1e400"), Err(OUT_OF_RANGE));
        assert!(matches!(parse_f64(b"0.1e-400"), Err(Fault::Unrepresentable(_))));
        assert_eq!(parse_f64(b"0.0e-400"), Ok(0.0));
        assert_eq!(parse_f64(b""), Err(NOT_A_NUMBER));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn doubles_print_and_parse(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let text = printed(|out| write_f64(out, value));
            prop_assert_eq!(parse_f64(text.as_bytes()).map(f64::to_bits), Ok(bits));
        }

        #[test]
        fn singles_print_and_parse(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(!value.is_nan());
            let text = printed(|out| write_f32(out, value));
            prop_assert_eq!(parse_f32(text.as_bytes()).map(f32::to_bits), Ok(bits));
        }

        #[test]
        fn garbage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "[-+0-9.eENaIif]{0,45}") {
            let _ = (parse_f64(&bytes), parse_f32(&bytes), parse_f64(text.as_bytes()));
        }
    }
}
