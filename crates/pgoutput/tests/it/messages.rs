//! What a real server's pgoutput says: every kind of message comes up, decodes, agrees with its peek, and encodes to the server's own bytes.

use std::{collections::BTreeMap, process::Stdio};

use millstream_core::{OldTuple, Value};
use millstream_pgoutput::{copy::CopyReader, message::RowKind, peek, Head, Message};
use millstream_testkit::PgCluster;

/// Everything that pgoutput can be made to say.
const SCENARIO: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE keyed (id integer PRIMARY KEY, big text, m mood);
    ALTER TABLE keyed ALTER COLUMN big SET STORAGE EXTERNAL;
    CREATE TABLE whole (a integer, b text);
    ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE PUBLICATION p FOR ALL TABLES;
    SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, true);
    SELECT pg_replication_origin_create('elsewhere');

    INSERT INTO keyed VALUES (1, repeat('x', 5000), 'sad'), (2, NULL, 'happy');
    UPDATE keyed SET m = 'happy' WHERE id = 1;
    UPDATE keyed SET m = 'sad' WHERE id = 2;
    UPDATE keyed SET id = 3 WHERE id = 2;
    DELETE FROM keyed WHERE id = 3;
    INSERT INTO whole VALUES (1, 'a');
    UPDATE whole SET b = NULL;
    DELETE FROM whole;
    TRUNCATE keyed, whole RESTART IDENTITY CASCADE;
    SELECT pg_logical_emit_message(true, 'prefix', 'content');
    SELECT pg_logical_emit_message(false, 'alone', '\\x00ff'::bytea);

    BEGIN;
    SELECT pg_replication_origin_session_setup('elsewhere');
    SELECT pg_replication_origin_xact_setup('0/ABCD', '2024-01-02 03:04:05+00');
    INSERT INTO whole VALUES (2, 'from elsewhere');
    COMMIT;
    SELECT pg_replication_origin_session_reset();

    BEGIN;
    INSERT INTO keyed SELECT n, 'streamed', 'sad' FROM generate_series(1, 3000) n;
    SAVEPOINT gone;
    INSERT INTO whole SELECT n, 'rolled back' FROM generate_series(1, 3000) n;
    ROLLBACK TO gone;
    SELECT pg_logical_emit_message(true, 'in a stream', 'x');
    TRUNCATE whole;
    UPDATE keyed SET big = 'again' WHERE id <= 1000;
    COMMIT;

    BEGIN; INSERT INTO whole VALUES (3, 'prepared'); PREPARE TRANSACTION 'one'; COMMIT PREPARED 'one';
    BEGIN; INSERT INTO whole VALUES (4, 'given up'); PREPARE TRANSACTION 'two';
";

/// Takes what the slot has to say.
fn changes(cluster: &PgCluster) -> Vec<Vec<u8>> {
    let copy =
        "COPY (SELECT data FROM pg_logical_slot_get_binary_changes('s', NULL, NULL, 'proto_version', '3', \
                'publication_names', 'p', 'messages', 'true', 'streaming', 'true', 'two_phase', 'true')) \
                TO STDOUT (FORMAT binary)";
    let output = cluster.psql("postgres").args(["-c", copy]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = CopyReader::new(&output.stdout[..]);
    let mut messages = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        messages.push(row.fields().next().flatten().unwrap().to_vec());
    }
    messages
}

/// A name for each shape that matters.
fn shape(message: &Message) -> &'static str {
    match message {
        Message::Begin(_) => "begin",
        Message::Commit(_) => "commit",
        Message::Origin { .. } => "origin",
        Message::Relation { xid: None, .. } => "relation",
        Message::Relation { .. } => "relation, streamed",
        Message::Type { xid: None, .. } => "type",
        Message::Type { .. } => "type, streamed",
        Message::Insert { xid: None, .. } => "insert",
        Message::Insert { .. } => "insert, streamed",
        Message::Update { new, .. } if new.has_unchanged() => "update, value unchanged",
        Message::Update { xid: Some(_), .. } => "update, streamed",
        Message::Update { old: None, .. } => "update",
        Message::Update { old: Some(OldTuple::Key(_)), .. } => "update, old key",
        Message::Update { old: Some(OldTuple::Full(_)), .. } => "update, old row",
        Message::Delete { old: OldTuple::Key(_), .. } => "delete, key",
        Message::Delete { old: OldTuple::Full(_), .. } => "delete, row",
        Message::Truncate { xid: None, .. } => "truncate",
        Message::Truncate { .. } => "truncate, streamed",
        Message::Message { xid: Some(_), .. } => "message, streamed",
        Message::Message { transactional: true, .. } => "message",
        Message::Message { .. } => "message, alone",
        Message::StreamStart(_) => "stream start",
        Message::StreamStop => "stream stop",
        Message::StreamCommit(_) => "stream commit",
        Message::StreamAbort(_) => "stream abort",
        Message::BeginPrepare(_) => "begin prepare",
        Message::Prepare(_) => "prepare",
        Message::CommitPrepared(_) => "commit prepared",
        Message::RollbackPrepared(_) => "rollback prepared",
        Message::StreamPrepare(_) => "stream prepare",
    }
}

#[test]
fn every_kind_of_message_of_a_server_is_read_and_written_as_the_server_wrote_it() {
    let cluster = PgCluster::builder()
        // The least there is: a few thousand rows are streamed.
        .setting("logical_decoding_work_mem", "64kB")
        .setting("max_prepared_transactions", 2)
        .start()
        .unwrap();
    cluster.execute(SCENARIO).unwrap();
    let mut messages = changes(&cluster);
    // A rollback is only sent of what was sent as prepared before.
    cluster.execute("ROLLBACK PREPARED 'two'").unwrap();
    messages.extend(changes(&cluster));
    cluster
        .execute(
            "BEGIN; INSERT INTO keyed SELECT n, 'large', 'sad' FROM generate_series(10000, 13000) n; \
             PREPARE TRANSACTION 'three'; COMMIT PREPARED 'three'",
        )
        .unwrap();
    messages.extend(changes(&cluster));

    let mut in_stream = false;
    let mut seen = BTreeMap::new();
    let mut unchanged = 0;
    for bytes in messages {
        let head = peek(&bytes, in_stream).unwrap();
        let message = Message::decode(bytes.clone().into(), in_stream)
            .unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
        assert_eq!(message.encode(), bytes, "{message:?}");
        match (&head, &message) {
            (
                Head::Row { kind: RowKind::Update, xid: of, table: id },
                Message::Update { xid, table, new, .. },
            ) => {
                assert_eq!((of, id), (xid, table));
                unchanged += new.values().filter(|value| *value == Value::Unchanged).count();
            }
            (Head::StreamStart(start), Message::StreamStart(whole)) => {
                assert_eq!(start, whole);
                in_stream = true;
            }
            (Head::StreamStop, _) => in_stream = false,
            (Head::Begin(begin), Message::Begin(whole)) => assert_eq!(begin, whole),
            _ => {}
        }
        *seen.entry(shape(&message)).or_insert(0) += 1;
    }
    assert_eq!(unchanged, 1, "the update that left the large value alone");
    let expected = [
        "begin",
        "begin prepare",
        "commit",
        "commit prepared",
        "delete, key",
        "delete, row",
        "insert",
        "insert, streamed",
        "message",
        "message, alone",
        "message, streamed",
        "origin",
        "prepare",
        "relation",
        "relation, streamed",
        "rollback prepared",
        "stream abort",
        "stream commit",
        "stream prepare",
        "stream start",
        "stream stop",
        "truncate",
        "truncate, streamed",
        "type",
        "type, streamed",
        "update",
        "update, old key",
        "update, old row",
        "update, streamed",
        "update, value unchanged",
    ];
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), expected);
}
