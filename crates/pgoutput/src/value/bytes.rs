//! Booleans, byte strings and uuids.

use super::{Fault, Parsed};

const NOT_BYTES: Fault = Fault::Malformed("not a byte string");
const NOT_A_UUID: Fault = Fault::Malformed("not a uuid");

/// `t` or `f`; also the words, for columns of text.
pub(crate) fn parse_bool(text: &[u8]) -> Parsed<bool> {
    match text {
        b"t" | b"true" => Ok(true),
        b"f" | b"false" => Ok(false),
        _ => Err(Fault::Malformed("not a boolean")),
    }
}

/// The value of each hexadecimal digit's byte; 0xFF for any other.
const NIBBLES: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

#[inline]
fn byte(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (NIBBLES[usize::from(high)], NIBBLES[usize::from(low)]);
    ((high | low) < 16).then_some(high << 4 | low)
}

/// Appends the bytes of `bytea`'s text form: `\x` and hexadecimal digits; or the older escape format, should the server's
/// `bytea_output` have it. On an error what was appended stays.
pub(crate) fn parse_bytea(out: &mut Vec<u8>, text: &[u8]) -> Parsed<()> {
    if let Some(digits) = text.strip_prefix(b"\\x") {
        if digits.len() % 2 != 0 {
            return Err(NOT_BYTES);
        }
        let start = out.len();
        out.resize(start + digits.len() / 2, 0);
        // Checked once behind the loop, which so has no branch: what is no digit has bits above the lower four.
        let mut seen = 0;
        for (target, pair) in out[start..].iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
            seen |= high | low;
            *target = high << 4 | low;
        }
        return if seen < 16 { Ok(()) } else { Err(NOT_BYTES) };
    }
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'\\' {
            out.push(first);
            continue;
        }
        match rest {
            [b'\\', behind @ ..] => {
                out.push(b'\\');
                rest = behind;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = behind;
            }
            _ => return Err(NOT_BYTES),
        }
    }
    Ok(())
}

/// Appends `\x` and hexadecimal digits.
pub(crate) fn write_bytea(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\\x");
    out.reserve(bytes.len() * 2);
    for &byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Where a uuid's hyphens stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A uuid of 32 digits and four hyphens.
pub(crate) fn parse_uuid(text: &[u8]) -> Parsed<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().map_err(|_| NOT_A_UUID)?;
    if HYPHENS.iter().any(|&at| text[at] != b'-') {
        return Err(NOT_A_UUID);
    }
    let mut bytes = [0; 16];
    let mut at = 0;
    for target in &mut bytes {
        if text[at] == b'-' {
            at += 1;
        }
        *target = byte(text[at], text[at + 1]).ok_or(NOT_A_UUID)?;
        at += 2;
    }
    Ok(bytes)
}

/// Appends a uuid.
pub(crate) fn write_uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    for (index, &byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_formats_of_bytea_are_read() {
        for (text, expected) in [
            (r"\x", &b""[..]),
            (r"\x00ffAb", b"\0\xff\xab"),
            ("", b""),
            (r"abc\\\000\377", b"abc\\\0\xff"),
            (r"\\x41", b"\\x41"),
        ] {
            let mut out = Vec::new();
            assert_eq!(parse_bytea(&mut out, text.as_bytes()), Ok(()), "{text}");
            assert_eq!(out, expected, "{text}");
        }
        for wrong in [r"\x0", r"\x0g", r"\", r"\400", r"\12", r"\a"] {
            assert_eq!(parse_bytea(&mut Vec::new(), wrong.as_bytes()), Err(NOT_BYTES), "{wrong}");
        }
    }

    #[test]
    fn a_uuid_has_its_hyphens_where_they_belong() {
        let text = b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        let bytes = parse_uuid(text).unwrap();
        assert_eq!(bytes[..4], [0xa0, 0xee, 0xbc, 0x99]);
        let mut out = Vec::new();
        write_uuid(&mut out, &bytes);
        assert_eq!(out, text);
        for wrong in [
            &b""[..],
            b"a0eebc999c0b4ef8bb6d6bb9bd380a11",
            b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
            b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
            b"a0eebc999-c0b-4ef8-bb6d-6bb9bd380a11",
            b"a0eebc9--9c0b-4ef8-bb6d-6bb9bd380a11",
        ] {
            assert_eq!(parse_uuid(wrong), Err(NOT_A_UUID));
        }
    }

    proptest! {
        #[test]
        fn bytes_print_and_parse(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut text = Vec::new();
            write_bytea(&mut text, &bytes);
            let mut out = Vec::new();
            prop_assert_eq!(parse_bytea(&mut out, &text), Ok(()));
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn garbage_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in r"[\\x0-9a-f-]{36}") {
            let _ = (parse_bytea(&mut Vec::new(), &bytes), parse_uuid(&bytes));
            let _ = (parse_bytea(&mut Vec::new(), text.as_bytes()), parse_uuid(text.as_bytes()));
        }
    }
}
