//! Every message survives encoding and decoding, no cut of one passes, and garbage is an error.

use bytes::Bytes;
use millstream_core::{
    Lsn, OldTuple, ReplicaIdentity, TableId, TableName, Timestamp, Tuple, TupleBuilder, Value,
};
use proptest::{collection::vec, option, prelude::*};

use super::*;

fn tuples() -> impl Strategy<Value = Tuple> {
    vec(prop_oneof![Just(None), Just(Some(None)), vec(any::<u8>(), 0..40).prop_map(|v| Some(Some(v)))], 0..8)
        .prop_map(|values| {
            let mut builder = TupleBuilder::new();
            for value in &values {
                builder.push(match value {
                    None => Value::Null,
                    Some(None) => Value::Unchanged,
                    Some(Some(bytes)) => Value::Text(bytes),
                });
            }
            builder.finish()
        })
}

fn old_tuples() -> impl Strategy<Value = OldTuple> {
    prop_oneof![tuples().prop_map(OldTuple::Key), tuples().prop_map(OldTuple::Full)]
}

fn lsns() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn)
}

fn times() -> impl Strategy<Value = Timestamp> {
    // The server's clock, not its whole range: values beyond i64 in the Unix epoch saturate.
    (-1_000_000_000_000_000_000i64..1_000_000_000_000_000_000).prop_map(Timestamp)
}

fn names() -> impl Strategy<Value = String> {
    "[a-zA-Z_äß€ \"]{1,12}"
}

fn commits() -> impl Strategy<Value = Commit> {
    (lsns(), lsns(), times()).prop_map(|(commit_lsn, end_lsn, commit_time)| Commit {
        commit_lsn,
        end_lsn,
        commit_time,
    })
}

fn prepares() -> impl Strategy<Value = Prepare> {
    (lsns(), lsns(), times(), any::<u32>(), names()).prop_map(
        |(prepare_lsn, end_lsn, prepare_time, xid, gid)| Prepare {
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        },
    )
}

fn relations() -> impl Strategy<Value = Relation> {
    let columns = (any::<bool>(), names(), any::<u32>(), any::<i32>()).prop_map(
        |(key, name, type_oid, type_modifier)| RelationColumn { key, name, type_oid, type_modifier },
    );
    let identities = prop_oneof![
        Just(ReplicaIdentity::Default),
        Just(ReplicaIdentity::Index),
        Just(ReplicaIdentity::Full),
        Just(ReplicaIdentity::Nothing)
    ];
    (
        any::<u32>(),
        prop_oneof![names(), Just("pg_catalog".to_owned())],
        names(),
        identities,
        vec(columns, 0..6),
    )
        .prop_map(|(id, schema, name, replica_identity, columns)| Relation {
            id: TableId(id),
            name: TableName { schema, name },
            replica_identity,
            columns,
        })
}

/// A message and whether it stands in a streamed block.
fn messages() -> impl Strategy<Value = (Message, bool)> {
    option::of(any::<u32>()).prop_flat_map(|xid| {
        let table = || any::<u32>().prop_map(TableId);
        let message = prop_oneof![
            (lsns(), times(), any::<u32>()).prop_map(|(final_lsn, commit_time, xid)| Message::Begin(Begin {
                final_lsn,
                commit_time,
                xid
            })),
            commits().prop_map(Message::Commit),
            (lsns(), names()).prop_map(|(commit_lsn, name)| Message::Origin { commit_lsn, name }),
            relations().prop_map(move |relation| Message::Relation { xid, relation }),
            (any::<u32>(), names(), names()).prop_map(move |(oid, schema, name)| Message::Type {
                xid,
                oid,
                schema,
                name
            }),
            (table(), tuples()).prop_map(move |(table, new)| Message::Insert { xid, table, new }),
            (table(), option::of(old_tuples()), tuples())
                .prop_map(move |(table, old, new)| Message::Update { xid, table, old, new }),
            (table(), old_tuples()).prop_map(move |(table, old)| Message::Delete { xid, table, old }),
            (vec(table(), 0..4), any::<bool>(), any::<bool>()).prop_map(
                move |(tables, cascade, restart_identity)| Message::Truncate {
                    xid,
                    tables,
                    cascade,
                    restart_identity
                }
            ),
            (any::<bool>(), lsns(), names(), vec(any::<u8>(), 0..40)).prop_map(
                move |(transactional, lsn, prefix, content)| Message::Message {
                    xid,
                    transactional,
                    lsn,
                    prefix,
                    content: content.into()
                }
            ),
            (any::<u32>(), any::<bool>())
                .prop_map(|(xid, first)| Message::StreamStart(StreamStart { xid, first })),
            Just(Message::StreamStop),
            (any::<u32>(), commits())
                .prop_map(|(xid, commit)| Message::StreamCommit(StreamCommit { xid, commit })),
            (any::<u32>(), any::<u32>(), option::of((lsns(), times())))
                .prop_map(|(xid, subxid, abort)| Message::StreamAbort(StreamAbort { xid, subxid, abort })),
            prepares().prop_map(Message::BeginPrepare),
            prepares().prop_map(Message::Prepare),
            prepares().prop_map(Message::StreamPrepare),
            (commits(), any::<u32>(), names())
                .prop_map(|(commit, xid, gid)| Message::CommitPrepared(CommitPrepared { commit, xid, gid })),
            (lsns(), lsns(), times(), times(), any::<u32>(), names()).prop_map(
                |(prepare_end_lsn, rollback_end_lsn, prepare_time, rollback_time, xid, gid)| {
                    Message::RollbackPrepared(RollbackPrepared {
                        prepare_end_lsn,
                        rollback_end_lsn,
                        prepare_time,
                        rollback_time,
                        xid,
                        gid,
                    })
                }
            ),
        ];
        (message, Just(xid.is_some()))
    })
}

/// What a peek must say of a message.
fn head_of(message: &Message) -> Head {
    match message {
        Message::Begin(begin) => Head::Begin(*begin),
        Message::Commit(commit) => Head::Commit(*commit),
        Message::Origin { .. } => Head::Origin,
        Message::Relation { xid, relation } => Head::Relation { xid: *xid, table: relation.id },
        Message::Type { xid, .. } => Head::Type { xid: *xid },
        Message::Insert { xid, table, .. } => Head::Row { kind: RowKind::Insert, xid: *xid, table: *table },
        Message::Update { xid, table, .. } => Head::Row { kind: RowKind::Update, xid: *xid, table: *table },
        Message::Delete { xid, table, .. } => Head::Row { kind: RowKind::Delete, xid: *xid, table: *table },
        Message::Truncate { xid, .. } => Head::Truncate { xid: *xid },
        Message::Message { xid, transactional, .. } => {
            Head::Message { xid: *xid, transactional: *transactional }
        }
        Message::StreamStart(start) => Head::StreamStart(*start),
        Message::StreamStop => Head::StreamStop,
        Message::StreamCommit(commit) => Head::StreamCommit(*commit),
        Message::StreamAbort(abort) => Head::StreamAbort(*abort),
        Message::BeginPrepare(_) => Head::TwoPhase { tag: b'b' },
        Message::Prepare(_) => Head::TwoPhase { tag: b'P' },
        Message::CommitPrepared(_) => Head::TwoPhase { tag: b'K' },
        Message::RollbackPrepared(_) => Head::TwoPhase { tag: b'r' },
        Message::StreamPrepare(_) => Head::TwoPhase { tag: b'p' },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_message_reads_back_as_it_was_written((message, in_stream) in messages()) {
        let bytes = message.encode();
        prop_assert_eq!(peek(&bytes, in_stream), Ok(head_of(&message)));
        prop_assert_eq!(Message::decode(bytes, in_stream), Ok(message));
    }

    #[test]
    fn every_cut_and_every_surplus_of_a_message_is_refused((message, in_stream) in messages()) {
        let bytes = message.encode();
        for end in 0..bytes.len() {
            let cut = Message::decode(bytes.slice(..end), in_stream);
            if let Message::StreamAbort(StreamAbort { xid, subxid, abort: Some(_) }) = message {
                if end == 9 {
                    // The one message with two lengths: cut between them it is the shorter one.
                    prop_assert_eq!(cut, Ok(Message::StreamAbort(StreamAbort { xid, subxid, abort: None })));
                    continue;
                }
            }
            let error = cut.expect_err("a cut message was accepted");
            prop_assert!(error.offset <= end);
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        prop_assert!(Message::decode(longer.into(), in_stream).is_err());
    }

    #[test]
    fn garbage_is_never_a_panic(
        mut bytes in vec(any::<u8>(), 0..80),
        tag in proptest::sample::select(b"IUDBCORYTMSEcAbPpKr".to_vec()),
        in_stream in any::<bool>(),
    ) {
        let _ = Message::decode(bytes.clone().into(), in_stream);
        let _ = peek(&bytes, in_stream);
        if let Some(first) = bytes.first_mut() {
            *first = tag;
        }
        let _ = peek(&bytes, in_stream);
        let _ = Message::decode(bytes.into(), in_stream);
    }
}

#[test]
fn an_insert_as_the_server_sends_it() {
    // `INSERT INTO t VALUES (1, NULL)` of a table with OID 16385, protocol 1.
    let bytes = Bytes::from_static(b"I\0\0\x40\x01N\0\x02t\0\0\0\x011n");
    let Message::Insert { xid: None, table: TableId(16385), new } =
        Message::decode(bytes.clone(), false).unwrap()
    else {
        panic!("not an insert");
    };
    assert_eq!(new.values().collect::<Vec<_>>(), [Value::Text(b"1"), Value::Null]);
    // Zero copy: the tuple lies in the message.
    assert_eq!(new.as_bytes().as_ptr(), bytes[6..].as_ptr());
}

#[test]
fn a_huge_count_costs_no_memory() {
    let relation = b"R\0\0\0\x01s\0n\0d\xff\xff";
    assert_eq!(Message::decode(Bytes::from_static(relation), false).unwrap_err().what, "no column flags");
    let truncate = b"T\xff\xff\xff\xff\0";
    assert_eq!(Message::decode(Bytes::from_static(truncate), false).unwrap_err().what, "no relation");
}

#[test]
fn an_error_says_which_message_and_where() {
    let error = Message::decode(Bytes::from_static(b"I\0\0\x40\x01N\0\x01t\0\0\0\x05ab"), false).unwrap_err();
    assert_eq!(error.to_string(), "malformed replication message `I`: value is cut short at byte 8");
    let error = Message::decode(Bytes::from_static(b"\xfe"), false).unwrap_err();
    assert_eq!(error.to_string(), "malformed replication message 0xfe: unknown kind of message at byte 1");
    assert_eq!(
        peek(b"", false).unwrap_err().to_string(),
        "malformed replication message (empty): no tag at byte 0"
    );
}
