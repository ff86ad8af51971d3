//! How large a run is.

/// Sizes of all workloads. Ratios are taken from [`Scale::FULL`]; smaller runs show whether something has changed by a lot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) name: &'static str,
    /// Rows of the snapshot.
    pub(crate) snapshot_rows: u64,
    /// Rows inserted one by one.
    pub(crate) insert_rows: u64,
    /// pgbench's scale: 100,000 accounts each.
    pub(crate) tpcb_scale: u64,
    /// Transactions of pgbench, of four changes each.
    pub(crate) tpcb_transactions: u64,
    /// Rows of the one large transaction.
    pub(crate) large_rows: u64,
    /// Sizes of the table that is changed.
    pub(crate) growth_rows: &'static [u64],
    /// Changes of each kind to it.
    pub(crate) growth_changes: u64,
    /// Rows of the table behind the latency.
    pub(crate) latency_rows: u64,
    /// How long latency is watched.
    pub(crate) latency_seconds: u64,
    /// Orders behind the endpoints; thirteen items each.
    pub(crate) serve_orders: u64,
    /// How long the endpoints are asked, at most and paced.
    pub(crate) serve_seconds: u64,
    /// How long messages are watched.
    pub(crate) live_seconds: u64,
    /// Clients who listen and hear nothing.
    pub(crate) idle_listeners: usize,
    /// Numbers of table models in projects that are built.
    pub(crate) models: &'static [u64],
    /// And of models in projects that are read.
    pub(crate) models_parsed: &'static [u64],
    /// Disk space that the largest workload needs, cluster, log and warehouse together.
    pub(crate) disk_bytes: u64,
}

impl Scale {
    /// The sizes that the targets speak of; about 40 minutes on two cores.
    const FULL: Self = Self {
        name: "full",
        snapshot_rows: 5_000_000,
        insert_rows: 2_000_000,
        tpcb_scale: 20,
        tpcb_transactions: 200_000,
        large_rows: 2_000_000,
        growth_rows: &[1_000_000, 10_000_000, 50_000_000],
        growth_changes: 200_000,
        latency_rows: 10_000_000,
        latency_seconds: 600,
        serve_orders: 1_000_000,
        serve_seconds: 30,
        live_seconds: 30,
        idle_listeners: 10_000,
        models: &[200, 1_000],
        models_parsed: &[1_000, 10_000],
        disk_bytes: 40 << 30,
    };

    /// About six minutes.
    const QUICK: Self = Self {
        name: "quick",
        snapshot_rows: 2_000_000,
        insert_rows: 500_000,
        tpcb_scale: 5,
        tpcb_transactions: 50_000,
        large_rows: 500_000,
        growth_rows: &[1_000_000, 5_000_000],
        growth_changes: 50_000,
        latency_rows: 2_000_000,
        latency_seconds: 30,
        serve_orders: 200_000,
        serve_seconds: 10,
        live_seconds: 10,
        idle_listeners: 10_000,
        models: &[200],
        models_parsed: &[1_000, 10_000],
        disk_bytes: 10 << 30,
    };

    /// For work on the bench itself: does everything, measures nothing.
    const SMOKE: Self = Self {
        name: "smoke",
        snapshot_rows: 50_000,
        insert_rows: 20_000,
        tpcb_scale: 1,
        tpcb_transactions: 2_000,
        large_rows: 20_000,
        growth_rows: &[100_000],
        growth_changes: 2_000,
        latency_rows: 100_000,
        latency_seconds: 3,
        serve_orders: 10_000,
        serve_seconds: 2,
        live_seconds: 2,
        idle_listeners: 500,
        models: &[20],
        models_parsed: &[100],
        disk_bytes: 2 << 30,
    };

    /// All, by name.
    pub(crate) const ALL: [Self; 3] = [Self::FULL, Self::QUICK, Self::SMOKE];

    /// The one of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scale| scale.name == name)
    }
}
