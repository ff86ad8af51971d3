//! Single values: PostgreSQL's text and binary forms parsed into what Arrow holds, and printed back.
//!
//! Every parser is exact or an error: nothing is rounded, clamped or guessed. Parsers and printers of one type stand together,
//! since one is tested by the other. All are hand-written over bytes: a value must not cost an allocation, and at hundreds of
//! thousands of rows a second not a format string either.

pub(crate) mod array;
pub(crate) mod bytes;
pub(crate) mod datetime;
pub(crate) mod float;
pub(crate) mod interval;
pub(crate) mod number;
pub(crate) mod send;
pub mod single;

use std::fmt;

use millstream_core::{Action, ColumnType, Diagnostic};

/// Bytes of a value that an error repeats: enough to recognise it, not enough to fill a log.
const EXCERPT_BYTES_MAX: usize = 80;

/// Why a value did not become one of the column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// A good value of the source's type that the column's type can't hold. A wider column can.
    Unrepresentable {
        /// The value, cut if it is long.
        value: Excerpt,
        /// What it should have become.
        to: ColumnType,
        /// What is in the way.
        why: &'static str,
    },
    /// Not a value of the source's type.
    Malformed {
        /// The bytes, cut if there are many.
        value: Excerpt,
        /// What it should have become.
        to: ColumnType,
        /// What is wrong.
        why: &'static str,
    },
    /// A value larger than the reader was told to take.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// A value that an update left unchanged and the source did not send: it must be taken from the row's previous version.
    Unchanged,
    /// Arrow's strings and lists have 31-bit offsets: the column's batch is full.
    BatchFull,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::Unrepresentable { value, to, why } => {
                write!(f, "{value} can't be represented as {to}: {why}")
            }
            ValueError::Malformed { value, to, why } => write!(f, "{value} can't be read as {to}: {why}"),
            ValueError::TooLarge { bytes, max } => write!(f, "a value of {bytes} bytes, value_max is {max}"),
            ValueError::Unchanged => f.write_str("the source did not send the unchanged value"),
            ValueError::BatchFull => f.write_str("a batch holds at most 2 GiB of one column"),
        }
    }
}

impl std::error::Error for ValueError {}

impl ValueError {
    /// Whether a wider column would hold the value.
    pub fn is_unrepresentable(&self) -> bool {
        matches!(self, ValueError::Unrepresentable { .. })
    }
}

impl Diagnostic for ValueError {
    fn code(&self) -> &'static str {
        match self {
            ValueError::Unrepresentable { .. } => "MS2810",
            ValueError::Malformed { .. } => "MS2811",
            ValueError::Unchanged => "MS2812",
            ValueError::BatchFull => "MS2813",
            ValueError::TooLarge { .. } => "MS2814",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ValueError::Unrepresentable { .. } => Some(
                "choose a wider type for the column under `tables: … columns: {type: …}`, such as text"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    fn action(&self) -> Action {
        match self {
            ValueError::Unrepresentable { .. }
            | ValueError::Malformed { .. }
            | ValueError::TooLarge { .. } => Action::Quarantine,
            ValueError::Unchanged | ValueError::BatchFull => Action::Stop,
        }
    }
}

/// The beginning of a value, as an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Of PostgreSQL's text form.
    pub(crate) fn text(value: &[u8]) -> Self {
        let cut = &value[..value.len().min(EXCERPT_BYTES_MAX)];
        let mut text = String::with_capacity(cut.len() + 16);
        text.push('`');
        text.push_str(&String::from_utf8_lossy(cut));
        text.push('`');
        if cut.len() < value.len() {
            text.push_str(&format!("… ({} bytes)", value.len()));
        }
        Excerpt(text.into())
    }

    /// Of PostgreSQL's binary form.
    pub(crate) fn binary(value: &[u8]) -> Self {
        let cut = &value[..value.len().min(EXCERPT_BYTES_MAX / 2)];
        let mut text = String::from("0x");
        for byte in cut {
            text.push_str(&format!("{byte:02x}"));
        }
        if cut.len() < value.len() {
            text.push_str(&format!("… ({} bytes)", value.len()));
        }
        Excerpt(text.into())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a parser says is wrong; becomes a [`ValueError`] where value and column type are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Unrepresentable(&'static str),
    Malformed(&'static str),
    BatchFull,
}

impl Fault {
    #[cold]
    pub(crate) fn explain(self, value: Excerpt, to: ColumnType) -> ValueError {
        match self {
            Fault::Unrepresentable(why) => ValueError::Unrepresentable { value, to, why },
            Fault::Malformed(why) => ValueError::Malformed { value, to, why },
            Fault::BatchFull => ValueError::BatchFull,
        }
    }
}

pub(crate) const NOT_UTF8: Fault = Fault::Malformed("not UTF-8");
pub(crate) const NO_BINARY: Fault =
    Fault::Malformed("there is no reading this type's binary form so; copy it as text");

pub(crate) type Parsed<T> = Result<T, Fault>;
