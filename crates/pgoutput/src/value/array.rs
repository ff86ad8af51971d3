//! Arrays: PostgreSQL's literal `{1,NULL,"a \"b\""}` and its binary form, for one dimension with lower bound 1, which is what a
//! list of a warehouse is.

use super::{Fault, Parsed};

const NOT_AN_ARRAY: Fault = Fault::Malformed("not an array");
const DIMENSIONS: Fault = Fault::Unrepresentable("more than one dimension");
const LOWER_BOUND: Fault = Fault::Unrepresentable("its first index is not 1");

/// Calls `each` with every element of a literal, `None` for NULL. `scratch` is overwritten by elements with escapes.
pub(crate) fn each_of_text(
    text: &[u8],
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(Option<&[u8]>) -> Parsed<()>,
) -> Parsed<()> {
    let inner = match text {
        [b'{', inner @ .., b'}'] => inner,
        // `[0:2]={1,2,3}`: bounds are printed when one of them is not 1, and before further dimensions.
        [b'[', rest @ ..] if rest.contains(&b'=') => {
            let bounds = rest.split(|&byte| byte == b'=').next().unwrap_or_default();
            return Err(if bounds.contains(&b'[') { DIMENSIONS } else { LOWER_BOUND });
        }
        _ => return Err(NOT_AN_ARRAY),
    };
    if inner.is_empty() {
        return Ok(());
    }
    let mut rest = inner;
    loop {
        rest = match rest.first() {
            Some(b'{') => return Err(DIMENSIONS),
            Some(b'"') => {
                let length = quoted_length(&rest[1..]).ok_or(NOT_AN_ARRAY)?;
                let (quoted, behind) = (&rest[1..=length], &rest[length + 2..]);
                if quoted.contains(&b'\\') {
                    scratch.clear();
                    unescape(quoted, scratch);
                    each(Some(scratch))?;
                } else {
                    each(Some(quoted))?;
                }
                behind
            }
            _ => {
                let length = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
                let (plain, behind) = rest.split_at(length);
                // Whatever has a character of the syntax in it is quoted, and so is the empty string.
                if plain.is_empty() || plain.iter().any(|byte| matches!(byte, b'{' | b'}' | b'"' | b'\\')) {
                    return Err(NOT_AN_ARRAY);
                }
                each((plain != b"NULL").then_some(plain))?;
                behind
            }
        };
        match rest {
            [] => return Ok(()),
            [b',', behind @ ..] => rest = behind,
            _ => return Err(NOT_AN_ARRAY),
        }
    }
}

/// Bytes before the closing quote.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn unescape(quoted: &[u8], out: &mut Vec<u8>) {
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            // Not last: the quote behind it would have been escaped.
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
}

/// `array_send`: dimensions, whether there are NULLs, the element's OID; per dimension its length and lower bound; per element its
/// length (-1: NULL) and bytes.
pub(crate) fn each_of_binary(bytes: &[u8], mut each: impl FnMut(Option<&[u8]>) -> Parsed<()>) -> Parsed<()> {
    let mut rest = bytes;
    let cut = Fault::Malformed("an array is cut short");
    let take = |rest: &mut &[u8]| {
        let (head, behind) = rest.split_first_chunk::<4>().ok_or(cut)?;
        *rest = behind;
        Ok(i32::from_be_bytes(*head))
    };
    let dimensions = take(&mut rest)?;
    let (_has_nulls, _element_oid) = (take(&mut rest)?, take(&mut rest)?);
    match dimensions {
        0 if rest.is_empty() => return Ok(()),
        1 => {}
        2..=6 => return Err(DIMENSIONS),
        _ => return Err(NOT_AN_ARRAY),
    }
    let (count, lower_bound) = (take(&mut rest)?, take(&mut rest)?);
    if lower_bound != 1 {
        return Err(LOWER_BOUND);
    }
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(cut)?;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            rest = behind;
            each(None)?;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| NOT_AN_ARRAY)?;
        let (element, behind) = behind.split_at_checked(length).ok_or(cut)?;
        each(Some(element))?;
        rest = behind;
    }
    if count < 0 || !rest.is_empty() {
        return Err(NOT_AN_ARRAY);
    }
    Ok(())
}

/// Appends an element of a literal, quoted where `array_out` quotes.
pub(crate) fn write_element(out: &mut Vec<u8>, text: &[u8]) {
    let needs_quotes = text.is_empty()
        || text.eq_ignore_ascii_case(b"NULL")
        || text.iter().any(|byte| {
            matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
        });
    if !needs_quotes {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn elements(text: &[u8]) -> Parsed<Vec<Option<Vec<u8>>>> {
        let mut elements = Vec::new();
        each_of_text(text, &mut Vec::new(), |element| {
            elements.push(element.map(<[u8]>::to_vec));
            Ok(())
        })?;
        Ok(elements)
    }

    #[test]
    fn literals_have_quotes_escapes_and_nulls() {
        let expected =
            [Some(&b"1"[..]), None, Some(b"NULL"), Some(b""), Some(b"a \"b\"\\,{}"), Some(b"null")];
        let expected: Vec<_> = expected.into_iter().map(|element| element.map(<[u8]>::to_vec)).collect();
        assert_eq!(elements(br#"{1,NULL,"NULL","","a \"b\"\\,{}",null}"#), Ok(expected));
        assert_eq!(elements(b"{}"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(elements(b"{{1,2},{3,4}}"), Err(DIMENSIONS));
        assert_eq!(elements(b"[0:1][1:1]={{1},{2}}"), Err(DIMENSIONS));
        assert_eq!(elements(b"[0:1]={1,2}"), Err(LOWER_BOUND));
        for wrong in [
            "", "{", "}", "1", "{1", "{,}", "{1,}", "{\"a}", "{\"a\"b}", "{a\"b\"}", "{a\\b}", "{a}b}", "[",
            "{\"\\}",
        ] {
            assert_eq!(elements(wrong.as_bytes()), Err(NOT_AN_ARRAY), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn literals_print_and_parse(values in vec(option::of(vec(any::<u8>(), 0..10)), 0..10)) {
            let mut text = vec![b'{'];
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                match value {
                    Some(value) => write_element(&mut text, value),
                    None => text.extend(b"NULL"),
                }
            }
            text.push(b'}');
            prop_assert_eq!(elements(&text), Ok(values));
        }

        #[test]
        fn garbage_is_never_a_panic(text in r#"[{}",\\a\[\]=:0-9NUL]{0,30}"#, mut bytes in vec(any::<u8>(), 0..60)) {
            let _ = elements(text.as_bytes());
            let _ = each_of_binary(&bytes, |_| Ok(()));
            if bytes.len() > 20 {
                bytes[..20].copy_from_slice(b"\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\x01");
                let _ = each_of_binary(&bytes, |_| Ok(()));
            }
        }
    }
}
