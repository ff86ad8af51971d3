//! From a question to the bytes of its answer: read at one position, printed in one format, kept while it stays true.

mod columnar;
mod follow;
pub mod format;
mod keep;
mod place;
mod read;
mod ready;

pub use format::Format;
pub use keep::{gzip, Answer, Answers, Counts, FRESH_FOR};
pub use read::{Asked, Interrupt, Page, Prefix, Read, Reading, Room, READ_SECONDS_MAX, ROWS_MAX};
