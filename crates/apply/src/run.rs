//! The loop: log to warehouse, batch after batch.
//!
//! A batch is whatever the log has when the previous one is done, up to a bound: an idle system applies a single change at once, a busy
//! one grows its batches by itself. A transaction larger than a batch is applied piece by piece inside one warehouse
//! transaction.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender},
        Arc,
    },
    time::{Duration, Instant},
};

use millstream_core::{
    base::BaseStore,
    log::EventLog,
    warehouse::{Compaction, Moment, Progress, Warehouse},
    Action, Diagnostic, Fence, Lsn, Position, TableId, TableSchema, TransactionPart,
};
use tracing::{
    field::{display, Empty},
    Span,
};

use crate::{
    checkpoints::Checkpoints,
    command::{Alignment, Command, Discarded},
    error::ApplyError,
    exec::{Committed, Execution, Hoist, Interrupt, Replayed},
    feed::Feed,
    layout::Selection,
    pace::Pace,
    quarantine::{Content, Holds, ValueFiles},
    status::{ApplyStatus, TableProgress},
    table::{Phase, Table},
};

/// How long an idle loop sleeps in the log before it looks for commands.
const IDLE_WAIT: Duration = Duration::from_millis(20);
/// How often a paused loop looks for commands.
const PAUSED_WAIT: Duration = Duration::from_millis(2);
/// How long the log may take to come to a fence.
const ALIGN_WAIT_MAX: Duration = Duration::from_secs(30);
/// How many applied transactions are remembered to be checked against a fence: more than commit between a pause and a snapshot.
const RECENT_MAX: usize = 100_000;
/// Ordinal of what happens to a table between two transactions (a resync): behind every change a transaction can have.
pub(crate) const BEHIND_ORDINAL: u64 = i64::MAX as u64;
/// Name under which the log knows the warehouse.
pub const CONSUMER: &str = "warehouse";

/// Applies a log to a warehouse.
pub struct Applier {
    pub(crate) warehouse: Box<dyn Warehouse>,
    pub(crate) bases: Arc<dyn BaseStore>,
    pub(crate) feed: Feed,
    pub(crate) selection: Selection,
    pub(crate) hoist: Hoist,
    pub(crate) tables: HashMap<TableId, Table>,
    pub(crate) progress: Progress,
    pub(crate) status: Arc<ApplyStatus>,
    /// What is held in quarantine.
    holds: Holds,
    /// Its large values.
    values: ValueFiles,
    /// Whether the first load is done, so that bases need not be looked at again.
    pub(crate) is_loaded: bool,
    /// Commit LSN of the last transaction that changed each table.
    changed_at: HashMap<TableId, Lsn>,
    /// Commit LSN and id of the last transactions applied.
    recent: VecDeque<(Lsn, u32)>,
    pace: Pace,
    checkpoints: Checkpoints,
    paused: bool,
}

impl Applier {
    /// Opens a warehouse where it stands. `source` identifies the source (system identifier and database): a warehouse that holds
    /// another's data is refused. `quarantine` is the directory of large values in quarantine.
    pub fn open(
        mut warehouse: Box<dyn Warehouse>,
        log: Arc<dyn EventLog>,
        bases: Arc<dyn BaseStore>,
        selection: Selection,
        source: &str,
        quarantine: &Path,
    ) -> Result<Self, ApplyError> {
        let mut progress = warehouse.progress()?;
        if progress.source.is_empty() {
            progress.source = source.to_owned();
        } else if progress.source != source {
            return Err(ApplyError::OtherSource { held: progress.source, configured: source.to_owned() });
        }
        let mut tables = HashMap::new();
        for state in warehouse.tables()? {
            let table = Table::from_state(state)?;
            tables.insert(table.layout.id, table);
        }
        let values = ValueFiles::new(quarantine.to_owned());
        let mut holds = Holds::default();
        let mut files = HashSet::new();
        for change in warehouse.reader()?.quarantined()? {
            let content = Content::parse(&change)?;
            holds.take(change.position, &content);
            files.extend(content.files().map(|(name, ..)| name.to_owned()));
        }
        values.sweep(&files)?;
        let applier = Applier {
            warehouse,
            bases,
            feed: Feed::new(log, progress.applied_time),
            selection,
            hoist: Hoist::default(),
            tables,
            progress,
            status: Arc::new(ApplyStatus::default()),
            holds,
            values,
            is_loaded: false,
            changed_at: HashMap::new(),
            recent: VecDeque::new(),
            pace: Pace::default(),
            checkpoints: Checkpoints::opened(Instant::now()),
            paused: false,
        };
        applier.publish();
        Ok(applier)
    }

    /// Where it says what it is doing.
    pub fn status(&self) -> Arc<ApplyStatus> {
        self.status.clone()
    }

    /// The warehouse, for readers.
    pub fn warehouse(&self) -> &dyn Warehouse {
        &*self.warehouse
    }

    /// The tables, as they are held.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// Runs until `stop`: loads what the base has, then follows the log.
    ///
    /// # Errors
    /// What was committed stands, and a new `run` goes on behind it.
    pub fn run(&mut self, commands: &Receiver<Command>, stop: &AtomicBool) -> Result<(), ApplyError> {
        while !stop.load(Ordering::Acquire) {
            if let Ok(command) = commands.try_recv() {
                self.obey(command);
                continue;
            }
            let mut is_stream_paused = false;
            if self.paused {
                std::thread::sleep(PAUSED_WAIT);
            } else if self.is_loading()? {
                if !self.load_next()? {
                    std::thread::sleep(IDLE_WAIT);
                }
            } else if !self.step(IDLE_WAIT, None)? {
                self.caught_up();
                is_stream_paused = true;
            }
            let is_pressed = || {
                let stats = self.feed.log().stats();
                stats.bytes >= stats.bytes_max / 2
            };
            let (now, applied) = (Instant::now(), self.progress.applied_lsn);
            if let Some(compaction) = self.checkpoints.due(now, applied, is_stream_paused, is_pressed) {
                self.checkpoint(compaction)?;
            }
        }
        match self.checkpoints.last(self.progress.applied_lsn) {
            Some(compaction) => self.checkpoint(compaction),
            None => Ok(()),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Pause(reply) => {
                self.paused = true;
                answer(reply, self.progress.applied_lsn);
            }
            Command::Align(fence, reply) => answer(reply, self.align(&fence).map_err(Into::into)),
            Command::Follow(schema, reply) => answer(reply, self.follow(&schema).map_err(Into::into)),
            Command::Replace { base, table, reply } => {
                answer(reply, self.replace(base, table).map_err(Into::into));
            }
            Command::Retire(table, reply) => answer(reply, self.retire(table).map_err(Into::into)),
            Command::Replay(tables, reply) => {
                let replayed: Result<Vec<_>, _> =
                    tables.into_iter().map(|table| Ok((table, self.replay(table)?))).collect();
                answer(reply, replayed.map_err(|error: ApplyError| error.into()));
            }
            Command::Discard(tables, reply) => {
                let discarded: Result<Vec<_>, _> =
                    tables.into_iter().map(|table| Ok((table, self.discard(table)?))).collect();
                answer(reply, discarded.map_err(|error: ApplyError| error.into()));
            }
            Command::Resume => self.paused = false,
        }
        self.status.update(|status| status.paused = self.paused);
    }

    /// One warehouse transaction, if the log has anything within `wait`. With `within`, only transactions that the fence holds.
    pub(crate) fn step(&mut self, wait: Duration, within: Option<&Fence>) -> Result<bool, ApplyError> {
        loop {
            let Some(first) = self.feed.next(self.progress.applied_lsn, wait)? else { return Ok(false) };
            if within.is_some_and(|fence| !fence.holds(&first.header)) {
                self.feed.put_back(first);
                return Ok(false);
            }
            if within.is_none() {
                std::thread::sleep(self.pace.wait(Instant::now()));
            }
            match self.transaction(first, within) {
                Ok(()) => {
                    self.feed.take_more();
                    return Ok(true);
                }
                Err(Interrupt::Again) => self.feed.rewind(self.progress.applied_time),
                Err(Interrupt::Failed(error)) => {
                    self.feed.rewind(self.progress.applied_time);
                    if error.action() != Action::TakeLess || !self.feed.take_less() {
                        return Err(error);
                    }
                    tracing::warn!(event = "batch_too_large", error = %error, "smaller batches are applied");
                    // What the warehouse keeps in memory of rows that were deleted is written down and freed.
                    self.checkpoint(Compaction::Now)?;
                }
            }
        }
    }

    /// One warehouse transaction, and its span.
    fn transaction(&mut self, first: TransactionPart, within: Option<&Fence>) -> Result<(), Interrupt> {
        let span = tracing::info_span!(
            parent: None,
            "apply batch",
            otel.status_code = Empty,
            millstream.transactions = Empty,
            millstream.rows = Empty,
            millstream.tables = Empty,
            millstream.position = Empty,
        );
        let ended = span.in_scope(|| self.transact(first, within, &span));
        if let Err(Interrupt::Failed(_)) = &ended {
            span.record("otel.status_code", "ERROR");
        }
        ended
    }

    /// A batch, and all further pieces of a transaction that it cut.
    fn transact(
        &mut self,
        first: TransactionPart,
        within: Option<&Fence>,
        span: &Span,
    ) -> Result<(), Interrupt> {
        let (began, applied) = (Instant::now(), self.progress.applied_lsn);
        let mut batch = self.feed.gather(first, applied, within, &self.tables, &self.selection)?;
        let mut execution = Execution::begin(
            self.warehouse.begin().map_err(ApplyError::from)?,
            &self.selection,
            &mut self.hoist,
            &self.tables,
            (&self.values, &self.holds),
        )?;
        let mut progress = self.progress.clone();
        let (mut headers, mut changes, mut touched) = (Vec::new(), 0, Vec::new());
        loop {
            let is_cut = batch.is_cut;
            headers.append(&mut batch.headers);
            changes += batch.rows;
            touched.extend(batch.tables.keys().copied());
            if let Some(last) = &batch.last {
                progress.applied_lsn = last.commit_lsn;
            }
            tracing::info_span!("apply write").in_scope(|| execution.run(batch))?;
            if !is_cut {
                break;
            }
            batch = self.feed.gather_rest(applied, &self.tables, &self.selection)?;
        }
        progress.applied_time = self.feed.time();
        let committed = tracing::info_span!("apply commit").in_scope(|| execution.commit(&progress))?;
        self.pace.passed(began, Instant::now(), changes);
        self.checkpoints.changed(changes);

        let mut is_changed = self.take(committed);
        self.progress = progress;
        is_changed |= self.pass_fences(self.progress.applied_lsn);
        for header in &headers {
            self.recent.push_back((header.commit_lsn, header.xid));
        }
        let excess = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..excess);
        touched.sort_unstable();
        touched.dedup();
        span.record("millstream.transactions", headers.len());
        span.record("millstream.rows", changes);
        span.record("millstream.tables", touched.len());
        span.record("millstream.position", display(self.progress.applied_lsn));
        for &table in &touched {
            self.changed_at.insert(table, self.progress.applied_lsn);
        }
        if is_changed {
            self.publish();
        }
        self.status.update(|status| {
            status.transactions += headers.len() as u64;
            status.changes += changes;
            status.applied_lsn = self.progress.applied_lsn;
            status.applied_time = self.progress.applied_time;
            for table in &mut status.tables {
                if touched.binary_search(&table.id).is_ok() {
                    table.applied_lsn = self.progress.applied_lsn;
                }
            }
        });
        Ok(())
    }

    /// Goes on exactly to where the warehouse holds what the fence holds.
    ///
    /// A snapshot sees the transactions that had *ended* when it was taken, which need not be the first n of the commit order. So
    /// nothing applied already may be unseen, and behind the first unseen transaction none may be seen.
    fn align(&mut self, fence: &Fence) -> Result<Alignment, ApplyError> {
        let header = |&(commit_lsn, xid): &(Lsn, u32)| millstream_core::TransactionHeader {
            xid,
            commit_lsn,
            end_lsn: commit_lsn,
            commit_time: Default::default(),
        };
        if self.recent.iter().rev().any(|recent| !fence.holds(&header(recent))) {
            return Ok(Alignment::NotAPrefix);
        }
        let deadline = Instant::now() + ALIGN_WAIT_MAX;
        while self.feed.complete_through() < fence.ends_at() {
            if self.step(IDLE_WAIT, Some(fence))? {
                continue;
            }
            if let Some(part) = self.feed.next(self.progress.applied_lsn, Duration::ZERO)? {
                let is_unseen = !fence.holds(&part.header);
                let is_behind = part.header.commit_lsn >= fence.ends_at();
                let commit_lsn = part.header.commit_lsn;
                self.feed.put_back(part);
                if is_behind || (is_unseen && self.none_seen_behind(commit_lsn, fence, deadline)?) {
                    break;
                }
                if is_unseen {
                    return Ok(Alignment::NotAPrefix);
                }
            }
            if Instant::now() >= deadline {
                return Ok(Alignment::TimedOut);
            }
        }
        Ok(Alignment::At(self.progress.applied_lsn))
    }

    /// Whether the fence holds no transaction behind this one.
    fn none_seen_behind(&self, after: Lsn, fence: &Fence, deadline: Instant) -> Result<bool, ApplyError> {
        let mut ahead = self.feed.log().reader(after)?;
        while ahead.complete_through() < fence.ends_at() && Instant::now() < deadline {
            if let Some(part) = ahead.next(IDLE_WAIT)? {
                if part.header.commit_lsn >= fence.ends_at() {
                    return Ok(true);
                }
                if fence.holds(&part.header) {
                    return Ok(false);
                }
            }
        }
        Ok(ahead.complete_through() >= fence.ends_at())
    }

    /// Takes in how a table looks at the position that is applied; whether it must be read again.
    fn follow(&mut self, schema: &Arc<TableSchema>) -> Result<bool, ApplyError> {
        let progress = self.progress.clone();
        let at = self.between();
        self.in_transaction(&progress, |execution| execution.evolve(schema, at))?;
        let table = self.tables.get(&schema.id);
        Ok(table.is_some_and(|table| matches!(table.phase, Phase::NeedsResync { .. })))
    }

    /// The source has the table no more.
    fn retire(&mut self, id: TableId) -> Result<(), ApplyError> {
        let Some(table) = self.tables.get(&id).filter(|table| table.phase != Phase::Gone).cloned() else {
            return Ok(());
        };
        let at = self.between();
        let progress = Progress { applied_time: at.time, ..self.progress.clone() };
        self.in_transaction(&progress, |execution| execution.retire(table.clone(), at))?;
        Ok(())
    }

    /// Brings a table's changes in quarantine back. They get the moments that were given to them when they came, so the progress stays.
    fn replay(&mut self, id: TableId) -> Result<Replayed, ApplyError> {
        let progress = self.progress.clone();
        let at = self.between();
        let replayed = self.in_transaction(&progress, |execution| execution.replay(id, at))?;
        tracing::info!(
            event = "quarantine_replayed",
            table = %id,
            replayed = replayed.replayed,
            held = replayed.held,
            "changes in quarantine were brought back"
        );
        Ok(replayed)
    }

    /// Gives up a table's changes in quarantine that hold nothing any more.
    fn discard(&mut self, id: TableId) -> Result<Discarded, ApplyError> {
        let progress = self.progress.clone();
        let (dropped, held) = self.in_transaction(&progress, |execution| execution.discard(id, false))?;
        tracing::info!(event = "quarantine_dropped", table = %id, dropped, held, "changes were given up");
        Ok(Discarded { dropped, held })
    }

    /// Takes in what was committed; whether a table changed.
    fn take(&mut self, committed: Committed) -> bool {
        let is_changed = !committed.tables.is_empty();
        self.tables.extend(committed.tables);
        if let Some(holds) = committed.holds {
            self.holds = holds;
        }
        if let Err(error) = self.values.remove(committed.files_gone.iter().map(String::as_str)) {
            // Nothing refers to them: they go when the warehouse is opened again.
            tracing::warn!(event = "quarantine_file_left", error = %error, "a file of the quarantine is left behind");
        }
        is_changed
    }

    /// The moment behind what is applied and before what comes.
    pub(crate) fn between(&self) -> Moment {
        let position = Position { commit_lsn: self.progress.applied_lsn, ordinal: BEHIND_ORDINAL };
        Moment { time: self.progress.applied_time, position }
    }

    /// Runs `work` in a warehouse transaction of its own, again where columns must be altered first.
    pub(crate) fn in_transaction<T>(
        &mut self,
        progress: &Progress,
        mut work: impl FnMut(&mut Execution<'_>) -> Result<T, Interrupt>,
    ) -> Result<T, ApplyError> {
        loop {
            let transaction = self.warehouse.begin()?;
            let quarantine = (&self.values, &self.holds);
            let begun =
                Execution::begin(transaction, &self.selection, &mut self.hoist, &self.tables, quarantine);
            let done = begun.and_then(|mut execution| {
                let result = work(&mut execution)?;
                Ok((result, execution.commit(progress)?))
            });
            match done {
                Ok((result, committed)) => {
                    self.take(committed);
                    self.progress = progress.clone();
                    self.publish();
                    return Ok(result);
                }
                Err(Interrupt::Again) => {}
                Err(Interrupt::Failed(error)) => return Err(error),
            }
        }
    }

    /// Tables that were copied at different times agree with each other once the stream is past all their fences.
    fn pass_fences(&mut self, through: Lsn) -> bool {
        let mut passed = false;
        for table in self.tables.values_mut() {
            passed |= table.phase.pass(through);
        }
        passed
    }

    /// Nothing is left to do for now.
    fn caught_up(&mut self) {
        let through = self.feed.complete_through();
        if self.pass_fences(through) {
            self.publish();
        }
        self.status.update(|status| status.complete_through = status.complete_through.max(through));
    }

    fn checkpoint(&mut self, compaction: Compaction) -> Result<(), ApplyError> {
        self.checkpoints.begun(Instant::now());
        let lsn = self.warehouse.checkpoint(compaction)?;
        self.checkpoints.made(Instant::now(), lsn, compaction);
        let log = self.feed.log();
        log.advance_consumer(CONSUMER, lsn)?;
        let freed = log.retain()?;
        let is_compacted = compaction == Compaction::Now;
        tracing::debug!(event = "checkpoint", %lsn, is_compacted, freed, "warehouse checkpointed");
        Ok(())
    }

    /// Paints the picture anew, tables included.
    pub(crate) fn publish(&self) {
        let mut tables: Vec<TableProgress> = self
            .tables
            .values()
            .map(|table| TableProgress {
                id: table.layout.id,
                source: table.layout.source.clone(),
                target: table.layout.target.clone(),
                phase: table.phase.as_str(),
                reason: match &table.phase {
                    Phase::NeedsResync { reason, .. } => Some(reason.clone()),
                    _ => None,
                },
                history_since: table.history_since,
                applied_lsn: self.changed_at.get(&table.layout.id).copied().unwrap_or_default(),
            })
            .collect();
        tables.sort_by(|a, b| a.source.cmp(&b.source));
        self.status.update(|status| {
            status.applied_lsn = self.progress.applied_lsn;
            status.applied_time = self.progress.applied_time;
            status.generation += 1;
            status.tables = tables;
        });
    }
}

/// Answers a command. A send fails when nobody waits for the answer any more; then nobody misses it.
fn answer<T>(reply: Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::debug!(event = "answer_dropped", "nobody waits for the answer any more");
    }
}
