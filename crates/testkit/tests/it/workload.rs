//! The workload does what it promises, and the record of it is right: the oracle is checked against the source itself before
//! anything is checked against the oracle.

use std::time::Duration;

use millstream_testkit::workload::{self, Workload, WorkloadOptions};
use millstream_testkit::{compare, Oracle, PgCluster};

/// Transactions of each writer: a few seconds of work.
const TRANSACTIONS: u64 = 70;

#[test]
fn the_record_in_commit_order_leads_to_what_the_source_holds() {
    let cluster = PgCluster::builder().setting("logical_decoding_work_mem", "64kB").start().unwrap();
    workload::install(&cluster).unwrap();
    let options = WorkloadOptions {
        seed: 4711,
        writers: 8,
        transactions_max: TRANSACTIONS,
        pause_max: Duration::from_millis(2),
        column_changes: true,
    };
    let running = Workload::start(&cluster, &options).unwrap();
    while running.transactions() < options.writers * TRANSACTIONS {
        std::thread::sleep(Duration::from_millis(50));
    }
    let refusals = running.stop().unwrap();
    let oracle = Oracle::read(&cluster).unwrap();
    let last = oracle.last().unwrap();
    assert_eq!(last.len(), 12, "{:?}", last.keys());
    for (name, table) in &last {
        let rows = format!("SELECT coalesce(jsonb_agg(audit.content('{name}', t)), '[]') FROM {name} t");
        let rows = cluster.execute(&rows).unwrap();
        compare(table, &table.columns, &rows).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let torn = "SELECT count(*) FROM (SELECT account, sum(amount) FROM (SELECT id AS account, balance AS amount FROM shop.accounts
                UNION ALL SELECT account, -amount FROM shop.ledger) both_sides GROUP BY account HAVING sum(amount) <> 0) t";
    assert_eq!(cluster.execute(torn).unwrap(), "0");
    // It is a workload only if most of it goes through and all of it is there.
    let refused: u64 = refusals.values().sum();
    assert!(
        oracle.commits().len() as u64 > options.writers * TRANSACTIONS / 3,
        "{} commits, {refusals:?}",
        oracle.commits().len()
    );
    let columns =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'shop.evolving'::regclass AND attnum > 5";
    assert_ne!(cluster.execute(columns).unwrap(), "0", "no column was ever added");
    println!("{} commits, {refused} statements refused: {refusals:?}", oracle.commits().len());
}
