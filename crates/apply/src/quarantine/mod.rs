//! Quarantine: changes that can't be applied, set aside whole, so that the others go on.
//!
//! # What is set aside
//!
//! A change of one row with a value that its column can't hold (under `on_unrepresentable: quarantine`), or with one larger than `value_max`
//! (always). From then on the row's key is *held*: every later change of it follows into quarantine, whatever it holds, because what it changes
//! is not there. A change that moves a row to another key holds both. So the warehouse shows a held row as it was before its first change in
//! quarantine, and everything behind that stands in quarantine, in order ([`hold`]).
//!
//! # Where it is kept
//!
//! In the warehouse, in the transaction that goes past it: progress, rows and quarantine can't disagree, and a batch that is applied again after
//! a crash sets the same aside again. Large values are files beside it ([`files`]), durable before that transaction commits and
//! named after what they belong to, so that they are written again to the same place.
//!
//! # How it ends
//!
//! - *Replay* takes a table's changes out and applies them at the moments they had, as if they had never been set aside; what still does not fit stays.
//!   No version of a held row was written meanwhile, so nothing that was given out is overtaken.
//! - What makes the table right without them, a TRUNCATE or a copy read again, *supersedes* them: they hold nothing any more, and are kept
//!   to be looked at until they are dropped.

pub mod content;
pub mod files;
pub mod hold;

pub use content::{Content, Kind, Superseded};
pub use files::ValueFiles;
pub use hold::{Holds, Reason};
