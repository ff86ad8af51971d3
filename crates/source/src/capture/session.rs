//! One connection's loop: read, look, hand on, acknowledge.
//!
//! Whole reads are handed to the log's thread, cut only behind a relation message, because the table's schema has to be stated before
//! the rows that need it. Nothing per message happens here but a look at its first byte.

use bytes::Bytes;
use millstream_core::{Lsn, TableSchema, Timestamp};
use millstream_pgoutput::{
    message::{Relation, RelationColumn},
    peek, Head, Message,
};
use tokio::time::{interval, Duration, Instant, MissedTickBehavior};

use super::{
    writer::{Work, WriterThread},
    Capture, Opened, SourceEvent, TableChange,
};
use crate::{
    catalog::{read_tables, relation::relation_schema},
    error::{Result, SourceError},
    replication::{Event, ReplicationStream},
    stop::Stop,
    wire::{Pace, Wire},
};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(500);

/// The server hears of us at least this often, and three times within its `wal_sender_timeout`.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Handed on at the latest when so much has been looked at.
const BATCH_BYTES_MAX: usize = 1 << 20;

pub(super) struct Session<'a> {
    capture: &'a mut Capture,
    writer: &'a mut WriterThread,
    stream: ReplicationStream,
    catalog: Wire,
    stop: Stop,
    /// Between Begin and Commit, or in a streamed block.
    open: bool,
    /// In a streamed block: messages carry a transaction id.
    in_stream: bool,
    received: Lsn,
    acknowledged: Lsn,
    /// What the last keepalive said, while nothing was sent after it.
    idle_through: Option<Lsn>,
    last_received: Instant,
    last_status: Instant,
    asked: bool,
    status_interval: Duration,
    silence_max: Duration,
}

/// What a look at the read buffer came to.
enum Look {
    /// Nothing whole is left.
    Empty,
    /// A batch is full.
    Batch(Batch),
    /// A batch that ends with a relation message, and where that stands.
    Relation(Batch, Relation, Lsn),
}

struct Batch {
    frames: Bytes,
    commits: bool,
    reply: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        capture: &'a mut Capture,
        writer: &'a mut WriterThread,
        opened: Opened,
        stop: Stop,
    ) -> Self {
        let Opened { stream, catalog, from: flushed, server_patience } = opened;
        let now = Instant::now();
        let status_interval = match server_patience {
            Duration::ZERO => STATUS_INTERVAL_MAX,
            patience => STATUS_INTERVAL_MAX.min(patience / 3),
        };
        Session {
            status_interval,
            silence_max: capture.config.silence_max,
            capture,
            writer,
            stream,
            catalog,
            stop,
            open: false,
            in_stream: false,
            received: flushed,
            acknowledged: flushed,
            // A log that holds nothing learns here where its source begins.
            idle_through: Some(flushed),
            last_received: now,
            last_status: now,
            asked: false,
        }
    }

    pub(super) async fn run(mut self) -> Result<()> {
        let ended = self.drive().await;
        if ended.is_ok() {
            // The last word: what is complete and not synced yet is sent again next time, and recognised.
            self.stream.status(self.received, self.acknowledged, false).await?;
            self.stream.close().await;
            self.catalog.close().await;
        }
        ended
    }

    async fn drive(&mut self) -> Result<()> {
        self.hand_on(Batch { frames: Bytes::new(), commits: false, reply: false }, None).await?;
        let mut tick = interval(TICK.min(self.status_interval));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = self.writer.written.clone();
        let observer = self.capture.observer.clone();
        let mut pace = Pace::default();
        loop {
            pace.wait();
            let more = tokio::select! {
                () = self.stop.requested() => return Ok(()),
                changed = written.changed() => {
                    changed.map_err(|_| self.writer.failure())?;
                    false
                }
                read = self.stream.fill() => {
                    let bytes = read?;
                    pace.read(bytes, std::time::Instant::now());
                    true
                }
                () = observer.nudge.notified() => {
                    self.status(true).await?;
                    false
                }
                _ = tick.tick() => {
                    self.capture.tell_again();
                    false
                }
            };
            if more {
                self.last_received = Instant::now();
                self.asked = false;
                fail::fail_point!("source::received");
                self.go_through().await?;
            }
            self.acknowledge().await?;
            self.keep_alive().await?;
        }
    }

    /// Hands on everything whole in the read buffer.
    async fn go_through(&mut self) -> Result<()> {
        loop {
            match self.look()? {
                Look::Empty => return Ok(()),
                Look::Batch(batch) => self.hand_on(batch, None).await?,
                Look::Relation(batch, relation, at) => {
                    let schema = self.resolve(&relation, at).await?;
                    self.hand_on(batch, Some(schema)).await?;
                }
            }
        }
    }

    fn look(&mut self) -> Result<Look> {
        let (mut commits, mut reply, mut transactions) = (false, false, 0);
        let mut last_commit: Option<Timestamp> = None;
        let mut relation = None;
        while let Some(event) = self.stream.next()? {
            match event {
                Event::Data { wal_start, message } => {
                    self.received = self.received.max(wal_start);
                    // Row messages, which are nearly all, end here.
                    match message[0] {
                        b'I' | b'U' | b'D' => continue,
                        b'B' => {
                            self.open = true;
                            self.idle_through = None;
                        }
                        b'S' => {
                            (self.open, self.in_stream) = (true, true);
                            self.idle_through = None;
                        }
                        b'E' => (self.open, self.in_stream) = (false, false),
                        b'C' | b'c' => {
                            self.open = false;
                            commits = true;
                            transactions += 1;
                            if let Head::Commit(commit)
                            | Head::StreamCommit(millstream_pgoutput::message::StreamCommit {
                                commit,
                                ..
                            }) = peek(message, false).map_err(undecodable)?
                            {
                                last_commit = Some(commit.commit_time);
                                self.received = self.received.max(commit.end_lsn);
                            }
                        }
                        b'R' => {
                            let bytes = Bytes::copy_from_slice(message);
                            if let Message::Relation { relation: found, .. } =
                                Message::decode(bytes, self.in_stream).map_err(undecodable)?
                            {
                                relation = Some((found, wal_start));
                                break;
                            }
                        }
                        // A message outside of any transaction is a whole by itself, and nothing to sync for.
                        _ => {}
                    }
                }
                Event::Keepalive { wal_end, reply_requested } => {
                    self.received = self.received.max(wal_end);
                    self.capture.observer.set_source_end(wal_end);
                    reply |= reply_requested;
                    if !self.open {
                        self.idle_through = Some(wal_end);
                    }
                }
                Event::Nothing => {}
            }
            if self.stream.scanned() >= BATCH_BYTES_MAX {
                break;
            }
        }
        if self.stream.scanned() == 0 {
            return Ok(Look::Empty);
        }
        let batch = Batch { frames: self.stream.take(), commits, reply };
        self.capture.observer.received(self.received, batch.frames.len(), transactions, last_commit);
        Ok(match relation {
            Some((relation, at)) => Look::Relation(batch, relation, at),
            None => Look::Batch(batch),
        })
    }

    /// Gives a batch to the log's thread once there is room. While there is none, nothing is read, and the server goes on hearing of us.
    async fn hand_on(&mut self, batch: Batch, schema: Option<TableSchema>) -> Result<()> {
        let bytes = batch.frames.len();
        let mut written = self.writer.written.clone();
        let room = loop {
            tokio::select! {
                biased;
                room = self.writer.room(bytes) => break room?,
                // The batch is dropped, so nothing behind it may be written either.
                () = self.stop.requested() => return Err(SourceError::Cancelled),
                changed = written.changed() => {
                    changed.map_err(|_| self.writer.failure())?;
                    self.acknowledge().await?;
                }
                () = tokio::time::sleep(TICK) => {
                    // We are the ones who do not read.
                    self.last_received = Instant::now();
                    self.keep_alive().await?;
                }
            }
        };
        let advance = self.idle_through.take_if(|_| !self.open);
        let schema = schema.map(Box::new);
        let work = Work { frames: batch.frames, commits: batch.commits, schema, advance };
        self.writer.write(work, room)?;
        if batch.reply {
            self.status(false).await?;
        }
        Ok(())
    }

    /// Asks the catalogue about a table that the stream has announced.
    async fn resolve(&mut self, relation: &Relation, at: Lsn) -> Result<TableSchema> {
        let types: Vec<(u32, i32)> = relation
            .columns
            .iter()
            .map(|RelationColumn { type_oid, type_modifier, .. }| (*type_oid, *type_modifier))
            .collect();
        let publication = self.capture.config.publication.clone();
        let catalog = read_tables(&mut self.catalog, Some(&publication), &[relation.id], &types).await?;
        let (schema, doubts) = relation_schema(relation, &catalog, self.capture.known.get(&relation.id), at);
        // One of them is reason enough to read the table again, and the same ones come with every connection until it has been.
        let told = self.capture.doubted.insert(schema.id, doubts.clone());
        if let Some(doubt) = doubts.first().filter(|_| told.as_ref() != Some(&doubts)) {
            tracing::warn!(event = "table_form_unclear", table = %relation.name, ?doubts, "a table's past form is unclear");
            let change = TableChange::Unclear(doubt.clone());
            self.capture.tell(SourceEvent::TableChanged {
                table: schema.id,
                name: schema.name.clone(),
                change,
            });
        }
        self.capture.known.insert(schema.id, schema.clone());
        Ok(schema)
    }

    /// Tells the server what is durable since it last heard.
    async fn acknowledge(&mut self) -> Result<()> {
        let (flushed, full) = {
            let written = self.writer.written.borrow();
            if let Some(error) = &written.error {
                return Err(error.clone());
            }
            (written.flushed, written.full)
        };
        self.capture.observer.set_full(full);
        if flushed > self.acknowledged {
            fail::fail_point!("source::before_ack");
            self.acknowledged = flushed;
            self.capture.observer.flushed(flushed);
            self.status(false).await?;
        }
        Ok(())
    }

    async fn keep_alive(&mut self) -> Result<()> {
        let silent = self.last_received.elapsed();
        if silent >= self.silence_max {
            return Err(SourceError::lost(
                "replicating",
                format!("the server has been silent for {} s", silent.as_secs()),
            ));
        }
        // Asked early enough that an answer has time to come.
        if silent >= self.silence_max / 3 && !self.asked {
            self.asked = true;
            return self.status(true).await;
        }
        if self.last_status.elapsed() >= self.status_interval {
            return self.status(false).await;
        }
        Ok(())
    }

    async fn status(&mut self, ask_for_reply: bool) -> Result<()> {
        self.last_status = Instant::now();
        self.stream.status(self.received, self.acknowledged, ask_for_reply).await
    }
}

fn undecodable(error: millstream_pgoutput::DecodeError) -> SourceError {
    SourceError::from_port(Box::new(error))
}
