//! Snapshots that were cut off: what is finished is not copied again, and the result is what one snapshot would have seen.

use std::sync::Arc;

use millstream_core::{base::BaseTable, Diagnostic, Fence};
use millstream_source::{
    snapshot::{self, SlotUse, SnapshotConfig, SnapshotObserver, SnapshotStatus},
    wire::Wire,
    Stopper,
};
use millstream_testkit::PgCluster;

use crate::{
    memory_base::MemoryBase,
    snapshot::{config, copy, create},
    superuser,
};

/// Small, so that tables of some thousand rows have many chunks.
const CHUNK_PAGES: u64 = 8;

/// Rows of half a kilobyte: about 15 on a page, 120 in a chunk.
const KEYED: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t ALTER v SET STORAGE PLAIN; \
    INSERT INTO t SELECT i, lpad(i::text, 500, 'x') FROM generate_series(1, 2400) i;";

struct Interrupted {
    cluster: PgCluster,
    config: SnapshotConfig,
    base: MemoryBase,
}

impl Interrupted {
    /// A copy of the tables that ends by an error once so many chunks are finished.
    async fn after(sql: &str, chunks: usize, slot: SlotUse) -> Self {
        let cluster = PgCluster::start_default().unwrap();
        cluster.execute(sql).unwrap();
        Self::of(cluster, chunks, slot).await
    }

    async fn of(cluster: PgCluster, chunks: usize, slot: SlotUse) -> Self {
        let config = SnapshotConfig { chunk_pages: CHUNK_PAGES, ..config(&cluster).await };
        let base = MemoryBase::default();
        base.set_room(Some(chunks));
        // One connection, so that the first chunks are the finished ones.
        let alone = SnapshotConfig { connections: 1, ..config.clone() };
        let error = copy(&alone, slot, &base).await.unwrap_err();
        assert_eq!(error.code(), "MS3999", "the store's own error comes through");
        assert_eq!(base.written(), chunks);
        Interrupted { cluster, config, base }
    }

    /// Goes on until so many more chunks are finished, or to the end.
    async fn resume(&self, chunks: Option<usize>) -> SnapshotStatus {
        self.base.set_room(chunks);
        let (_stopper, stop) = Stopper::new();
        let observer = Arc::new(SnapshotObserver::default());
        let manifest = self.base.manifest();
        let resumed =
            snapshot::resume(&self.config, &manifest, self.base.port(), observer.clone(), stop).await;
        assert_eq!(resumed.is_ok(), chunks.is_none(), "{resumed:?}");
        assert_eq!(self.base.manifest().is_complete(), chunks.is_none());
        observer.status()
    }

    /// The base must hold what the source has now.
    #[track_caller]
    fn expect_equal(&self, table: &str) -> BaseTable {
        let copied = self.base.rows(table).into_iter().map(|row| {
            let field = |field: &Option<Vec<u8>>| match field {
                None => "NULL".to_owned(),
                Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            };
            row.iter().map(field).collect::<Vec<_>>().join(" ")
        });
        let mut copied: Vec<String> = copied.collect();
        copied.sort();
        let columns = self.base.table(table).schema.columns;
        let columns: Vec<String> = columns
            .iter()
            .map(|column| match column.pg_type.name.as_str() {
                "integer" => format!("coalesce(encode(int4send({}), 'hex'), 'NULL')", column.name),
                _ => format!("coalesce(encode(convert_to({}::text, 'UTF8'), 'hex'), 'NULL')", column.name),
            })
            .collect();
        let query = format!("SELECT concat_ws(' ', {}) FROM {table}", columns.join(", "));
        let rows = self.cluster.execute(&query).unwrap();
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_unstable();
        assert_eq!(copied.len(), rows.len(), "rows of {table}");
        let differs = copied.iter().zip(&rows).find(|(copied, row)| copied != *row);
        assert_eq!(differs, None, "{table}");
        self.base.table(table)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_tables_and_untouched_chunks_are_not_copied_again() {
    let sql =
        format!("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 100); {KEYED}");
    let copy = Interrupted::after(&sql, 9, create("s")).await;
    assert!(copy.base.table("a").is_complete());
    let before = copy.base.table("t");
    assert!(before.chunks_planned > 15, "{}", before.chunks_planned);

    let status = copy.resume(None).await;
    let after = copy.expect_equal("t");
    assert_eq!(copy.base.kept(), before.chunks.len());
    assert_eq!(copy.base.written(), 1 + after.chunks.len(), "something was copied again");
    assert!(matches!(copy.base.table("a").fence, Fence::ConsistentPoint(_)));
    assert!(matches!(after.fence, Fence::Snapshot { .. }));
    assert_eq!(status.chunks_kept() as usize, before.chunks.len());
    assert_eq!((status.rows(), status.fraction()), (2400, 1.0));
    assert_eq!(status.bytes(), after.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_finished_chunks_is_replaced_in_them_after_each_of_many_interruptions() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute(&format!("{KEYED} SELECT pg_create_logical_replication_slot('s', 'pgoutput')")).unwrap();
    let mut open = Wire::connect(&superuser(&cluster)).await.unwrap();
    open.query("writing", "BEGIN; INSERT INTO public.t VALUES (-1, 'open'); SAVEPOINT s").await.unwrap();
    open.query(
        "writing",
        "UPDATE public.t SET v = 'sub' WHERE id = 20; INSERT INTO public.t VALUES (-2, 'sub')",
    )
    .await
    .unwrap();
    cluster.execute("UPDATE t SET v = 'seen and above the oldest open one' WHERE id = 30").unwrap();
    let copy = Interrupted::of(cluster, 8, SlotUse::Existing).await;
    open.query("writing", "COMMIT").await.unwrap();

    let changes = |round: u32| {
        format!(
            "UPDATE t SET v = 'round {round}' WHERE id % 97 = {round}; DELETE FROM t WHERE id % 89 = {round}; \
             UPDATE t SET id = id + 100000 WHERE id % 83 = {round} AND id < 100000; \
             INSERT INTO t SELECT {round} * 10000 + i, lpad('new', 500, 'y') FROM generate_series(10001, 10100) i; \
             BEGIN; UPDATE t SET id = -1000 WHERE id = 50; UPDATE t SET id = 50 WHERE id = 51; \
             UPDATE t SET id = 51 WHERE id = -1000; COMMIT; BEGIN; DELETE FROM t WHERE id < 60; ROLLBACK;"
        )
    };
    for round in 1..4u32 {
        copy.cluster.execute(&changes(round)).unwrap();
        // Room in finished chunks' pages is used again.
        copy.cluster.execute("VACUUM t").unwrap();
        copy.cluster
            .execute(&format!(
                "INSERT INTO t SELECT 500000 + {round} * 1000 + i, 'into old pages' FROM generate_series(1, 100) i"
            ))
            .unwrap();
        let before = copy.base.table("t");
        let finished = before.chunks.len() + before.earlier.len();
        assert!(finished >= 8, "finished chunks were lost in round {round}: {finished}");
        let status = copy.resume((round < 3).then_some(5)).await;
        if round == 3 {
            assert_eq!(status.chunks_kept() as usize, finished, "finished chunks were copied again");
        }
    }
    let table = copy.expect_equal("t");
    assert!(table.earlier.is_empty());
    assert!(table.chunks_planned > 21, "the table has grown by chunks: {}", table.chunks_planned);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subtransaction_that_was_open_is_not_taken_for_one_that_had_ended() {
    let cluster = PgCluster::start_default().unwrap();
    cluster.execute(&format!("{KEYED} SELECT pg_create_logical_replication_slot('s', 'pgoutput')")).unwrap();
    cluster.execute("DELETE FROM t WHERE id < 4").unwrap();
    // So that a new version finds room beside the old one: as many rows are there as before.
    cluster.execute("VACUUM t").unwrap();
    let mut open = Wire::connect(&superuser(&cluster)).await.unwrap();
    open.query("writing", "BEGIN; SELECT txid_current(); SAVEPOINT s").await.unwrap();
    open.query("writing", "UPDATE public.t SET v = 'sub' WHERE id = 7").await.unwrap();
    // Ids above those of the open one are taken and have ended.
    cluster.execute("UPDATE t SET v = v WHERE id = 2000").unwrap();
    let page = cluster.execute("SELECT ctid FROM t WHERE id = 7").unwrap();
    let copy = Interrupted::of(cluster, 8, SlotUse::Existing).await;
    open.query("writing", "COMMIT").await.unwrap();
    let page_now = copy.cluster.execute("SELECT ctid FROM t WHERE id = 7").unwrap();
    assert!(page_now != page && page_now.starts_with("(0,") && page.starts_with("(0,"), "{page} {page_now}");
    copy.resume(None).await;
    copy.expect_equal("t");
}

#[tokio::test(flavor = "multi_thread")]
async fn untouched_rows_stay_and_changes_cost_what_changed() {
    let copy = Interrupted::after(KEYED, 8, create("s")).await;
    // In the first chunk alone; the new version finds no room there.
    copy.cluster.execute("UPDATE t SET v = v WHERE id = 7").unwrap();
    let status = copy.resume(None).await;
    copy.expect_equal("t");
    assert_eq!((copy.base.kept(), status.chunks_kept()), (7, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_only_chunks_that_changed_are_copied_again() {
    let sql =
        KEYED.replace("PRIMARY KEY", "").replace("INSERT", "ALTER TABLE t REPLICA IDENTITY FULL; INSERT");
    let copy = Interrupted::after(&sql, 8, create("s")).await;
    copy.cluster
        .execute("UPDATE t SET v = 'changed' WHERE id = 7; INSERT INTO t SELECT * FROM t WHERE id = 8")
        .unwrap();
    let status = copy.resume(None).await;
    copy.expect_equal("t");
    assert_eq!((copy.base.kept(), status.chunks_kept()), (7, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_form_or_storage_changed_starts_again() {
    for change in [
        "TRUNCATE t; INSERT INTO t VALUES (1, 'a', 'x')",
        "VACUUM FULL t",
        "ALTER TABLE t ADD COLUMN more int DEFAULT 7",
        "ALTER TABLE t DROP COLUMN e",
        "ALTER TABLE t ALTER v TYPE varchar(500)",
        "ALTER TYPE mood RENAME VALUE 'a' TO 'b'",
        "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t REPLICA IDENTITY FULL",
    ] {
        let sql = "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, e mood, v text); \
            ALTER TABLE t ALTER v SET STORAGE PLAIN; \
            INSERT INTO t SELECT i, 'a', lpad(i::text, 500, 'x') FROM generate_series(1, 600) i";
        let copy = Interrupted::after(sql, 3, create("s")).await;
        copy.cluster.execute(change).unwrap();
        let status = copy.resume(None).await;
        copy.expect_equal("t");
        assert_eq!((copy.base.kept(), status.chunks_kept()), (0, 0), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_and_toasted_keys_go_on_and_new_partitions_come_along() {
    let sql = "CREATE TABLE p (region text, id int, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region); \
        CREATE TABLE p_n PARTITION OF p FOR VALUES IN ('n'); CREATE TABLE p_s PARTITION OF p FOR VALUES IN ('s'); \
        ALTER TABLE p_n ALTER v SET STORAGE PLAIN; ALTER TABLE p_s ALTER v SET STORAGE PLAIN; \
        INSERT INTO p SELECT r, i, repeat(r, 500) FROM generate_series(1, 600) i, unnest(ARRAY['n', 's']) r";
    let copy = Interrupted::after(sql, 6, create("s")).await;
    copy.cluster
        .execute(
            "UPDATE p SET region = 's', id = id + 1000 WHERE region = 'n' AND id BETWEEN 10 AND 20; \
             DELETE FROM p WHERE region = 'n' AND id = 30; \
             CREATE TABLE p_w PARTITION OF p FOR VALUES IN ('w'); INSERT INTO p VALUES ('w', 1, NULL)",
        )
        .unwrap();
    let status = copy.resume(None).await;
    copy.expect_equal("p");
    assert_eq!(status.chunks_kept(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_chunk_that_lacks_rows_is_copied_again() {
    let copy = Interrupted::after(KEYED, 8, create("s")).await;
    // Fewer rows than the server says it had: not what was copied.
    copy.base.forget_a_row("t", 0);
    copy.cluster.execute("UPDATE t SET v = 'changed' WHERE id = 7").unwrap();
    let status = copy.resume(None).await;
    copy.expect_equal("t");
    assert_eq!(status.chunks_kept(), 7);
}
