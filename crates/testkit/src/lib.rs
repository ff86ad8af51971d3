//! Real servers and faults for tests, demos and benches.
//!
//! - [`PgCluster`]: a throwaway PostgreSQL cluster with everything replication needs, gone when its owner is.
//! - [`TcpProxy`]: a network that is cut, stalls, drips or goes half-open.
//! - [`Process`]: a program under test, watched line by line, killed or frozen at will.
//! - [`workload`]: a seeded random workload, and [`Oracle`], which knows what every table held at every commit of it.
//! - [`types`]: every PostgreSQL type that is promised, with values that software gets wrong.
//!
//! Nothing here is shipped: other rooms see this one as a dev-dependency only. It keeps its own dependencies near zero, so
//! that a test binary builds as fast as the room it tests.

mod account;
mod binaries;
mod cluster;
mod error;
mod oracle;
mod process;
mod proxy;
mod scratch;
mod spawn;
mod tls;
pub mod types;
pub mod workload;

pub use cluster::{PgCluster, PgClusterBuilder, StopMode};
pub use error::{Error, Result};
pub use oracle::{compare, Column, Commit, Json, Oracle, Replay, TableContent};
pub use process::{ended_by, wait_until, Process};
pub use proxy::{TcpProxy, Weather};
pub use tls::{self_signed_certificate, signed_certificate, ClientCertificate};
