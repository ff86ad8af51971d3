//! What every warehouse must do, whatever stands behind the port.

mod exact;
pub(crate) mod fixture;
mod history;
mod progress;
mod shape;
mod whole_rows;

use millstream_core::warehouse::Warehouse;

/// Runs the whole suite; every call of `make` must give a new, empty warehouse.
pub(crate) fn run(make: impl Fn() -> Box<dyn Warehouse>) {
    progress::run(&make);
    history::run(&make);
    whole_rows::run(&make);
    shape::run(&make);
    exact::run(&make);
}
