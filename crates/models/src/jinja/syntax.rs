//! From text to a template. Lexer and parser are minijinja's; what comes out of them is made a tree of our own.
//!
//! minijinja's grammar is Jinja2's but for a few places, which are rewritten in the text before it is parsed: a colon at the end of a statement, `do` with
//! something other than a call, blocks that only dbt knows. A table of shifts leads from the rewritten text back to what was written, so that places stay right.

use std::sync::Arc;

use minijinja::machinery::{ast as mj, parse, Span};
use minijinja::syntax::SyntaxConfig;

use super::{
    ast::{Argument, Comparison, Const, Expr, ExprKind, For, Macro, Operator, Spot, Stmt, Target, Template},
    error::JinjaError,
    tags::{tags, TagKind},
};

/// The name that a `do` assigns to until it is made a statement of its own again.
const DO: &str = "__do__";

/// Statements that Jinja2 lets end in a colon.
const WITH_COLON: &[&str] = &["if", "elif", "else", "for", "macro", "call", "filter", "with"];

/// Text for the parser, and how to get back.
struct Rewritten {
    text: String,
    /// Offsets in the rewritten text from which on the original is so many bytes further.
    shifts: Vec<(usize, isize)>,
}

impl Rewritten {
    fn new(source: &str) -> Result<Self, JinjaError> {
        let mut rewritten = Rewritten { text: String::with_capacity(source.len()), shifts: Vec::new() };
        let mut done = 0;
        for tag in tags(source)? {
            if tag.kind != TagKind::Statement {
                continue;
            }
            let keyword = tag.keyword(source);
            let inner = &source[tag.inner.clone()];
            let keyword_at = tag.inner.start + (inner.len() - inner.trim_start().len());
            if keyword == "do" {
                rewritten.replace(source, &mut done, keyword_at, keyword_at + 2, &format!("set {DO} ="));
            } else if WITH_COLON.contains(&keyword) && inner.trim_end().ends_with(':') {
                let colon = tag.inner.start + inner.trim_end().len() - 1;
                rewritten.replace(source, &mut done, colon, colon + 1, " ");
            }
        }
        rewritten.text.push_str(&source[done..]);
        Ok(rewritten)
    }

    fn replace(&mut self, source: &str, done: &mut usize, from: usize, to: usize, with: &str) {
        self.text.push_str(&source[*done..from]);
        self.text.push_str(with);
        *done = to;
        self.shifts.push((self.text.len(), to as isize - self.text.len() as isize));
    }

    fn original(&self, offset: usize) -> usize {
        let at = self.shifts.partition_point(|(from, _)| *from <= offset);
        let delta = at.checked_sub(1).map_or(0, |at| self.shifts[at].1);
        offset.saturating_add_signed(delta)
    }
}

/// Offsets to places.
struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
    /// Where the source begins in its file.
    origin: Spot,
}

impl<'s> Lines<'s> {
    fn new(source: &'s str, origin: Spot) -> Self {
        let starts = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { source, starts, origin }
    }

    fn spot(&self, offset: usize) -> Spot {
        let offset = offset.min(self.source.len());
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = self.source.get(self.starts[line]..offset).unwrap_or_default();
        let column = before.chars().count() as u32;
        let first = if line == 0 { self.origin.column } else { 1 };
        Spot { line: self.origin.line + line as u32, column: first + column }
    }
}

/// Parses a template.
///
/// `origin` is where `source` begins in `file`. Errors carry file and place.
pub fn template(source: &str, file: &Arc<str>, origin: Spot) -> Result<Template, JinjaError> {
    let lines = Lines::new(source, origin);
    let at_home = |mut error: JinjaError| {
        error.spot = error.spot.map(|spot| shifted(spot, origin));
        error.in_file(file)
    };
    let rewritten = Rewritten::new(source).map_err(at_home)?;
    let lowering = Lowering { file, rewritten: &rewritten, lines: &lines };
    let parsed = parse(&rewritten.text, file, SyntaxConfig::default()).map_err(|error| {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let offset = error.range().map_or(0, |range| range.start);
        JinjaError::syntax(message, lines.spot(rewritten.original(offset))).in_file(file)
    })?;
    let mj::Stmt::Template(parsed) = parsed else {
        unreachable!("the parser's root is a template");
    };
    let body = lowering.stmts(&parsed.children).map_err(|error| error.in_file(file))?;
    Ok(Template { file: file.clone(), body })
}

fn shifted(spot: Spot, origin: Spot) -> Spot {
    let column = if spot.line == 1 { spot.column + origin.column - 1 } else { spot.column };
    Spot { line: spot.line + origin.line - 1, column }
}

struct Lowering<'a> {
    file: &'a Arc<str>,
    rewritten: &'a Rewritten,
    lines: &'a Lines<'a>,
}

impl Lowering<'_> {
    fn spot(&self, span: Span) -> Spot {
        self.lines.spot(self.rewritten.original(span.start_offset as usize))
    }

    fn stmts(&self, stmts: &[mj::Stmt<'_>]) -> Result<Vec<Stmt>, JinjaError> {
        stmts.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    fn stmt(&self, stmt: &mj::Stmt<'_>) -> Result<Stmt, JinjaError> {
        let without = |what: &str, span| {
            Err(JinjaError::syntax(format!("`{what}` has no meaning in a dbt project"), self.spot(span)))
        };
        Ok(match stmt {
            mj::Stmt::EmitRaw(raw) => Stmt::Text(raw.raw.into()),
            mj::Stmt::EmitExpr(emit) => Stmt::Emit(self.expr(&emit.expr)?),
            mj::Stmt::ForLoop(node) => Stmt::For(Arc::new(For {
                target: self.target(&node.target)?,
                iter: self.expr(&node.iter)?,
                filter: node.filter_expr.as_ref().map(|expr| self.expr(expr)).transpose()?,
                recursive: node.recursive,
                body: self.stmts(&node.body)?,
                otherwise: self.stmts(&node.else_body)?,
            })),
            mj::Stmt::IfCond(node) => Stmt::If {
                test: self.expr(&node.expr)?,
                then: self.stmts(&node.true_body)?,
                otherwise: self.stmts(&node.false_body)?,
            },
            mj::Stmt::WithBlock(node) => Stmt::With {
                assignments: node
                    .assignments
                    .iter()
                    .map(|(target, value)| Ok((self.target(target)?, self.expr(value)?)))
                    .collect::<Result<_, JinjaError>>()?,
                body: self.stmts(&node.body)?,
            },
            mj::Stmt::Set(node) => {
                let value = self.expr(&node.expr)?;
                match self.target(&node.target)? {
                    Target::Name(name) if &*name == DO => Stmt::Do(value),
                    target => Stmt::Set { target, value },
                }
            }
            mj::Stmt::SetBlock(node) => Stmt::SetBlock {
                target: self.target(&node.target)?,
                filters: node.filter.as_ref().map(|expr| self.expr(expr)).transpose()?,
                body: self.stmts(&node.body)?,
            },
            mj::Stmt::FilterBlock(node) => {
                Stmt::Filter { filters: self.expr(&node.filter)?, body: self.stmts(&node.body)? }
            }
            mj::Stmt::Macro(node) => Stmt::Macro(Arc::new(self.macro_of(node, node.span())?)),
            mj::Stmt::CallBlock(node) => Stmt::Call {
                call: self.call(&node.call, node.call.span())?,
                body: Arc::new(self.macro_of(&node.macro_decl, node.macro_decl.span())?),
            },
            mj::Stmt::Do(node) => Stmt::Do(self.call(&node.call, node.call.span())?),
            mj::Stmt::Continue(_) => Stmt::Continue,
            mj::Stmt::Break(_) => Stmt::Break,
            mj::Stmt::AutoEscape(node) => return without("autoescape", node.span()),
            mj::Stmt::Block(node) => return without("block", node.span()),
            mj::Stmt::Import(node) => return without("import", node.span()),
            mj::Stmt::FromImport(node) => return without("from", node.span()),
            mj::Stmt::Extends(node) => return without("extends", node.span()),
            mj::Stmt::Include(node) => return without("include", node.span()),
            mj::Stmt::Template(node) => return without("a template within a template", node.span()),
        })
    }

    fn macro_of(&self, node: &mj::Macro<'_>, span: Span) -> Result<Macro, JinjaError> {
        let plain = node.args.len() - node.defaults.len();
        let mut parameters = Vec::with_capacity(node.args.len());
        for (index, argument) in node.args.iter().enumerate() {
            let mj::Expr::Var(name) = argument else {
                return Err(JinjaError::syntax("a parameter is a name", self.spot(argument.span())));
            };
            let default = index.checked_sub(plain).map(|at| self.expr(&node.defaults[at])).transpose()?;
            parameters.push((name.id.into(), default));
        }
        let body = self.stmts(&node.body)?;
        let text = &self.rewritten.text[span.start_offset as usize..span.end_offset as usize];
        Ok(Macro {
            name: node.name.into(),
            parameters,
            // That the words stand anywhere in it is enough: taking what nobody names does no harm.
            takes_varargs: text.contains("varargs"),
            takes_kwargs: text.contains("kwargs"),
            body,
            file: self.file.clone(),
            spot: self.spot(span),
        })
    }

    fn target(&self, expr: &mj::Expr<'_>) -> Result<Target, JinjaError> {
        Ok(match expr {
            mj::Expr::Var(name) => Target::Name(name.id.into()),
            mj::Expr::GetAttr(node) => Target::Attribute(self.expr(&node.expr)?, node.name.into()),
            mj::Expr::List(node) => {
                Target::Tuple(node.items.iter().map(|item| self.target(item)).collect::<Result<_, _>>()?)
            }
            mj::Expr::Tuple(node) => {
                Target::Tuple(node.items.iter().map(|item| self.target(item)).collect::<Result<_, _>>()?)
            }
            _ => return Err(JinjaError::syntax("this can't be assigned to", self.spot(expr.span()))),
        })
    }

    fn arguments(&self, arguments: &[mj::CallArg<'_>]) -> Result<Vec<Argument>, JinjaError> {
        arguments
            .iter()
            .map(|argument| {
                Ok(match argument {
                    mj::CallArg::Pos(expr) => Argument::Positional(self.expr(expr)?),
                    mj::CallArg::Kwarg(name, expr) => Argument::Named((*name).into(), self.expr(expr)?),
                    mj::CallArg::PosSplat(expr) => Argument::Positionals(self.expr(expr)?),
                    mj::CallArg::KwargSplat(expr) => Argument::Nameds(self.expr(expr)?),
                })
            })
            .collect()
    }

    fn call(&self, call: &mj::Call<'_>, span: Span) -> Result<Expr, JinjaError> {
        let kind = ExprKind::Call(Box::new(self.expr(&call.expr)?), self.arguments(&call.args)?);
        Ok(Expr { spot: begin(&kind, self.spot(span)), kind })
    }

    fn boxed(&self, expr: &mj::Expr<'_>) -> Result<Box<Expr>, JinjaError> {
        Ok(Box::new(self.expr(expr)?))
    }

    fn expr(&self, expr: &mj::Expr<'_>) -> Result<Expr, JinjaError> {
        let spot = self.spot(expr.span());
        let optional = |expr: &Option<mj::Expr<'_>>| expr.as_ref().map(|e| self.boxed(e)).transpose();
        let kind = match expr {
            mj::Expr::Var(node) => ExprKind::Name(node.id.into()),
            mj::Expr::Const(node) => ExprKind::Const(constant(&node.value, spot)?),
            mj::Expr::Slice(node) => ExprKind::Slice(
                self.boxed(&node.expr)?,
                [optional(&node.start)?, optional(&node.stop)?, optional(&node.step)?],
            ),
            mj::Expr::UnaryOp(node) => match (&node.op, &node.expr) {
                // `not a in b` and `a not in b` are one node to the parser, and mean the same.
                (mj::UnaryOpKind::Not, operand) => ExprKind::Not(self.boxed(operand)?),
                (mj::UnaryOpKind::Neg, operand) => ExprKind::Negative(self.boxed(operand)?),
            },
            mj::Expr::BinOp(node) => self.binary(node)?,
            mj::Expr::Compare(node) => ExprKind::Compare(
                self.boxed(&node.expr)?,
                node.ops.iter().map(|op| Ok((comparison(op.op), self.expr(&op.expr)?))).collect::<Result<
                    _,
                    JinjaError,
                >>(
                )?,
            ),
            mj::Expr::IfExpr(node) => ExprKind::If(
                self.boxed(&node.test_expr)?,
                self.boxed(&node.true_expr)?,
                optional(&node.false_expr)?,
            ),
            mj::Expr::Filter(node) => {
                ExprKind::Filter(optional(&node.expr)?, node.name.into(), self.arguments(&node.args)?)
            }
            mj::Expr::Test(node) => {
                ExprKind::Test(self.boxed(&node.expr)?, node.name.into(), self.arguments(&node.args)?)
            }
            mj::Expr::GetAttr(node) => ExprKind::Attribute(self.boxed(&node.expr)?, node.name.into()),
            mj::Expr::GetItem(node) => {
                ExprKind::Item(self.boxed(&node.expr)?, self.boxed(&node.subscript_expr)?)
            }
            mj::Expr::Call(node) => return self.call(node, node.span()),
            mj::Expr::List(node) => {
                ExprKind::List(node.items.iter().map(|item| self.expr(item)).collect::<Result<_, _>>()?)
            }
            mj::Expr::Tuple(node) => {
                ExprKind::Tuple(node.items.iter().map(|item| self.expr(item)).collect::<Result<_, _>>()?)
            }
            mj::Expr::Map(node) => ExprKind::Dict(
                node.keys
                    .iter()
                    .zip(&node.values)
                    .map(|(key, value)| Ok((self.expr(key)?, self.expr(value)?)))
                    .collect::<Result<_, JinjaError>>()?,
            ),
        };
        Ok(Expr { spot: begin(&kind, spot), kind })
    }

    fn binary(&self, node: &mj::BinOp<'_>) -> Result<ExprKind, JinjaError> {
        let (left, right) = (self.boxed(&node.left)?, self.boxed(&node.right)?);
        let operator = match node.op {
            mj::BinOpKind::ScAnd => return Ok(ExprKind::And(left, right)),
            mj::BinOpKind::ScOr => return Ok(ExprKind::Or(left, right)),
            mj::BinOpKind::Add => Operator::Add,
            mj::BinOpKind::Sub => Operator::Subtract,
            mj::BinOpKind::Mul => Operator::Multiply,
            mj::BinOpKind::Div => Operator::Divide,
            mj::BinOpKind::FloorDiv => Operator::FloorDivide,
            mj::BinOpKind::Rem => Operator::Modulo,
            mj::BinOpKind::Pow => Operator::Power,
            mj::BinOpKind::Concat => Operator::Concat,
            comparison => {
                let comparison = match comparison {
                    mj::BinOpKind::Eq => Comparison::Equal,
                    mj::BinOpKind::Ne => Comparison::NotEqual,
                    mj::BinOpKind::Lt => Comparison::Less,
                    mj::BinOpKind::Lte => Comparison::LessOrEqual,
                    mj::BinOpKind::Gt => Comparison::Greater,
                    mj::BinOpKind::Gte => Comparison::GreaterOrEqual,
                    _ => Comparison::In,
                };
                return Ok(ExprKind::Compare(left, vec![(comparison, *right)]));
            }
        };
        Ok(ExprKind::Binary(operator, left, right))
    }
}

/// Where an expression begins: the parser gives what stands behind an operand the place of its own sign.
fn begin(kind: &ExprKind, spot: Spot) -> Spot {
    match kind {
        ExprKind::Attribute(first, _)
        | ExprKind::Item(first, _)
        | ExprKind::Slice(first, _)
        | ExprKind::Call(first, _)
        | ExprKind::Filter(Some(first), ..)
        | ExprKind::Test(first, ..)
        | ExprKind::Binary(_, first, _)
        | ExprKind::And(first, _)
        | ExprKind::Or(first, _)
        | ExprKind::Compare(first, _) => first.spot,
        _ => spot,
    }
}

fn comparison(op: mj::CompareOpKind) -> Comparison {
    match op {
        mj::CompareOpKind::Eq => Comparison::Equal,
        mj::CompareOpKind::Ne => Comparison::NotEqual,
        mj::CompareOpKind::Lt => Comparison::Less,
        mj::CompareOpKind::Lte => Comparison::LessOrEqual,
        mj::CompareOpKind::Gt => Comparison::Greater,
        mj::CompareOpKind::Gte => Comparison::GreaterOrEqual,
        mj::CompareOpKind::In => Comparison::In,
        mj::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn constant(value: &minijinja::Value, spot: Spot) -> Result<Const, JinjaError> {
    use minijinja::value::ValueKind;
    Ok(match value.kind() {
        ValueKind::None => Const::None,
        ValueKind::Bool => Const::Bool(value.is_true()),
        ValueKind::String => Const::Str(value.as_str().unwrap_or_default().into()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(int) if value.is_integer() => Const::Int(int),
            _ if value.is_integer() => {
                return Err(JinjaError::syntax("an integer of more than 64 bits", spot));
            }
            _ => Const::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
        },
        kind => return Err(JinjaError::syntax(format!("an unexpected constant of kind {kind}"), spot)),
    })
}
