//! Warehouses behind the `Warehouse` port: DuckDB.
