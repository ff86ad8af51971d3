//! The log's reading end, with what a batch needs around it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use millstream_core::{
    log::{EventLog, LogReader},
    Fence, Lsn, TableId, TableSchema, Timestamp, TransactionPart,
};

use crate::{batch::Batch, clock::Clock, error::ApplyError, layout::Selection, table::Table};

/// Raw bytes of changes in one batch. Encoded they take about as much again, and the warehouse's own buffers are bounded apart.
const BATCH_BYTES_MAX: usize = 24 << 20;
/// Changes in one batch. Measured: DuckDB's rate of keyed upserts grows up to 100k rows a batch, then flattens. One row group of it, so that a
/// transaction of inserts leaves whole ones.
const BATCH_ROWS_MAX: u64 = 122_880;
/// Where the warehouse lacks memory for a batch, the next ones are smaller, down to this: less would save nothing that counts.
const BATCH_ROWS_LEAST: u64 = 500;
/// How long the rest of a transaction whose beginning was read may take: it is durable, so only a slow disk delays it.
const REST_WAIT_MAX: Duration = Duration::from_secs(60);

/// Reads the log from behind what is applied.
pub struct Feed {
    log: Arc<dyn EventLog>,
    reader: Option<Box<dyn LogReader>>,
    /// A piece that was read and not taken: the first of its transaction.
    pending: Option<TransactionPart>,
    clock: Clock,
    /// Changes in one batch, at present.
    rows_max: u64,
}

impl Feed {
    /// A feed whose first read opens the log.
    pub fn new(log: Arc<dyn EventLog>, applied_time: Timestamp) -> Self {
        Feed { log, reader: None, pending: None, clock: Clock::after(applied_time), rows_max: BATCH_ROWS_MAX }
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The version time of the transaction read last.
    pub fn time(&self) -> Timestamp {
        self.clock.last()
    }

    /// The version time of something that happens now, at the source's clock.
    pub fn tick(&mut self, time: Timestamp) -> Timestamp {
        self.clock.tick(time)
    }

    /// Forgets what was read: the next read starts behind what is applied again.
    pub fn rewind(&mut self, applied_time: Timestamp) {
        self.reader = None;
        self.pending = None;
        self.clock = Clock::after(applied_time);
    }

    /// Gathers smaller batches from here on. Whether they can be smaller.
    pub fn take_less(&mut self) -> bool {
        let before = self.rows_max;
        self.rows_max = (before / 4).max(BATCH_ROWS_LEAST);
        self.rows_max < before
    }

    /// A batch went well: the next may be a little larger again.
    pub fn take_more(&mut self) {
        self.rows_max = (self.rows_max + self.rows_max / 32).min(BATCH_ROWS_MAX);
    }

    /// All transactions before this were returned.
    pub fn complete_through(&self) -> Lsn {
        match (&self.pending, &self.reader) {
            (None, Some(reader)) => reader.complete_through(),
            _ => Lsn::ZERO,
        }
    }

    /// The next piece behind `applied`.
    pub fn next(&mut self, applied: Lsn, wait: Duration) -> Result<Option<TransactionPart>, ApplyError> {
        if let Some(part) = self.pending.take() {
            return Ok(Some(part));
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.log.reader(applied)?),
        };
        Ok(reader.next(wait)?)
    }

    /// Puts a piece back, to be returned next.
    pub fn put_back(&mut self, part: TransactionPart) {
        self.pending = Some(part);
    }

    /// Gathers a batch: `first` and what is there behind it, up to the bounds. With `within`, only transactions that the fence holds.
    pub fn gather(
        &mut self,
        first: TransactionPart,
        applied: Lsn,
        within: Option<&Fence>,
        tables: &HashMap<TableId, Table>,
        selection: &Selection,
    ) -> Result<Batch, ApplyError> {
        let selected = |schema: &TableSchema| (selection.options)(&schema.name).is_some();
        let mut batch = Batch::default();
        batch.push(first, &mut self.clock, tables, selected);
        while batch.bytes < BATCH_BYTES_MAX && batch.rows < self.rows_max {
            let wait = if batch.is_cut { REST_WAIT_MAX } else { Duration::ZERO };
            let Some(part) = self.next(applied, wait)? else { break };
            if part.first && within.is_some_and(|fence| !fence.holds(&part.header)) {
                self.pending = Some(part);
                break;
            }
            batch.push(part, &mut self.clock, tables, selected);
        }
        Ok(batch)
    }

    /// The rest of a transaction that the batch before cut.
    pub fn gather_rest(
        &mut self,
        applied: Lsn,
        tables: &HashMap<TableId, Table>,
        selection: &Selection,
    ) -> Result<Batch, ApplyError> {
        let Some(part) = self.next(applied, REST_WAIT_MAX)? else {
            return Err(ApplyError::CutOff(applied));
        };
        let selected = |schema: &TableSchema| (selection.options)(&schema.name).is_some();
        let mut batch = Batch::default();
        batch.push(part, &mut self.clock, tables, selected);
        while batch.is_cut && batch.bytes < BATCH_BYTES_MAX && batch.rows < self.rows_max {
            let Some(part) = self.next(applied, REST_WAIT_MAX)? else {
                return Err(ApplyError::CutOff(applied));
            };
            batch.push(part, &mut self.clock, tables, selected);
        }
        Ok(batch)
    }
}
