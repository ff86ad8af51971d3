//! The replication stream and COPY binary of PostgreSQL, decoded and encoded; values included. Pure.
