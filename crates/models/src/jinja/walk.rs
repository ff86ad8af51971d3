//! Every expression of a template, whatever it is part of.

use super::ast::{Argument, Expr, ExprKind, Macro, Stmt, Target};

/// Shows all expressions of these statements, outer ones before those within them, those of macros among them too.
pub fn expressions<'a>(body: &'a [Stmt], see: &mut dyn FnMut(&'a Expr)) {
    for stmt in body {
        match stmt {
            Stmt::Text(_) | Stmt::Break | Stmt::Continue => {}
            Stmt::Emit(expr) | Stmt::Do(expr) => expression(expr, see),
            Stmt::For(each) => {
                target(&each.target, see);
                expression(&each.iter, see);
                each.filter.iter().for_each(|filter| expression(filter, see));
                expressions(&each.body, see);
                expressions(&each.otherwise, see);
            }
            Stmt::If { test, then, otherwise } => {
                expression(test, see);
                expressions(then, see);
                expressions(otherwise, see);
            }
            Stmt::Set { target: to, value } => {
                target(to, see);
                expression(value, see);
            }
            Stmt::SetBlock { target: to, filters, body } => {
                target(to, see);
                filters.iter().for_each(|filters| expression(filters, see));
                expressions(body, see);
            }
            Stmt::With { assignments, body } => {
                for (to, value) in assignments {
                    target(to, see);
                    expression(value, see);
                }
                expressions(body, see);
            }
            Stmt::Filter { filters, body } => {
                expression(filters, see);
                expressions(body, see);
            }
            Stmt::Macro(definition) => within(definition, see),
            Stmt::Call { call, body } => {
                expression(call, see);
                within(body, see);
            }
        }
    }
}

/// Shows all expressions of a macro, those of its parameters' defaults first.
pub fn within<'a>(definition: &'a Macro, see: &mut dyn FnMut(&'a Expr)) {
    for default in definition.parameters.iter().filter_map(|(_, default)| default.as_ref()) {
        expression(default, see);
    }
    expressions(&definition.body, see);
}

fn target<'a>(to: &'a Target, see: &mut dyn FnMut(&'a Expr)) {
    match to {
        Target::Name(_) => {}
        Target::Attribute(of, _) => expression(of, see),
        Target::Tuple(all) => all.iter().for_each(|to| target(to, see)),
    }
}

fn expression<'a>(expr: &'a Expr, see: &mut dyn FnMut(&'a Expr)) {
    see(expr);
    match &expr.kind {
        ExprKind::Const(_) | ExprKind::Name(_) => {}
        ExprKind::Attribute(of, _) | ExprKind::Not(of) | ExprKind::Negative(of) => expression(of, see),
        ExprKind::Item(left, right)
        | ExprKind::And(left, right)
        | ExprKind::Or(left, right)
        | ExprKind::Binary(_, left, right) => {
            expression(left, see);
            expression(right, see);
        }
        ExprKind::Slice(of, bounds) => {
            expression(of, see);
            bounds.iter().flatten().for_each(|bound| expression(bound, see));
        }
        ExprKind::Call(callee, given) => {
            expression(callee, see);
            arguments(given, see);
        }
        ExprKind::Filter(of, _, given) => {
            of.iter().for_each(|of| expression(of, see));
            arguments(given, see);
        }
        ExprKind::Test(of, _, given) => {
            expression(of, see);
            arguments(given, see);
        }
        ExprKind::Compare(first, rest) => {
            expression(first, see);
            rest.iter().for_each(|(_, next)| expression(next, see));
        }
        ExprKind::If(then, test, otherwise) => {
            expression(then, see);
            expression(test, see);
            otherwise.iter().for_each(|otherwise| expression(otherwise, see));
        }
        ExprKind::List(items) | ExprKind::Tuple(items) => {
            items.iter().for_each(|item| expression(item, see));
        }
        ExprKind::Dict(entries) => entries.iter().for_each(|(key, value)| {
            expression(key, see);
            expression(value, see);
        }),
    }
}

fn arguments<'a>(given: &'a [Argument], see: &mut dyn FnMut(&'a Expr)) {
    for argument in given {
        match argument {
            Argument::Positional(expr)
            | Argument::Named(_, expr)
            | Argument::Positionals(expr)
            | Argument::Nameds(expr) => expression(expr, see),
        }
    }
}
