//! What goes wrong in a template, and where.

use std::sync::Arc;

use super::{ast::Spot, value::Value};

/// A template that can't be parsed or rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JinjaError {
    /// What happened, lowercase.
    pub message: String,
    /// Where, in `file`.
    pub spot: Option<Spot>,
    /// The file, once known.
    pub file: Option<Arc<str>>,
    /// The macros that led there, innermost first, each with its file.
    pub called_by: Vec<(Arc<str>, Arc<str>)>,
    /// Whether a macro of the project raised it on purpose.
    pub raised: bool,
    /// Whether it is not supported, rather than wrong.
    pub unsupported: bool,
}

impl JinjaError {
    /// An error without a place; the evaluator adds it.
    pub fn new(message: impl Into<String>) -> Self {
        JinjaError {
            message: message.into(),
            spot: None,
            file: None,
            called_by: Vec::new(),
            raised: false,
            unsupported: false,
        }
    }

    pub(crate) fn syntax(message: impl Into<String>, spot: Spot) -> Self {
        JinjaError { spot: Some(spot), ..JinjaError::new(message) }
    }

    /// Says in which file, unless that is known.
    #[must_use]
    pub fn in_file(mut self, file: &Arc<str>) -> Self {
        self.file.get_or_insert_with(|| file.clone());
        self
    }
}

/// Why an evaluation ended before its end.
#[derive(Debug)]
pub enum Interrupt {
    /// It failed. Boxed, for it is rare and large.
    Error(Box<JinjaError>),
    /// `return(value)`: the macro around it ends with this value.
    Return(Value),
}

impl From<JinjaError> for Interrupt {
    fn from(error: JinjaError) -> Self {
        Interrupt::Error(Box::new(error))
    }
}

/// The outcome of an evaluation.
pub type Eval<T> = Result<T, Interrupt>;

/// Fails with a message.
pub fn fail<T>(message: impl Into<String>) -> Eval<T> {
    Err(JinjaError::new(message).into())
}
