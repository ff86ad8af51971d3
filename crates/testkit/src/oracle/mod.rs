//! What every table held at every commit, from two witnesses that know nothing of Millstream: triggers that recorded each change
//! (`audit.changes`), and a `test_decoding` slot that says in which order the transactions committed.

mod compare;
mod json;

use std::collections::{BTreeMap, HashMap};

use crate::{Error, PgCluster, Result};

pub use compare::compare;
pub use json::Json;

/// A committed transaction that changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// LSN behind its commit record.
    pub end_lsn: u64,
    /// Top-level transaction id.
    pub xid: u32,
}

impl Commit {
    /// A position at which this transaction is the newest that has committed: inside its commit record, since the next
    /// record, which may be a commit too, can begin where this one ends.
    #[must_use]
    pub fn position(&self) -> String {
        let lsn = self.end_lsn - 1;
        format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
    }
}

/// A column of a table at some commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attnum`: its identity through renames.
    pub attnum: i64,
    /// Its name then.
    pub name: String,
    /// `format_type` then.
    pub type_name: String,
}

/// A table at some commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableContent {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows as `to_jsonb` prints them, and how many there are of each.
    pub rows: BTreeMap<String, u64>,
}

impl TableContent {
    /// How many rows it has.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// The record in commit order.
#[derive(Debug, Default)]
pub struct Oracle {
    commits: Vec<Commit>,
    changes: HashMap<u32, Vec<Change>>,
}

#[derive(Debug)]
struct Change {
    sequence: String,
    relation: String,
    operation: String,
    old: Option<String>,
    new: Option<String>,
}

impl Oracle {
    /// Reads both witnesses. The writers must have stopped.
    ///
    /// # Errors
    /// The server's message, or a record that can't be read.
    pub fn read(cluster: &PgCluster) -> Result<Self> {
        let mut oracle = Self::default();
        let text = cluster.execute(
            "COPY (SELECT xid, seq, relation, op, old_row, new_row FROM audit.changes ORDER BY seq) TO STDOUT",
        )?;
        for line in text.lines() {
            let fields: Vec<Option<String>> = line.split('\t').map(unescape).collect();
            let [Some(xid), Some(sequence), Some(relation), Some(operation), old, new] = fields.as_slice()
            else {
                return Err(Error::new(format!("unexpected record: {line}")));
            };
            // The protocol and test_decoding print 32 bits, `xid8` has the epoch before them.
            let xid: u64 = xid.parse().map_err(Error::during("transaction id"))?;
            oracle.changes.entry((xid & u64::from(u32::MAX)) as u32).or_default().push(Change {
                sequence: sequence.clone(),
                relation: relation.clone(),
                operation: operation.clone(),
                old: old.clone(),
                new: new.clone(),
            });
        }
        // All in memory: PostgreSQL 18.4's test_decoding crashes over transactions that it had to spill.
        let text = cluster.execute(
            "SET logical_decoding_work_mem = '2GB'; SELECT lsn, substr(data, 8) FROM pg_logical_slot_peek_changes('oracle', NULL, NULL, 'include-xids', '1', 'skip-empty-xacts', '1')
             WHERE data LIKE 'COMMIT %'",
        )?;
        for line in text.lines() {
            let commit =
                parse_commit(line).ok_or_else(|| Error::new(format!("unexpected commit: {line}")))?;
            if oracle.changes.contains_key(&commit.xid) {
                oracle.commits.push(commit);
            }
        }
        if oracle.commits.len() != oracle.changes.len() {
            let (commits, recorded) = (oracle.commits.len(), oracle.changes.len());
            return Err(Error::new(format!(
                "{recorded} transactions recorded changes and {commits} of them committed"
            )));
        }
        Ok(oracle)
    }

    /// The transactions that changed something, in commit order.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// Index of the first commit that ends behind this position.
    #[must_use]
    pub fn behind(&self, lsn: u64) -> usize {
        self.commits.partition_point(|commit| commit.end_lsn <= lsn)
    }

    /// What happened to each table's rows in the commits from this one on, counted: `I`nserts, `U`pdates, `D`eletes, `T`runcates of the
    /// table, `C`hanges of its columns.
    #[must_use]
    pub fn events(&self, from: usize) -> BTreeMap<String, BTreeMap<char, u64>> {
        let mut events: BTreeMap<String, BTreeMap<char, u64>> = BTreeMap::new();
        for commit in self.commits.iter().skip(from) {
            for change in self.changes.get(&commit.xid).into_iter().flatten() {
                let of_table = events.entry(change.relation.clone()).or_default();
                *of_table.entry(change.operation.chars().next().unwrap_or('?')).or_default() += 1;
            }
        }
        events
    }

    /// Starts before the first commit.
    #[must_use]
    pub fn replay(&self) -> Replay<'_> {
        Replay { oracle: self, applied: 0, tables: BTreeMap::new() }
    }

    /// Every table as it is behind the last commit.
    ///
    /// # Errors
    /// As [`Replay::advance`].
    pub fn last(&self) -> Result<BTreeMap<String, TableContent>> {
        let mut replay = self.replay();
        replay.advance(self.commits.len())?;
        Ok(replay.tables)
    }
}

/// Goes through the commits, forwards only.
pub struct Replay<'a> {
    oracle: &'a Oracle,
    applied: usize,
    tables: BTreeMap<String, TableContent>,
}

impl Replay<'_> {
    /// Applies commits until `count` of them are.
    ///
    /// # Errors
    /// The record contradicts itself: a row that was changed was not there. Then the commit order or the record is wrong.
    pub fn advance(&mut self, count: usize) -> Result<()> {
        for commit in &self.oracle.commits[self.applied..count] {
            for change in self.oracle.changes.get(&commit.xid).into_iter().flatten() {
                let table = self.tables.entry(change.relation.clone()).or_default();
                apply(table, change).map_err(|error| {
                    Error::new(format!("record {} of {}: {error}", change.sequence, change.relation))
                })?;
            }
        }
        self.applied = count;
        Ok(())
    }

    /// The tables by `schema.name`, as they are behind the commits applied.
    #[must_use]
    pub fn tables(&self) -> &BTreeMap<String, TableContent> {
        &self.tables
    }
}

fn apply(table: &mut TableContent, change: &Change) -> Result<()> {
    let old = || change.old.as_deref().ok_or_else(|| Error::new("no old row"));
    let new = || change.new.clone().ok_or_else(|| Error::new("no new row"));
    match change.operation.as_str() {
        "I" => insert(table, new()?),
        "U" => {
            remove(table, old()?)?;
            insert(table, new()?);
        }
        "D" => remove(table, old()?)?,
        "T" => table.rows.clear(),
        "C" => {
            table.columns = compare::columns(&new()?)?;
            table.rows.clear();
            // Every row there is, in one array; printed by the same server, so each prints as it would alone.
            for row in compare::elements(old()?)? {
                insert(table, row);
            }
        }
        other => return Err(Error::new(format!("unknown operation {other}"))),
    }
    Ok(())
}

fn insert(table: &mut TableContent, row: String) {
    *table.rows.entry(row).or_default() += 1;
}

fn remove(table: &mut TableContent, row: &str) -> Result<()> {
    match table.rows.get_mut(row) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) => {
            table.rows.remove(row);
        }
        None => return Err(Error::new(format!("a row that was not there: {}", compare::short(row)))),
    }
    Ok(())
}

/// `0/16B3748|745` of the query above.
fn parse_commit(line: &str) -> Option<Commit> {
    let (lsn, xid) = line.split_once('|')?;
    let (high, low) = lsn.split_once('/')?;
    let end_lsn = u64::from_str_radix(high, 16).ok()? << 32 | u64::from_str_radix(low, 16).ok()?;
    // `COMMIT 745`, or behind a prepared transaction's `COMMIT PREPARED 'name', txid 745`.
    let xid = xid.rsplit(' ').next()?.parse().ok()?;
    Some(Commit { end_lsn, xid })
}

/// A field of COPY's text format.
fn unescape(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match characters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    Some(text)
}
