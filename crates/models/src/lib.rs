//! The dbt project format: parsed, rendered, selected, materialised, tested.
//!
//! - [`project`]: what `dbt_project.yml`, `profiles.yml` and the packages say.
//! - [`jinja`]: templates; [`context`]: what names mean in them.
//! - [`parse`]: nodes and the graph between them. [`select`]: which of them are meant.
//!
//! Everything is told in dbt's words and does what dbt does; where it doesn't, the reference says so. The crate knows no warehouse: what it needs of one is a
//! port of `core`.

pub mod artifacts;
pub mod columns;
pub mod context;
mod csv;
pub mod decimal;
pub mod engine;
pub mod error;
pub mod hash;
pub mod jinja;
pub mod parse;
pub mod place;
pub mod project;
pub mod report;
pub mod select;
pub mod warning;
pub mod yaml;

pub use error::{ModelsError, Problem, ProblemKind, Result};
