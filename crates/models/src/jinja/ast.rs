//! A template as the evaluator walks it: owned, shared between threads, every expression with its place.

use std::sync::Arc;

/// Where something stands in a template's file. Lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spot {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    /// The file it was read from, as a person would name it.
    pub file: Arc<str>,
    /// What it consists of.
    pub body: Vec<Stmt>,
}

/// A macro: `{% macro name(a, b=1) %}`.
#[derive(Debug)]
pub struct Macro {
    /// Its name as written.
    pub name: Arc<str>,
    /// Its parameters, those with defaults last.
    pub parameters: Vec<(Arc<str>, Option<Expr>)>,
    /// What it renders.
    pub body: Vec<Stmt>,
    /// The file it was read from.
    pub file: Arc<str>,
    /// Where it begins.
    pub spot: Spot,
    /// Whether the body names `varargs`; arguments beyond the parameters are an error otherwise.
    pub takes_varargs: bool,
    /// Whether the body names `kwargs`.
    pub takes_kwargs: bool,
}

/// A statement.
#[derive(Debug)]
pub enum Stmt {
    /// Text as written.
    Text(Arc<str>),
    /// `{{ … }}`.
    Emit(Expr),
    /// `{% for target in iter if filter %}`.
    For(Arc<For>),
    /// `{% if %}`.
    If {
        /// The condition.
        test: Expr,
        /// Where it holds.
        then: Vec<Stmt>,
        /// Where it doesn't.
        otherwise: Vec<Stmt>,
    },
    /// `{% set target = value %}`.
    Set {
        /// What is assigned to.
        target: Target,
        /// The value.
        value: Expr,
    },
    /// `{% set target %}…{% endset %}`, with filters, outermost last.
    SetBlock {
        /// What is assigned to.
        target: Target,
        /// The filters, outermost last.
        filters: Option<Expr>,
        /// What is rendered.
        body: Vec<Stmt>,
    },
    /// `{% with a = 1 %}`.
    With {
        /// Names and values.
        assignments: Vec<(Target, Expr)>,
        /// What is rendered.
        body: Vec<Stmt>,
    },
    /// `{% filter upper %}`.
    Filter {
        /// The filters, outermost last.
        filters: Expr,
        /// What is rendered.
        body: Vec<Stmt>,
    },
    /// `{% macro %}`.
    Macro(Arc<Macro>),
    /// `{% call(a) f() %}`.
    Call {
        /// The call.
        call: Expr,
        /// What is rendered.
        body: Arc<Macro>,
    },
    /// `{% do … %}`.
    Do(Expr),
    /// `{% break %}`.
    Break,
    /// `{% continue %}`.
    Continue,
}

/// A loop.
#[derive(Debug)]
pub struct For {
    /// What each item is assigned to.
    pub target: Target,
    /// What is gone through.
    pub iter: Expr,
    /// Items for which it is false are left out.
    pub filter: Option<Expr>,
    /// Whether `loop(…)` may be called.
    pub recursive: bool,
    /// Rendered for each item.
    pub body: Vec<Stmt>,
    /// Rendered where there was none.
    pub otherwise: Vec<Stmt>,
}

/// What can be assigned to.
#[derive(Debug)]
pub enum Target {
    /// A name.
    Name(Arc<str>),
    /// An attribute of a namespace.
    Attribute(Expr, Arc<str>),
    /// Several, from an iterable.
    Tuple(Vec<Target>),
}

/// An expression and where it stands.
#[derive(Debug)]
pub struct Expr {
    /// Where.
    pub spot: Spot,
    /// What.
    pub kind: ExprKind,
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Const {
    /// `none`.
    None,
    /// `true`, `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Str(Arc<str>),
}

/// Kinds of expressions.
#[derive(Debug)]
pub enum ExprKind {
    /// A constant.
    Const(Const),
    /// A name.
    Name(Arc<str>),
    /// `a.b`.
    Attribute(Box<Expr>, Arc<str>),
    /// `a[b]`.
    Item(Box<Expr>, Box<Expr>),
    /// `a[1:2:3]`.
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    /// `f(a, *b, c=d, **e)`.
    Call(Box<Expr>, Vec<Argument>),
    /// `a | f(b)`; without a first operand in the filters of a block.
    Filter(Option<Box<Expr>>, Arc<str>, Vec<Argument>),
    /// `a is f(b)`.
    Test(Box<Expr>, Arc<str>, Vec<Argument>),
    /// `not a`.
    Not(Box<Expr>),
    /// `-a`.
    Negative(Box<Expr>),
    /// `a and b`.
    And(Box<Expr>, Box<Expr>),
    /// `a or b`.
    Or(Box<Expr>, Box<Expr>),
    /// An operator on two operands.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `a < b <= c`.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `a if b else c`.
    If(Box<Expr>, Box<Expr>, Option<Box<Expr>>),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `(a, b)`.
    Tuple(Vec<Expr>),
    /// `{a: b}`.
    Dict(Vec<(Expr, Expr)>),
}

/// An argument of a call.
#[derive(Debug)]
pub enum Argument {
    /// `a`.
    Positional(Expr),
    /// `a=b`.
    Named(Arc<str>, Expr),
    /// `*a`.
    Positionals(Expr),
    /// `**a`.
    Nameds(Expr),
}

/// Operators that always evaluate both operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
    /// `**`
    Power,
    /// `~`
    Concat,
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `in`
    In,
    /// `not in`
    NotIn,
}
