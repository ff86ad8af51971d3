//! What apply knows of each table, and how that is kept in the warehouse.

use std::sync::Arc;

use millstream_core::{
    base::BaseId,
    warehouse::{Moment, TableLayout, TableState},
    Fence, Lsn, TableSchema,
};
use serde::{Deserialize, Serialize};

use crate::error::ApplyError;

/// What a table is going through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Its base is being loaded.
    Loading {
        /// Which base.
        base: BaseId,
        /// Under which fence: a table that starts again under another one has other rows in chunks of the same numbers.
        fence: Fence,
        /// Chunks whose rows are committed.
        chunks: Vec<u32>,
    },
    /// It follows the stream. While a fence is set, transactions that the copied rows hold already are skipped.
    Live {
        /// Until the stream has passed [`Fence::ends_at`].
        fence: Option<Fence>,
    },
    /// It follows the stream, but rows may have changed without an event: it must be read again.
    NeedsResync {
        /// Why.
        reason: String,
        /// As in `Live`.
        fence: Option<Fence>,
    },
    /// The source has it no more.
    Gone,
}

impl Phase {
    /// As `status` prints it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Phase::Loading { .. } => "loading",
            Phase::Live { fence: Some(_) } => "catching_up",
            Phase::Live { fence: None } => "live",
            Phase::NeedsResync { .. } => "needs_resync",
            Phase::Gone => "gone",
        }
    }

    /// The fence behind which changes are skipped, of a table that follows the stream.
    pub fn fence(&self) -> Option<&Fence> {
        match self {
            Phase::Live { fence } | Phase::NeedsResync { fence, .. } => fence.as_ref(),
            Phase::Loading { .. } | Phase::Gone => None,
        }
    }

    /// Whether the table takes changes.
    pub fn follows(&self) -> bool {
        matches!(self, Phase::Live { .. } | Phase::NeedsResync { .. })
    }

    /// Drops the fence once the stream has passed it; whether it did just now.
    pub(crate) fn pass(&mut self, through: Lsn) -> bool {
        let (Phase::Live { fence } | Phase::NeedsResync { fence, .. }) = self else { return false };
        let passed = fence.as_ref().is_some_and(|fence| fence.ends_at() <= through);
        if passed {
            *fence = None;
        }
        passed
    }
}

/// A replicated table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The source's schema, last applied.
    pub schema: Arc<TableSchema>,
    /// How it is held.
    pub layout: TableLayout,
    /// What it goes through.
    pub phase: Phase,
    /// Since when its history is complete.
    pub history_since: Option<Moment>,
}

impl Table {
    /// As the warehouse keeps it.
    pub fn to_state(&self) -> Result<TableState, ApplyError> {
        let json = |result: serde_json::Result<String>| {
            result.map_err(|source| ApplyError::State { table: self.layout.source.to_string(), source })
        };
        Ok(TableState {
            layout: self.layout.clone(),
            schema_json: json(serde_json::to_string(&*self.schema))?,
            phase_json: json(serde_json::to_string(&self.phase))?,
            history_since: self.history_since,
        })
    }

    /// From what the warehouse keeps.
    pub fn from_state(state: TableState) -> Result<Self, ApplyError> {
        let error = |source| ApplyError::State { table: state.layout.source.to_string(), source };
        Ok(Table {
            schema: Arc::new(serde_json::from_str(&state.schema_json).map_err(error)?),
            phase: serde_json::from_str(&state.phase_json).map_err(error)?,
            history_since: state.history_since,
            layout: state.layout,
        })
    }
}
