//! Scenarios against real servers of the test kit, each with a cluster of its own.

mod capture;
mod connection;
mod memory_log;

use millstream_source::Connection;
use millstream_testkit::PgCluster;

/// The superuser's connection to a cluster.
pub(crate) fn superuser(cluster: &PgCluster) -> Connection {
    cluster.url().parse().expect("the test kit's URLs are well formed")
}
