//! Real servers and faults for tests, demos and benches.
//!
//! - [`PgCluster`]: a throwaway PostgreSQL cluster with everything replication needs, gone when its owner is.
//!
//! Nothing here is shipped: other rooms see this one as a dev-dependency only. It keeps its own dependencies near zero, so
//! that a test binary builds as fast as the room it tests.

mod account;
mod binaries;
mod cluster;
mod error;
mod scratch;
mod spawn;
mod tls;

pub use cluster::{PgCluster, PgClusterBuilder, StopMode};
pub use error::{Error, Result};
pub use tls::ClientCertificate;
