//! What apply knows of each table, and how that is kept in the warehouse.

use std::sync::Arc;

use millstream_core::{
    base::BaseId,
    warehouse::{Moment, SchemaChange, SchemaStep, TableLayout, TableState, Uncertain},
    Fence, Lsn, TableSchema,
};
use serde::{Deserialize, Serialize};

use crate::error::ApplyError;

/// Stretches of uncertain history that are kept apart for a table. Beyond that the two oldest become one.
const UNCERTAIN_MAX: usize = 100;

/// Changes of its schema that are remembered of a table. Beyond that the oldest are forgotten.
const CHANGES_MAX: usize = 200;

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
    /// Where its history is not certain, oldest first; only the last may be without an end.
    pub uncertain: Vec<Uncertain>,
    /// How its schema changed, oldest first.
    pub changes: Vec<SchemaChange>,
}

impl Table {
    /// Notes that history is not certain behind `last`, the table's last change, until it has been read again.
    pub(crate) fn doubt(&mut self, last: Option<Moment>, reason: &str) {
        let Some(since) = self.history_since.filter(|_| self.layout.history) else { return };
        if self.uncertain.last().is_some_and(|last| last.to.is_none()) {
            return;
        }
        if self.uncertain.len() >= UNCERTAIN_MAX {
            let second = self.uncertain.remove(1);
            self.uncertain[0].to = second.to;
        }
        let from = last.filter(|last| last.position >= since.position).unwrap_or(since);
        self.uncertain.push(Uncertain { from, to: None, reason: reason.to_owned() });
    }

    /// Remembers how its schema changed.
    pub(crate) fn changed(&mut self, at: Moment, steps: Vec<SchemaStep>) {
        if steps.is_empty() {
            return;
        }
        match self.changes.last_mut().filter(|last| last.at == at) {
            Some(last) => last.steps.extend(steps),
            None => self.changes.push(SchemaChange { at, steps }),
        }
        let excess = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..excess);
    }

    /// Notes that the table was read again.
    pub(crate) fn settle(&mut self, at: Moment) {
        if let Some(open) = self.uncertain.last_mut().filter(|last| last.to.is_none()) {
            open.to = Some(at);
        }
    }

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
            uncertain: self.uncertain.clone(),
            changes: self.changes.clone(),
        })
    }

    /// From what the warehouse keeps.
    pub fn from_state(state: TableState) -> Result<Self, ApplyError> {
        let error = |source| ApplyError::State { table: state.layout.source.to_string(), source };
        Ok(Table {
            schema: Arc::new(serde_json::from_str(&state.schema_json).map_err(error)?),
            phase: serde_json::from_str(&state.phase_json).map_err(error)?,
            history_since: state.history_since,
            uncertain: state.uncertain,
            changes: state.changes,
            layout: state.layout,
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::{warehouse::AsOf, Position, Timestamp};

    use super::*;

    fn at(lsn: u64) -> Moment {
        Moment { time: Timestamp(lsn as i64), position: Position { commit_lsn: Lsn(lsn), ordinal: 0 } }
    }

    fn table() -> Table {
        let schema: TableSchema = serde_json::from_value(serde_json::json!({
            "id": 7, "name": {"schema": "s", "name": "t"}, "columns": [], "key": null,
            "replica_identity": "default", "relfilenode": 1, "class_xmin": 1,
        }))
        .unwrap();
        let selection = crate::layout::Selection {
            target_schema: None,
            options: Box::new(|_| Some(crate::layout::TableOptions::default())),
        };
        Table {
            layout: selection.layout(&schema).unwrap(),
            schema: Arc::new(schema),
            phase: Phase::Live { fence: None },
            history_since: Some(at(10)),
            uncertain: Vec::new(),
            changes: Vec::new(),
        }
    }

    #[test]
    fn of_a_schema_that_changes_without_end_the_newest_changes_are_remembered() {
        let mut table = table();
        let step = |number: u64| SchemaStep::ColumnAdded { column: number.to_string(), to: "text".into() };
        for number in 0..CHANGES_MAX as u64 + 5 {
            table.changed(at(number), vec![step(number)]);
        }
        table.changed(at(9_999), Vec::new());
        assert_eq!((table.changes.len(), table.changes[0].at), (CHANGES_MAX, at(5)));
        table.changed(at(CHANGES_MAX as u64 + 4), vec![step(0)]);
        assert_eq!(table.changes[CHANGES_MAX - 1].steps.len(), 2, "of one moment");
        assert_eq!(Table::from_state(table.to_state().unwrap()).unwrap(), table);
    }

    #[test]
    fn a_stretch_begins_at_the_last_change_and_ends_when_the_table_was_read_again() {
        let mut table = table();
        table.doubt(Some(at(20)), "first");
        table.doubt(Some(at(30)), "second");
        let [open] = &table.uncertain[..] else { panic!("{:?}", table.uncertain) };
        assert!(
            !open.covers(AsOf::Lsn(Lsn(19)))
                && open.covers(AsOf::Lsn(Lsn(20)))
                && open.covers(AsOf::Lsn(Lsn(99)))
        );
        table.settle(at(40));
        table.settle(at(50));
        let ended = &table.uncertain[0];
        assert_eq!((ended.to, ended.reason.as_str()), (Some(at(40)), "first"));
        assert!(ended.covers(AsOf::Time(Timestamp(39))) && !ended.covers(AsOf::Time(Timestamp(40))));
        // It survives being kept.
        assert_eq!(Table::from_state(table.to_state().unwrap()).unwrap(), table);
    }

    #[test]
    fn nothing_is_uncertain_before_history_begins_or_where_there_is_none() {
        let mut one = table();
        one.doubt(None, "no row was ever seen");
        assert_eq!(one.uncertain[0].from, at(10));
        let mut none = table();
        none.layout.history = false;
        none.doubt(Some(at(20)), "no history");
        assert_eq!(none.uncertain, []);
    }

    #[test]
    fn beyond_the_bound_the_oldest_stretches_become_one() {
        let mut table = table();
        for number in 1..=UNCERTAIN_MAX as u64 + 1 {
            table.doubt(Some(at(number * 100)), "again");
            table.settle(at(number * 100 + 10));
        }
        assert_eq!(table.uncertain.len(), UNCERTAIN_MAX);
        assert_eq!((table.uncertain[0].from, table.uncertain[0].to), (at(100), Some(at(210))));
    }
}
