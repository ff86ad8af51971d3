//! Positions in the source's write-ahead log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A log sequence number: a byte position in PostgreSQL's write-ahead log.
///
/// Printed and parsed as PostgreSQL does, `16/B374D848`: two hexadecimal halves
/// (PostgreSQL documentation, "pg_lsn Type").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `0/0`, which PostgreSQL never uses for a record: "no position".
    pub const ZERO: Lsn = Lsn(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Text that is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an LSN; expected two hexadecimal numbers such as 0/16B3748")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseLsnError(text.to_owned());
        let half = |digits: &str| {
            if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            u64::from_str_radix(digits, 16).map_err(|_| error())
        };
        let (high, low) = text.split_once('/').ok_or_else(error)?;
        Ok(Lsn(half(high)? << 32 | half(low)?))
    }
}

/// Where a change stands among all changes: its transaction's commit LSN, then its ordinal in the transaction.
///
/// This, never the event's own LSN and never wall time, is the order and identity of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// LSN of the transaction's commit record (`final_lsn` of pgoutput's Begin).
    pub commit_lsn: Lsn,
    /// Ordinal of the change in its transaction, from 0, counted over the changes of all published tables.
    pub ordinal: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.commit_lsn, self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_prints_and_parses_as_postgresql_does() {
        for (text, value) in [("0/0", 0), ("0/16B3748", 0x16B3748), ("16/B374D848", 0x16_B374_D848)] {
            assert_eq!(text.parse::<Lsn>().unwrap(), Lsn(value));
            assert_eq!(Lsn(value).to_string(), text);
        }
        for text in ["", "/", "1", "0/", "/1", "0/G", "0/123456789", "-1/0", "0/+1", "0/ 1"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn positions_order_by_commit_then_ordinal() {
        let at = |commit_lsn, ordinal| Position { commit_lsn: Lsn(commit_lsn), ordinal };
        assert!(at(1, 9) < at(2, 0) && at(2, 0) < at(2, 1));
    }
}
