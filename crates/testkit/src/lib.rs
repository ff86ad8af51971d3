//! Real servers and faults for tests, demos and benches.
