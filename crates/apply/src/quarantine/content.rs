//! A change in quarantine as the warehouse keeps it: JSON, from which the change can be made again.
//!
//! Durable format, version 1. A value is `"null"`, `"unchanged"`, `{"text": …}` (PostgreSQL's text output), `{"binary": hex}` or
//! `{"file": {"name", "bytes"}}`, whose text stands in a file of [`super::files`]. Later versions must read this one.

use millstream_core::{
    warehouse::{Moment, QuarantinedChange},
    ColumnSchema, OldTuple, Position, TableSchema, Tuple, TupleBuilder, Value,
};
use serde::{Deserialize, Serialize};

use super::{files::ValueFiles, hold};
use crate::{
    error::ApplyError,
    plan::{RowChange, RowChangeKind},
};

/// The version written.
const VERSION: u32 = 1;

/// Values larger than this are files: what the warehouse keeps of a change stays small, and a person can open the value.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A deleted row.
    Delete,
    /// A row that was copied.
    Snapshot,
}

impl Kind {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Insert => "insert",
            Kind::Update => "update",
            Kind::Delete => "delete",
            Kind::Snapshot => "snapshot",
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// NULL.
    Null,
    /// Not sent: it is what it was before.
    Unchanged,
    /// PostgreSQL's text output.
    Text(String),
    /// Bytes that are no text, in hexadecimal: PostgreSQL's binary output.
    Binary(String),
    /// PostgreSQL's text output, in a file.
    File {
        /// Its name below the directory of the quarantine.
        name: String,
        /// Its length.
        bytes: u64,
    },
}

/// What an update or delete said of the row before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldRow {
    /// Whether it is the whole row, not its key alone.
    pub full: bool,
    /// The values, one per column of the schema.
    pub values: Vec<Cell>,
}

/// What made the table right without the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superseded {
    /// In words.
    pub by: String,
    /// Where.
    pub at: Position,
}

/// A change in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Of this format.
    pub version: u32,
    /// What it did.
    pub operation: Kind,
    /// Its identity, with the table: the position of the change, or one of its own for a row that was copied.
    pub position: Position,
    /// The transaction's id at the source, where it came in one.
    pub xid: Option<u32>,
    /// The moment of the version that it would have opened or closed.
    pub at: Moment,
    /// The column whose value can't be held; `None` for a change that follows another.
    pub column: Option<String>,
    /// The table as it was.
    pub schema: TableSchema,
    /// The row before.
    pub old: Option<OldRow>,
    /// The row.
    pub new: Option<Vec<Cell>>,
    /// Of a copied row: whether the warehouse holds an older version of it.
    pub replaces: bool,
    /// The keys it holds.
    pub holds: Vec<String>,
    /// Set once it holds nothing any more.
    pub superseded: Option<Superseded>,
}

impl Content {
    /// Of a change whose large values go to files, durably.
    pub fn of(change: &RowChange, schema: &TableSchema, files: &ValueFiles) -> Result<Self, ApplyError> {
        let position = identity(change);
        let cells = |row: &Tuple, which: &str| -> Result<Vec<Cell>, ApplyError> {
            let columns = schema.columns.iter().map(|column| column.attnum);
            row.values()
                .zip(columns)
                .map(|(value, attnum)| match value {
                    Value::Null => Ok(Cell::Null),
                    Value::Unchanged => Ok(Cell::Unchanged),
                    Value::Binary(bytes) => Ok(Cell::Binary(hex(bytes))),
                    Value::Text(bytes) if bytes.len() > INLINE_BYTES_MAX => {
                        let name = files.write(schema.id, position, which, attnum, bytes)?;
                        Ok(Cell::File { name, bytes: bytes.len() as u64 })
                    }
                    Value::Text(bytes) => Ok(std::str::from_utf8(bytes)
                        .map_or_else(|_| Cell::Binary(hex(bytes)), |text| Cell::Text(text.to_owned()))),
                })
                .collect()
        };
        let before = |old: &OldTuple| -> Result<OldRow, ApplyError> {
            let (OldTuple::Key(row) | OldTuple::Full(row)) = old;
            Ok(OldRow { full: matches!(old, OldTuple::Full(_)), values: cells(row, "old")? })
        };
        let mut replaced = false;
        let (operation, old, new) = match &change.kind {
            RowChangeKind::Insert(new) => (Kind::Insert, None, Some(cells(new, "new")?)),
            RowChangeKind::Update { old, new } => {
                (Kind::Update, old.as_ref().map(before).transpose()?, Some(cells(new, "new")?))
            }
            RowChangeKind::Delete(old) => (Kind::Delete, Some(before(old)?), None),
            RowChangeKind::Copied { replaces, new, .. } => {
                replaced = *replaces;
                (Kind::Snapshot, None, Some(cells(new, "new")?))
            }
        };
        Ok(Content {
            version: VERSION,
            operation,
            position,
            xid: None,
            at: change.at,
            column: None,
            schema: schema.clone(),
            old,
            new,
            replaces: replaced,
            holds: Vec::new(),
            superseded: None,
        })
    }

    /// As the warehouse keeps it.
    pub fn parse(kept: &QuarantinedChange) -> Result<Self, ApplyError> {
        let damaged = |what: String| ApplyError::Quarantined {
            table: kept.name.to_string(),
            position: kept.position,
            what,
        };
        let content: Content =
            serde_json::from_str(&kept.content).map_err(|error| damaged(error.to_string()))?;
        if content.version != VERSION {
            return Err(damaged(format!("version {} of the format is not known", content.version)));
        }
        Ok(content)
    }

    /// For the warehouse.
    pub fn to_json(&self) -> Result<String, ApplyError> {
        serde_json::to_string(self).map_err(|error| ApplyError::Quarantined {
            table: self.schema.name.to_string(),
            position: self.position,
            what: error.to_string(),
        })
    }

    /// The files that hold values of it, with their columns and sizes (as [`hold::printed_size`]).
    pub fn files(&self) -> impl Iterator<Item = (&str, &ColumnSchema, u64)> {
        let rows = self.old.iter().map(|old| &old.values).chain(&self.new);
        rows.flat_map(|row| row.iter().zip(&self.schema.columns)).filter_map(|(cell, column)| match cell {
            Cell::File { name, bytes } => {
                Some((name.as_str(), column, hold::printed_size(&column.pg_type.kind, *bytes)))
            }
            _ => None,
        })
    }

    /// The change again, values read back from their files.
    pub fn change(&self, files: &ValueFiles) -> Result<RowChange, ApplyError> {
        let position = self.position;
        let damaged = |what: &str| ApplyError::Quarantined {
            table: self.schema.name.to_string(),
            position,
            what: what.to_owned(),
        };
        let tuple = |cells: &[Cell]| -> Result<Tuple, ApplyError> {
            if cells.len() != self.schema.columns.len() {
                return Err(damaged("it has not as many values as its table columns"));
            }
            let mut builder = TupleBuilder::new();
            for cell in cells {
                match cell {
                    Cell::Null => builder.push(Value::Null),
                    Cell::Unchanged => builder.push(Value::Unchanged),
                    Cell::Text(text) => builder.push(Value::Text(text.as_bytes())),
                    Cell::Binary(digits) => {
                        let bytes =
                            unhex(digits).ok_or_else(|| damaged("a binary value is no hexadecimal"))?;
                        builder.push(Value::Binary(&bytes))
                    }
                    Cell::File { name, bytes } => builder.push(Value::Text(&files.read(name, *bytes)?)),
                };
            }
            Ok(builder.finish())
        };
        let old = || -> Result<Option<OldTuple>, ApplyError> {
            let Some(old) = &self.old else { return Ok(None) };
            let row = tuple(&old.values)?;
            Ok(Some(if old.full { OldTuple::Full(row) } else { OldTuple::Key(row) }))
        };
        let new = || tuple(self.new.as_deref().ok_or_else(|| damaged("the new row is missing"))?);
        let kind = match self.operation {
            Kind::Insert => RowChangeKind::Insert(new()?),
            Kind::Update => RowChangeKind::Update { old: old()?, new: new()? },
            Kind::Delete => RowChangeKind::Delete(old()?.ok_or_else(|| damaged("the old row is missing"))?),
            Kind::Snapshot => {
                RowChangeKind::Copied { ordinal: self.position.ordinal, replaces: self.replaces, new: new()? }
            }
        };
        Ok(RowChange { at: self.at, kind })
    }
}

/// What a change is known by, with its table: where it stands; of a copied row, a number of its own in place of the ordinal.
pub fn identity(change: &RowChange) -> Position {
    match change.kind {
        RowChangeKind::Copied { ordinal, .. } => Position { ordinal, ..change.at.position },
        _ => change.at.position,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use millstream_core::{Lsn, PgType, ReplicaIdentity, TableId, TableName, Timestamp, TypeKind};

    use super::*;

    #[test]
    fn every_change_can_be_made_again_large_values_from_their_files() {
        let column = |attnum: i16| ColumnSchema {
            attnum,
            name: format!("c{attnum}"),
            pg_type: PgType { oid: 25, typmod: -1, name: "text".into(), kind: TypeKind::Text },
            not_null: false,
            missing_value: None,
        };
        let schema = TableSchema {
            id: TableId(7),
            name: TableName::new("public", "t"),
            columns: (1..=5).map(column).collect(),
            key: Some(vec![0]),
            replica_identity: ReplicaIdentity::Default,
            relfilenode: 1,
            class_xmin: 1,
            storage: Default::default(),
        };
        let large = vec![b'x'; INLINE_BYTES_MAX + 1];
        let mut builder = TupleBuilder::new();
        for value in
            [Value::Text(b"1"), Value::Null, Value::Unchanged, Value::Text(&large), Value::Binary(&[0, 255])]
        {
            builder.push(value);
        }
        let row = builder.finish();
        let position = Position { commit_lsn: Lsn(0x1_0000_0010), ordinal: 3 };
        let directory = tempfile::tempdir().unwrap();
        let files = ValueFiles::new(directory.path().join("quarantine"));
        for kind in [
            RowChangeKind::Insert(row.clone()),
            RowChangeKind::Update { old: None, new: row.clone() },
            RowChangeKind::Update { old: Some(OldTuple::Full(row.clone())), new: row.clone() },
            RowChangeKind::Delete(OldTuple::Key(row.clone())),
            RowChangeKind::Copied { ordinal: 9, replaces: true, new: row.clone() },
        ] {
            let change = RowChange { at: Moment { time: Timestamp(5), position }, kind };
            let content = Content::of(&change, &schema, &files).unwrap();
            let kept = QuarantinedChange {
                position: identity(&change),
                table: schema.id,
                name: schema.name.clone(),
                code: "MS4201".into(),
                reason: "so".into(),
                key: "1".into(),
                content: content.to_json().unwrap(),
            };
            let read = Content::parse(&kept).unwrap();
            assert_eq!(read, content);
            assert!(read.files().all(|(name, column, bytes)| {
                bytes == large.len() as u64 && column.attnum == 4 && name.ends_with("-c4.value")
            }));
            let again = read.change(&files).unwrap();
            assert_eq!((again.at, format!("{:?}", again.kind)), (change.at, format!("{:?}", change.kind)));
        }
    }
}
