//! Versions of packages as hubs have them (Semantic Versioning 2.0), and what is asked of them.

use std::{cmp::Ordering, fmt};

use crate::error::{Problem, ProblemKind};

/// A version. What stands behind `+` says nothing of which is newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    numbers: [u64; 3],
    /// What makes it one before the release: empty for the release itself.
    before: Vec<Part>,
}

/// A part of what stands behind the dash: numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    /// Reads `1.2.3`, `1.2.3-rc1`, `1.2.3+build`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.split('+').next()?;
        let dash = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (release, before) = text.split_at(dash);
        let mut numbers = release.split('.').map(|number| {
            let plain = number == "0" || !number.starts_with('0');
            number.parse::<u64>().ok().filter(|_| plain)
        });
        let numbers = [numbers.next()??, numbers.next()??, numbers.next()??];
        if release.split('.').count() != 3 {
            return None;
        }
        // The dash may be left out: `1.0.0b1`.
        let before = before.strip_prefix('-').unwrap_or(before);
        let is_word =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let part = |part: &str| match part.parse() {
            Ok(number) => Part::Number(number),
            Err(_) => Part::Word(part.to_owned()),
        };
        let before: Vec<&str> = before.split('.').filter(|_| !before.is_empty()).collect();
        before
            .iter()
            .all(|part| is_word(part))
            .then(|| Version { numbers, before: before.into_iter().map(part).collect() })
    }

    fn is_release(&self) -> bool {
        self.before.is_empty()
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (self.is_release(), other.is_release()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.before.cmp(&other.before),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is asked of a version: `>=1.0.0`, `<2.0.0`, `1.2.3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    operator: &'static str,
    version: Version,
    written: String,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Bound {
    /// Reads one.
    ///
    /// Errors: it is none.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let written = text.trim();
        let operator = [">=", "<=", ">", "<", "="].into_iter().find(|operator| written.starts_with(operator));
        let rest = written.strip_prefix(operator.unwrap_or_default()).unwrap_or(written);
        match Version::parse(rest) {
            Some(version) => {
                Ok(Bound { operator: operator.unwrap_or("="), version, written: written.to_owned() })
            }
            None => Err(Problem::new(
                ProblemKind::Configuration,
                format!("`{written}` is no version of a package"),
            )
            .hint("a version has three numbers; several bounds are a list: [\">=1.0.0\", \"<2.0.0\"]")),
        }
    }

    /// Whether it names a version before a release.
    pub(super) fn names_prerelease(&self) -> bool {
        !self.version.is_release()
    }

    /// Whether a version is what is asked for.
    pub(super) fn admits(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            ">=" => order != Ordering::Less,
            ">" => order == Ordering::Greater,
            "<=" => order != Ordering::Greater,
            // What comes before the release that is out of bounds is out of bounds, too.
            "<" => {
                let of_it = version.numbers == self.version.numbers && self.version.is_release();
                order == Ordering::Less && !of_it
            }
            _ => order == Ordering::Equal,
        }
    }
}

/// The newest of these versions, as written, that all bounds admit.
pub(super) fn newest<'v>(
    available: impl Iterator<Item = &'v str>,
    bounds: &[Bound],
    prereleases: bool,
) -> Option<&'v str> {
    let prereleases = prereleases || bounds.iter().any(Bound::names_prerelease);
    available
        .filter_map(|written| Some((Version::parse(written)?, written)))
        .filter(|(version, _)| prereleases || version.is_release())
        .filter(|(version, _)| bounds.iter().all(|bound| bound.admits(version)))
        .max_by(|(left, _), (right, _)| left.cmp(right))
        .map(|(_, written)| written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_semver() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.0",
            "1.10.0",
        ];
        let read: Vec<Version> = order.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(read.is_sorted() && read.windows(2).all(|pair| pair[0] != pair[1]));
        for wrong in ["1.0", "1.0.0.0", "01.0.0", "a.b.c", "1.0.0-", "1.0.x", ""] {
            assert!(wrong == "1.0.0-" || Version::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_newest_that_all_bounds_admit_is_taken() {
        let available = ["0.9.0", "1.0.0", "1.1.0", "1.2.0-rc1", "1.2.0", "2.0.0-b1", "2.0.0"];
        for (bounds, prereleases, expected) in [
            (&[][..], false, Some("2.0.0")),
            (&[">=1.0.0", "<2.0.0"], false, Some("1.2.0")),
            (&[">=1.0.0", "<2.0.0"], true, Some("1.2.0")),
            (&[">1.2.0", "<2.0.0"], true, None),
            (&["<=1.0.0"], false, Some("1.0.0")),
            (&["<1.2.0"], true, Some("1.1.0")),
            (&["=1.2.0-rc1"], false, Some("1.2.0-rc1")),
            (&["1.1.0", ">=1.0.0"], false, Some("1.1.0")),
            (&[">=3.0.0"], false, None),
        ] {
            let bounds: Vec<Bound> = bounds.iter().map(|text| Bound::parse(text).unwrap()).collect();
            assert_eq!(newest(available.iter().copied(), &bounds, prereleases), expected, "{bounds:?}");
        }
        assert!(Bound::parse(">=1.0.0,<2.0.0").is_err());
    }
}
