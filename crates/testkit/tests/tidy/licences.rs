//! Every dependency's licence is one that an Apache-2.0 program may be shipped with.
//!
//! `cargo deny` does this and more, but takes minutes to compile and its advisories can't be fetched without a network; see
//! docs/decisions for what is done about those.

use crate::tree::{assert_none, packages};

/// Permissive licences; CDLA-Permissive-2.0 is that of data, here the web's root certificates. One with obligations beyond notices needs a decision record first.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an SPDX expression can be met with allowed licences only. `/` is how crates wrote OR before SPDX.
fn acceptable(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = any_of(&mut words);
    verdict && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>) -> bool {
    let mut verdict = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        verdict |= all_of(words);
    }
    verdict
}

fn all_of(words: &mut Words<'_>) -> bool {
    let mut verdict = one(words);
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words);
    }
    verdict
}

fn one(words: &mut Words<'_>) -> bool {
    match words.next() {
        Some("(") => {
            let verdict = any_of(words);
            words.next() == Some(")") && verdict
        }
        Some(licence) => {
            // An exception only permits more.
            if words.next_if_eq(&"WITH").is_some() {
                words.next();
            }
            ALLOWED.contains(&licence)
        }
        None => false,
    }
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "(MIT OR GPL-3.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(acceptable(good), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "MIT )"] {
        assert!(!acceptable(bad), "{bad}");
    }
}

#[test]
fn every_dependency_may_be_shipped_with_us() {
    let found = packages(false).filter_map(|package| {
        let licence = package["license"].as_str().unwrap_or_default();
        (!acceptable(licence)).then(|| format!("{} {}: `{licence}`", package["name"], package["version"]))
    });
    assert_none("not an allowed licence", found.collect());
}
