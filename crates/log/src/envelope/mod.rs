//! Changes in Debezium's envelope, as its PostgreSQL connector and Kafka Connect's JSON converter write them without schemas.
//!
//! Source of the structure: Debezium documentation, "Debezium connector for PostgreSQL", chapters "Data change events" and
//! "Transaction metadata". What it looks like, and what differs on purpose, is in `docs/reference/events.md`.

pub mod value;

use std::{collections::HashMap, sync::Arc};

use millstream_core::{
    Change, ChangeKind, Lsn, OldTuple, TableId, TableSchema, Timestamp, TransactionHeader, Tuple, Value,
};
use serde_json::{json, Map, Value as Json};

/// Whose changes they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSource {
    /// The logical name (`topic.prefix` there).
    pub name: String,
    /// The database.
    pub database: String,
}

/// Turns changes into events. Keeps count of a transaction's events, so it must be given all of its changes, in order.
#[derive(Debug)]
pub struct Envelopes {
    source: EnvelopeSource,
    /// Of the transaction before the current one.
    last_commit_lsn: Option<Lsn>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    commit_lsn: Lsn,
    events: u64,
    events_of: HashMap<TableId, u64>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The table; `None` for a logical message.
    pub table: Option<Arc<TableSchema>>,
    /// `c`, `u`, `d`, `t` or `m`.
    pub op: char,
    /// The envelope.
    pub envelope: Json,
}

/// What an event says beside where it comes from.
struct Content {
    op: char,
    before: Json,
    after: Json,
}

impl Envelopes {
    /// For the changes of one source.
    pub fn new(source: EnvelopeSource) -> Self {
        Envelopes { source, last_commit_lsn: None, current: None }
    }

    /// The events of a change. A schema change is none. `now` is when it is processed.
    pub fn events(&mut self, header: &TransactionHeader, change: &Change, now: Timestamp) -> Vec<Event> {
        self.enter(header.commit_lsn);
        let mut events = Vec::new();
        match &change.kind {
            ChangeKind::Insert { table, new } => {
                let content = Content { op: 'c', before: Json::Null, after: row(table, new) };
                events.push(self.event(header, change, table, content, now));
            }
            ChangeKind::Update { table, old, new } if key_changed(table, old.as_ref(), new) => {
                let before = old.as_ref().map_or(Json::Null, |old| old_row(table, old));
                let deleted = Content { op: 'd', before, after: Json::Null };
                let created = Content { op: 'c', before: Json::Null, after: row(table, new) };
                events.push(self.event(header, change, table, deleted, now));
                events.push(self.event(header, change, table, created, now));
            }
            ChangeKind::Update { table, old, new } => {
                let before = old.as_ref().map_or(Json::Null, |old| old_row(table, old));
                let content = Content { op: 'u', before, after: row(table, new) };
                events.push(self.event(header, change, table, content, now));
            }
            ChangeKind::Delete { table, old } => {
                let content = Content { op: 'd', before: old_row(table, old), after: Json::Null };
                events.push(self.event(header, change, table, content, now));
            }
            ChangeKind::Truncate { tables, .. } => {
                for table in tables {
                    let content = Content { op: 't', before: Json::Null, after: Json::Null };
                    events.push(self.event(header, change, table, content, now));
                }
            }
            ChangeKind::Message { prefix, content } => {
                events.push(self.message(header, change, prefix, content, now));
            }
            ChangeKind::Schema { .. } => {}
        }
        events
    }

    fn enter(&mut self, commit_lsn: Lsn) {
        if self.current.as_ref().is_some_and(|current| current.commit_lsn == commit_lsn) {
            return;
        }
        self.last_commit_lsn = self.current.take().map(|current| current.commit_lsn);
        self.current = Some(Current { commit_lsn, events: 0, events_of: HashMap::new() });
    }

    fn event(
        &mut self,
        header: &TransactionHeader,
        change: &Change,
        table: &Arc<TableSchema>,
        content: Content,
        now: Timestamp,
    ) -> Event {
        let Content { op, before, after } = content;
        let mut envelope = Map::new();
        envelope.insert("before".to_owned(), before);
        envelope.insert("after".to_owned(), after);
        envelope.insert("source".to_owned(), self.source(header, change, Some(table)));
        envelope.insert("transaction".to_owned(), self.transaction(header, change, Some(table.id)));
        envelope.insert("op".to_owned(), json!(op));
        put_times(&mut envelope, now);
        Event { table: Some(Arc::clone(table)), op, envelope: Json::Object(envelope) }
    }

    fn message(
        &mut self,
        header: &TransactionHeader,
        change: &Change,
        prefix: &str,
        content: &[u8],
        now: Timestamp,
    ) -> Event {
        let mut envelope = Map::new();
        envelope.insert("op".to_owned(), json!('m'));
        put_times(&mut envelope, now);
        envelope.insert("source".to_owned(), self.source(header, change, None));
        envelope.insert("transaction".to_owned(), self.transaction(header, change, None));
        envelope.insert("message".to_owned(), json!({"prefix": prefix, "content": value::base64(content)}));
        Event { table: None, op: 'm', envelope: Json::Object(envelope) }
    }

    fn source(&self, header: &TransactionHeader, change: &Change, table: Option<&TableSchema>) -> Json {
        let sequence = [self.last_commit_lsn, Some(change.lsn)].map(|lsn| lsn.map(|lsn| lsn.0.to_string()));
        let mut source = Map::new();
        source.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        source.insert("connector".to_owned(), json!("postgresql"));
        source.insert("name".to_owned(), json!(self.source.name));
        source.insert("ts_ms".to_owned(), json!(header.commit_time.0.div_euclid(1000)));
        source.insert("snapshot".to_owned(), json!("false"));
        source.insert("db".to_owned(), json!(self.source.database));
        source.insert("sequence".to_owned(), json!(json!(sequence).to_string()));
        source.insert("ts_us".to_owned(), json!(header.commit_time.0));
        source.insert("ts_ns".to_owned(), json!(header.commit_time.0.saturating_mul(1000)));
        source.insert("schema".to_owned(), json!(table.map_or("", |table| &table.name.schema)));
        source.insert("table".to_owned(), json!(table.map_or("", |table| &table.name.name)));
        source.insert("txId".to_owned(), json!(header.xid));
        source.insert("lsn".to_owned(), json!(change.lsn.0));
        source.insert("xmin".to_owned(), Json::Null);
        Json::Object(source)
    }

    /// Counts the event.
    fn transaction(&mut self, header: &TransactionHeader, change: &Change, table: Option<TableId>) -> Json {
        let commit_lsn = header.commit_lsn;
        let current =
            self.current.get_or_insert_with(|| Current { commit_lsn, events: 0, events_of: HashMap::new() });
        current.events += 1;
        let of_table = table.map(|table| {
            let events = current.events_of.entry(table).or_default();
            *events += 1;
            *events
        });
        json!({
            "id": format!("{}:{}", header.xid, change.lsn.0),
            "total_order": current.events,
            "data_collection_order": of_table.unwrap_or(current.events),
        })
    }
}

fn put_times(envelope: &mut Map<String, Json>, now: Timestamp) {
    envelope.insert("ts_ms".to_owned(), json!(now.0.div_euclid(1000)));
    envelope.insert("ts_us".to_owned(), json!(now.0));
    envelope.insert("ts_ns".to_owned(), json!(now.0.saturating_mul(1000)));
}

fn row(table: &TableSchema, tuple: &Tuple) -> Json {
    let columns = table.columns.iter().zip(tuple.values());
    Json::Object(
        columns.map(|(column, value)| (column.name.clone(), value::json(&column.pg_type, value))).collect(),
    )
}

fn old_row(table: &TableSchema, old: &OldTuple) -> Json {
    match old {
        OldTuple::Key(tuple) | OldTuple::Full(tuple) => row(table, tuple),
    }
}

fn key_changed(table: &TableSchema, old: Option<&OldTuple>, new: &Tuple) -> bool {
    let (Some(old), Some(key)) = (old, &table.key) else {
        return false;
    };
    let (OldTuple::Key(old) | OldTuple::Full(old)) = old;
    let (old, new): (Vec<Value>, Vec<Value>) = (old.values().collect(), new.values().collect());
    // An unchanged value that was not sent is just that.
    key.iter().any(|&index| match (old.get(index), new.get(index)) {
        (Some(_), Some(Value::Unchanged)) => false,
        (old, new) => old != new,
    })
}

#[cfg(test)]
mod tests {
    use millstream_core::{ColumnSchema, PgType, ReplicaIdentity, TableName, TupleBuilder, TypeKind};

    use super::*;

    fn table(replica_identity: ReplicaIdentity) -> Arc<TableSchema> {
        let column = |attnum, name: &str, kind| ColumnSchema {
            attnum,
            name: name.to_owned(),
            pg_type: PgType { oid: 0, typmod: -1, name: String::new(), kind },
            not_null: false,
            missing_value: None,
        };
        Arc::new(TableSchema {
            id: TableId(7),
            name: TableName::new("operations", "orders"),
            columns: vec![column(1, "id", TypeKind::Int8), column(2, "note", TypeKind::Text)],
            key: Some(vec![0]),
            replica_identity,
            relfilenode: 1,
            class_xmin: 1,
            storage: Default::default(),
        })
    }

    fn tuple(values: &[Value]) -> Tuple {
        let mut builder = TupleBuilder::new();
        values.iter().for_each(|&value| _ = builder.push(value));
        builder.finish()
    }

    fn told(change_kinds: Vec<ChangeKind>) -> Vec<Json> {
        let header = TransactionHeader {
            xid: 555,
            commit_lsn: Lsn(1000),
            end_lsn: Lsn(1010),
            commit_time: Timestamp(1_700_000_000_123_456),
        };
        let mut envelopes =
            Envelopes::new(EnvelopeSource { name: "finance".to_owned(), database: "app".to_owned() });
        let mut told = Vec::new();
        for (number, kind) in change_kinds.into_iter().enumerate() {
            let change = Change { ordinal: number as u64, lsn: Lsn(900 + number as u64), kind };
            let events = envelopes.events(&header, &change, Timestamp(1_700_000_001_000_001));
            told.extend(events.into_iter().map(|event| event.envelope));
        }
        told
    }

    #[test]
    fn an_insert_is_the_connectors_event_to_the_letter() {
        let table = table(ReplicaIdentity::Default);
        let told = told(vec![ChangeKind::Insert {
            table,
            new: tuple(&[Value::Text(b"9007199254740993"), Value::Null]),
        }]);
        let expected = format!(
            r#"{{"before":null,"after":{{"id":9007199254740993,"note":null}},"source":{{"version":"{}","connector":"postgresql","name":"finance","ts_ms":1700000000123,"snapshot":"false","db":"app","sequence":"[null,\"900\"]","ts_us":1700000000123456,"ts_ns":1700000000123456000,"schema":"operations","table":"orders","txId":555,"lsn":900,"xmin":null}},"transaction":{{"id":"555:900","total_order":1,"data_collection_order":1}},"op":"c","ts_ms":1700000001000,"ts_us":1700000001000001,"ts_ns":1700000001000001000}}"#,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(told[0].to_string(), expected);
    }

    #[test]
    fn a_changed_key_is_a_delete_and_a_creation() {
        let full = table(ReplicaIdentity::Full);
        let table = table(ReplicaIdentity::Default);
        let told = told(vec![
            ChangeKind::Update {
                table: Arc::clone(&table),
                old: Some(OldTuple::Key(tuple(&[Value::Text(b"1"), Value::Null]))),
                new: tuple(&[Value::Text(b"2"), Value::Unchanged]),
            },
            ChangeKind::Update { table, old: None, new: tuple(&[Value::Text(b"2"), Value::Text(b"x")]) },
            ChangeKind::Update {
                table: full,
                old: Some(OldTuple::Full(tuple(&[Value::Text(b"2"), Value::Text(b"x")]))),
                new: tuple(&[Value::Text(b"2"), Value::Text(b"y")]),
            },
        ]);
        let seen: Vec<_> = told
            .iter()
            .map(|event| {
                format!(
                    "{} {} {} {}",
                    event["op"], event["before"], event["after"], event["transaction"]["total_order"]
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                r#""d" {"id":1,"note":null} null 1"#,
                r#""c" null {"id":2,"note":"__debezium_unavailable_value"} 2"#,
                r#""u" null {"id":2,"note":"x"} 3"#,
                r#""u" {"id":2,"note":"x"} {"id":2,"note":"y"} 4"#,
            ]
        );
    }

    #[test]
    fn truncates_and_messages_are_events_and_schema_changes_are_not() {
        let table = table(ReplicaIdentity::Default);
        let told = told(vec![
            ChangeKind::Schema { table: Arc::clone(&table) },
            ChangeKind::Truncate {
                tables: vec![Arc::clone(&table), table],
                cascade: false,
                restart_identity: false,
            },
            ChangeKind::Message { prefix: "audit".to_owned(), content: bytes::Bytes::from_static(b"hi") },
        ]);
        let ops: Vec<_> = told.iter().map(|event| event["op"].as_str().unwrap()).collect();
        assert_eq!(ops, ["t", "t", "m"]);
        assert_eq!(told[1]["transaction"]["data_collection_order"], 2);
        assert_eq!(told[2]["message"], json!({"prefix": "audit", "content": "aGk="}));
        assert_eq!(told[2]["source"]["lsn"], 902);
    }
}
