//! Scenarios against real servers of the test kit, each with a cluster of its own.

// Helpers fail by panicking as tests do; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod capture;
mod connection;
mod memory_base;
mod memory_log;
mod preflight;
mod provision;
mod resume;
mod snapshot;
mod watcher;

use millstream_source::Connection;
use millstream_testkit::PgCluster;

/// The superuser's connection to a cluster.
pub(crate) fn superuser(cluster: &PgCluster) -> Connection {
    cluster.url().parse().expect("the test kit's URLs are well formed")
}
