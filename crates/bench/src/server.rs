//! The source: a PostgreSQL cluster of the bench's own, with the settings that a small server would have.

use std::path::PathBuf;
use std::process::Command;

use millstream_testkit::PgCluster;

use crate::error::{Error, Result};

/// The publication that all consumers of a workload share, so that all are sent the same.
pub(crate) const PUBLICATION: &str = "bench";

/// Models of the finance example.
const FINANCE_VIEWS: [&str; 4] = [
    "open_orders_by_delivery_date_status",
    "open_pending_items_by_product",
    "top_customers_with_pending_orders",
    "top_delivery_dates_open_orders",
];

/// A running server.
pub(crate) struct Server {
    cluster: PgCluster,
}

impl Server {
    /// Starts one. It is stopped and removed when dropped.
    pub(crate) fn start() -> Result<Self> {
        let cluster = PgCluster::builder()
            .fsync(true)
            .setting("shared_buffers", "512MB")
            .setting("max_wal_size", "8GB")
            .setting("checkpoint_timeout", "15min")
            .setting("maintenance_work_mem", "1GB")
            .setting("max_replication_slots", 40)
            .setting("max_wal_senders", 40)
            // A vacuum that happens to run beside one consumer and not beside another would be counted against the one.
            .setting("autovacuum", "off")
            .start()?;
        Ok(Self { cluster })
    }

    /// Runs SQL and returns what psql prints.
    pub(crate) fn execute(&self, sql: &str) -> Result<String> {
        Ok(self.cluster.execute(sql)?)
    }

    /// Runs SQL whose commits don't wait for the disk: filling is not what is measured.
    pub(crate) fn fill(&self, sql: &str) -> Result<()> {
        self.execute(&format!("SET synchronous_commit = off;\n{sql}")).map(drop)
    }

    /// The finance example's database: so many orders, and the four views over the source's own tables.
    pub(crate) fn fill_finance(&self, orders: u64) -> Result<()> {
        let read = |path: &str| std::fs::read_to_string(path).map_err(Error::during(path.to_owned()));
        self.fill(&read("examples/finance/sql/schema.sql")?)?;
        self.fill(&read("examples/finance/sql/generator.sql")?)?;
        self.fill(&format!("CALL generator.fill(orders => {orders}, today => date '2026-01-31')"))?;
        for view in FINANCE_VIEWS {
            let select =
                read(&format!("examples/finance/models/{view}.sql"))?.replace("analytics.", "operations.");
            self.execute(&format!("CREATE VIEW operations.{view} AS {select}"))?;
        }
        // Whoever plans a query knows the tables.
        self.execute("VACUUM ANALYZE")?;
        self.settle().map(drop)
    }

    /// One value as a number.
    pub(crate) fn number(&self, sql: &str) -> Result<u64> {
        let text = self.execute(sql)?;
        text.trim().parse().map_err(Error::during(format!("`{sql}` gave `{text}`")))
    }

    /// Makes a publication of tables.
    pub(crate) fn publish(&self, tables: &[&str]) -> Result<()> {
        self.execute(&format!("CREATE PUBLICATION {PUBLICATION} FOR TABLE {}", tables.join(", "))).map(drop)
    }

    /// Makes a slot that holds everything from here on.
    pub(crate) fn create_slot(&self, slot: &str) -> Result<()> {
        self.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).map(drop)
    }

    /// Writes everything out, so that no checkpoint falls into a measurement, and returns where the WAL ends.
    pub(crate) fn settle(&self) -> Result<String> {
        self.execute("CHECKPOINT; SELECT pg_current_wal_flush_lsn()")
    }

    /// URL of the database, over TCP: the way that every consumer takes.
    pub(crate) fn url(&self) -> String {
        self.cluster.url()
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.cluster.port()
    }

    /// One of the server's programs.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.program_path(name));
        command.env("PGCLIENTENCODING", "UTF8").env_remove("PGOPTIONS").env_remove("PGSERVICE");
        command
    }

    /// Where a program lies.
    pub(crate) fn program_path(&self, name: &str) -> PathBuf {
        self.cluster.bin_dir().join(name)
    }
}
