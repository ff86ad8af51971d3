//! Integers and decimals.

use super::{Fault, Parsed};

pub(super) const NOT_A_NUMBER: Fault = Fault::Malformed("not a number");
pub(super) const OUT_OF_RANGE: Fault = Fault::Unrepresentable("out of the type's range");
const TOO_MANY_DIGITS: Fault = Fault::Unrepresentable("more digits before the point than the type has");
const TOO_FINE: Fault = Fault::Unrepresentable("more digits behind the point than the type has");
const FRACTION: Fault = Fault::Unrepresentable("not a whole number");
const NAN: Fault = Fault::Unrepresentable("NaN");
const INFINITE: Fault = Fault::Unrepresentable("infinity");

/// 10^0 to 10^38.
const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut exponent = 1;
    while exponent < 39 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

pub(super) fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Digits that 64 bits always hold.
const SAFE_DIGITS: usize = 18;

/// An integer of at most 64 bits.
#[inline]
pub(crate) fn parse_i64(text: &[u8]) -> Parsed<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() {
        return Err(NOT_A_NUMBER);
    }
    let (safe, rest) = digits.split_at(digits.len().min(SAFE_DIGITS));
    let mut value = 0i64;
    for &byte in safe {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(NOT_A_NUMBER);
        }
        value = value * 10 + i64::from(digit);
    }
    if negative {
        value = -value;
    }
    if rest.is_empty() {
        return Ok(value);
    }
    if !rest.iter().all(u8::is_ascii_digit) {
        return Err(NOT_A_NUMBER);
    }
    for &byte in rest {
        let digit = i64::from(byte - b'0');
        let digit = if negative { -digit } else { digit };
        value = value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(OUT_OF_RANGE)?;
    }
    Ok(value)
}

/// A whole number spelled with fraction or exponent, as numerics and floats are.
pub(crate) fn parse_whole(text: &[u8]) -> Parsed<i64> {
    parse_i64(text).or_else(|_| {
        let value = parse_decimal(text, 38, 0).map_err(|fault| match fault {
            TOO_FINE => FRACTION,
            TOO_MANY_DIGITS => OUT_OF_RANGE,
            fault => fault,
        })?;
        i64::try_from(value).map_err(|_| OUT_OF_RANGE)
    })
}

/// Narrows an integer.
#[inline]
pub(crate) fn narrow<T: TryFrom<i64>>(value: i64) -> Parsed<T> {
    T::try_from(value).map_err(|_| OUT_OF_RANGE)
}

/// Puts a whole number into a decimal.
#[inline]
pub(crate) fn decimal_from_i64(value: i64, precision: u8, scale: u8) -> Parsed<i128> {
    in_precision(i128::from(value).checked_mul(POWERS[usize::from(scale)]), precision)
}

#[inline]
fn in_precision(value: Option<i128>, precision: u8) -> Parsed<i128> {
    let bound = POWERS[usize::from(precision)];
    value.filter(|value| -bound < *value && *value < bound).ok_or(TOO_MANY_DIGITS)
}

/// A decimal of the given precision and scale, unscaled.
#[inline]
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: u8) -> Parsed<i128> {
    let (negative, digits) = sign(text);
    // 18 digits and a point: 64-bit arithmetic can't overflow. Anything unusual takes the long way.
    if digits.len() > 19 || digits.len() < 2 && !matches!(digits, [b'0'..=b'9']) {
        return parse_long_decimal(negative, digits, precision, scale);
    }
    let mut value = 0u64;
    let mut point = digits.len();
    for (index, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if byte == b'.' && point == digits.len() {
            point = index;
        } else {
            return parse_long_decimal(negative, digits, precision, scale);
        }
    }
    let fraction = digits.len().saturating_sub(point + 1);
    if fraction > usize::from(scale) || (point == digits.len() && digits.len() == 19) {
        return parse_long_decimal(negative, digits, precision, scale);
    }
    let value =
        in_precision(i128::from(value).checked_mul(POWERS[usize::from(scale) - fraction]), precision)?;
    Ok(if negative { -value } else { value })
}

#[cold]
fn parse_long_decimal(negative: bool, text: &[u8], precision: u8, scale: u8) -> Parsed<i128> {
    if text == b"NaN" {
        return Err(NAN);
    }
    if text == b"Infinity" || text == b"inf" {
        return Err(INFINITE);
    }
    let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&text[..at], parse_i64(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty()
        || !whole.iter().chain(fraction).all(u8::is_ascii_digit)
        || exponent.unsigned_abs() > 1 << 32
    {
        return Err(NOT_A_NUMBER);
    }
    // The power of ten of a digit in the unscaled number.
    let mut power = whole.len() as i64 + exponent + i64::from(scale);
    let mut value = 0i128;
    for &byte in whole.iter().chain(fraction) {
        power -= 1;
        let digit = i128::from(byte - b'0');
        if power >= 0 {
            value =
                value.checked_mul(10).and_then(|value| value.checked_add(digit)).ok_or(TOO_MANY_DIGITS)?;
        } else if digit != 0 {
            return Err(TOO_FINE);
        }
    }
    if power > 0 && value != 0 {
        let factor = usize::try_from(power).ok().and_then(|power| POWERS.get(power));
        value = factor.and_then(|factor| value.checked_mul(*factor)).ok_or(TOO_MANY_DIGITS)?;
    }
    let value = in_precision(Some(value), precision)?;
    Ok(if negative { -value } else { value })
}

/// `numeric_send`: count of base-10000 digits, weight of the first, sign, display scale, digits.
#[inline]
pub(crate) fn decimal_from_binary(bytes: &[u8], precision: u8, scale: u8) -> Parsed<i128> {
    let Some((head, digits)) = bytes.split_first_chunk::<8>() else {
        return Err(Fault::Malformed("shorter than a numeric's head"));
    };
    let count = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let weight = i64::from(i16::from_be_bytes([head[2], head[3]]));
    let negative = match u16::from_be_bytes([head[4], head[5]]) {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return Err(NAN),
        0xD000 | 0xF000 => return Err(INFINITE),
        _ => return Err(Fault::Malformed("unknown sign of a numeric")),
    };
    if digits.len() != count * 2 {
        return Err(Fault::Malformed("a numeric's count of digits is not its length"));
    }
    // The power of ten of a base-10000 digit in the unscaled number.
    let mut power = (weight + 1) * 4 + i64::from(scale);
    let mut value = 0i128;
    for digit in digits.chunks_exact(2) {
        power -= 4;
        let digit = i128::from(u16::from_be_bytes([digit[0], digit[1]]));
        if digit > 9999 {
            return Err(Fault::Malformed("a numeric's digit is above 9999"));
        }
        let (factor, digit) = match power {
            0.. => (10_000, digit),
            -3..=-1 => {
                let divisor = POWERS[power.unsigned_abs() as usize];
                if digit % divisor != 0 {
                    return Err(TOO_FINE);
                }
                (10_000 / divisor, digit / divisor)
            }
            _ if digit != 0 => return Err(TOO_FINE),
            _ => continue,
        };
        value =
            value.checked_mul(factor).and_then(|value| value.checked_add(digit)).ok_or(TOO_MANY_DIGITS)?;
    }
    if power > 0 && value != 0 {
        let factor = usize::try_from(power).ok().and_then(|power| POWERS.get(power));
        value = factor.and_then(|factor| value.checked_mul(*factor)).ok_or(TOO_MANY_DIGITS)?;
    }
    let value = in_precision(Some(value), precision)?;
    Ok(if negative { -value } else { value })
}

/// Appends an unscaled decimal with all digits of its scale, as PostgreSQL prints numerics.
pub(crate) fn write_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0u8; 39];
    let mut first = digits.len();
    let mut rest = value.unsigned_abs();
    while rest > u128::from(u64::MAX) {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut rest = rest as u64;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let digits = &digits[first..];
    match usize::try_from(scale) {
        Ok(0) => out.extend_from_slice(digits),
        Ok(scale) if digits.len() > scale => {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        Ok(scale) => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + scale - digits.len(), b'0');
            out.extend_from_slice(digits);
        }
        Err(_) if value == 0 => out.push(b'0'),
        Err(_) => {
            out.extend_from_slice(digits);
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
    }
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, value: i128) {
    write_decimal(out, value, 0);
}

/// Appends a number, or an array's literal of numbers, without the zeros that end a fraction: the one form that equal numerics
/// share, whatever scale they were written with.
pub(crate) fn write_trimmed(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'{' | b'}' | b',')).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        out.extend_from_slice(trim_scale(number));
        let (delimiter, behind) = behind.split_at(behind.len().min(1));
        out.extend_from_slice(delimiter);
        rest = behind;
    }
}

/// A number's text without the zeros that end its fraction.
pub(crate) fn trim_scale(mut text: &[u8]) -> &[u8] {
    if !text.contains(&b'.') || text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        return text;
    }
    while let Some(rest) = text.strip_suffix(b"0") {
        text = rest;
    }
    text.strip_suffix(b".").unwrap_or(text)
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
    fn integers_have_bounds() {
        assert_eq!(parse_i64(b"-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(parse_i64(b"9223372036854775808"), Err(OUT_OF_RANGE));
        assert_eq!(parse_i64(b"-9223372036854775809"), Err(OUT_OF_RANGE));
        for wrong in ["", "-", "+", "1a", "a", " 1", "1 ", "--1", "1.0", "99999999999999999999x"] {
            assert_eq!(parse_i64(wrong.as_bytes()), Err(NOT_A_NUMBER), "{wrong}");
        }
        assert_eq!(parse_whole(b"12.00"), Ok(12));
        assert_eq!(parse_whole(b"1e+18"), Ok(1_000_000_000_000_000_000));
        assert_eq!(parse_whole(b"12.5"), Err(FRACTION));
        assert_eq!(parse_whole(b"1e19"), Err(OUT_OF_RANGE));
        assert_eq!(parse_whole(b"NaN"), Err(NAN));
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let nines = "9".repeat(38);
        let cases: [(&str, u8, u8, Parsed<i128>); 26] = [
            ("1.005", 10, 3, Ok(1005)),
            ("1.005", 10, 2, Err(TOO_FINE)),
            ("1.000", 10, 2, Ok(100)),
            ("-0.01", 10, 2, Ok(-1)),
            ("0", 10, 2, Ok(0)),
            ("99999999.99", 10, 2, Ok(9_999_999_999)),
            ("100000000.00", 10, 2, Err(TOO_MANY_DIGITS)),
            (&nines, 38, 0, Ok(POWERS[38] - 1)),
            ("100000000000000000000000000000000000000", 38, 0, Err(TOO_MANY_DIGITS)),
            ("999999999999999999999999999999999999999999", 38, 0, Err(TOO_MANY_DIGITS)),
            ("9999999999999999999", 19, 0, Ok(9_999_999_999_999_999_999)),
            ("9999999999999999999", 38, 10, Ok(99_999_999_999_999_999_990_000_000_000)),
            ("0.0000000000000000000000000000000000001", 38, 38, Ok(10)),
            ("1e-05", 10, 5, Ok(1)),
            ("1.5e+3", 10, 0, Ok(1500)),
            ("1e-06", 10, 5, Err(TOO_FINE)),
            ("0e99999", 10, 5, Ok(0)),
            ("1e99999", 10, 5, Err(TOO_MANY_DIGITS)),
            ("NaN", 10, 5, Err(NAN)),
            ("-Infinity", 10, 5, Err(INFINITE)),
            ("", 10, 5, Err(NOT_A_NUMBER)),
            (".", 10, 5, Err(NOT_A_NUMBER)),
            ("1.2.3", 10, 5, Err(NOT_A_NUMBER)),
            ("-", 10, 5, Err(NOT_A_NUMBER)),
            ("1,5", 10, 5, Err(NOT_A_NUMBER)),
            ("1e", 10, 5, Err(NOT_A_NUMBER)),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(parse_decimal(text.as_bytes(), precision, scale), expected, "{text}");
        }
        let long = format!("{}.{}", "9".repeat(131_072), "9".repeat(16_383));
        assert_eq!(parse_decimal(long.as_bytes(), 38, 10), Err(TOO_MANY_DIGITS));
    }

    #[test]
    fn equal_numerics_share_one_trimmed_form() {
        for (text, trimmed) in [
            ("1.50", "1.5"),
            ("1.000", "1"),
            ("-100", "-100"),
            ("0.0", "0"),
            ("1e+20", "1e+20"),
            ("NaN", "NaN"),
            ("{1.50,NULL,100,-2.0}", "{1.5,NULL,100,-2}"),
            ("[0:1][1:1]={{1.10},{10.00}}", "[0:1][1:1]={{1.1},{10}}"),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(printed(|out| write_trimmed(out, text.as_bytes())), trimmed);
        }
    }

    #[test]
    fn negative_scales_print_their_zeros() {
        assert_eq!(printed(|out| write_decimal(out, -12, -3)), "-12000");
        assert_eq!(printed(|out| write_decimal(out, 0, -3)), "0");
        assert_eq!(printed(|out| write_decimal(out, i128::MIN, 0)), i128::MIN.to_string());
    }

    /// `numeric_send` of an unscaled number.
    fn binary(value: i128, scale: u8) -> Vec<u8> {
        let mut digits = value.unsigned_abs().to_string();
        while digits.len() <= usize::from(scale) {
            digits.insert(0, '0');
        }
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
        let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
        let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
        let mut weight = (whole.len() / 4) as i16 - 1;
        let all = whole + &fraction;
        let mut groups: Vec<u16> = all
            .as_bytes()
            .chunks(4)
            .map(|group| std::str::from_utf8(group).unwrap().parse().unwrap())
            .collect();
        while groups.first() == Some(&0) {
            groups.remove(0);
            weight -= 1;
        }
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let mut out = Vec::new();
        out.extend((groups.len() as u16).to_be_bytes());
        out.extend(weight.to_be_bytes());
        out.extend(if value < 0 { 0x4000u16 } else { 0 }.to_be_bytes());
        out.extend(u16::from(scale).to_be_bytes());
        groups.iter().for_each(|group| out.extend(group.to_be_bytes()));
        out
    }

    fn decimals() -> impl Strategy<Value = (i128, u8)> {
        (0u8..=38, 0u32..=38, any::<i128>())
            .prop_map(|(scale, digits, value)| (value % 10i128.pow(digits), scale))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn integers_print_and_parse(value in any::<i64>()) {
            let text = printed(|out| write_integer(out, value.into()));
            prop_assert_eq!(&text, &value.to_string());
            prop_assert_eq!(parse_i64(text.as_bytes()), Ok(value));
        }

        #[test]
        fn decimals_print_and_parse_and_agree_with_binary((value, scale) in decimals()) {
            let text = printed(|out| write_decimal(out, value, scale as i8));
            prop_assert_eq!(parse_decimal(text.as_bytes(), 38, scale), Ok(value));
            prop_assert_eq!(decimal_from_binary(&binary(value, scale), 38, scale), Ok(value));
        }

        #[test]
        fn text_and_binary_of_a_numeric_agree_under_any_type(
            (value, scale) in decimals(), to_precision in 1u8..=38, to_scale in 0u8..=38,
        ) {
            let to_scale = to_scale.min(to_precision);
            let text = printed(|out| write_decimal(out, value, scale as i8));
            let from_text = parse_decimal(text.as_bytes(), to_precision, to_scale);
            let from_binary = decimal_from_binary(&binary(value, scale), to_precision, to_scale);
            // A number can be both too long and too fine; which is said first doesn't matter.
            prop_assert_eq!(from_text.ok(), from_binary.ok());
        }

        #[test]
        fn garbage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_i64(&bytes), parse_whole(&bytes));
            let _ = (parse_decimal(&bytes, 38, 10), decimal_from_binary(&bytes, 38, 10));
        }

        #[test]
        fn near_numbers_are_never_a_panic(text in "[-+]?[0-9.eENaIif+-]{0,45}") {
            let bytes = text.as_bytes();
            let _ = (parse_i64(bytes), parse_whole(bytes), parse_decimal(bytes, 20, 3));
        }
    }
}
