//! The source: replication connection, snapshots, slots, publications, preflight.
