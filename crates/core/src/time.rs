//! Source timestamps.

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01 00:00:00 UTC, always of the source's clock.
///
/// PostgreSQL's own epoch is 2000-01-01; the protocol's values are converted on decoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Microseconds between the Unix epoch and PostgreSQL's.
    pub const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

    /// From PostgreSQL's wire value, microseconds since 2000-01-01. Saturates at the end of the range.
    pub fn from_postgres_micros(micros: i64) -> Self {
        Timestamp(micros.saturating_add(Self::POSTGRES_EPOCH_MICROS))
    }
}
