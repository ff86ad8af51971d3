//! Jinja as dbt projects use it: Jinja2's syntax, Python's values, dbt's `return`.
//!
//! The syntax is parsed by minijinja and evaluated here; docs/decisions/0030 says why. Nothing in here knows dbt but for `return`, which ends a macro with a value,
//! and the filters `as_text`, `as_native`, `as_bool` and `as_number`.

pub mod ast;
mod error;
mod eval;
mod filters;
mod functions;
mod methods;
mod ops;
mod predicates;
mod python;
mod syntax;
pub(crate) mod tags;
mod value;
pub mod walk;

pub use ast::{Macro, Spot, Stmt, Template};
pub use error::{fail, Eval, Interrupt, JinjaError};
pub use eval::{Host, Interpreter};
pub use syntax::template;
pub use value::{Args, Dict, Object, Value};

/// `repr(value)`, as Python prints it.
pub fn repr(value: &Value) -> String {
    python::repr(value)
}
