//! What people and programs reach a running project by. Holds no state of its own: it asks the [`host::Host`].

pub mod host;
