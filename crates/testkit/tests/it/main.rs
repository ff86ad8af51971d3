//! The test kit against real processes: what other rooms' tests rely on must hold.

mod cluster;
