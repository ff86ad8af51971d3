//! Names of result columns as PostgreSQL gives them, which clients read values by.

use sqlparser::ast::{DataType, Expr, Ident, Query, SelectItem, SetExpr};

use super::rewrite::{folded, last};

/// Names the columns of the outermost selection that have no name, as PostgreSQL does: the engine would name them by their text.
pub(super) fn name_columns(query: &mut Query) {
    let mut body = query.body.as_mut();
    // Of a union, the first part's names are the result's.
    while let SetExpr::SetOperation { left, .. } = body {
        body = left.as_mut();
    }
    let SetExpr::Select(select) = body else { return };
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item {
            if let Some(name) = column_name(expr) {
                let alias = Ident::with_quote('"', name);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
    }
}

/// PostgreSQL's name of an expression (`FigureColname`); `None`: it has one.
fn column_name(expr: &Expr) -> Option<String> {
    Some(match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => return None,
        Expr::Function(function) => last(&function.name).map_or_else(|| "?column?".into(), folded),
        Expr::Cast { expr, data_type, .. } => match expr.as_ref() {
            Expr::Identifier(ident) => folded(ident),
            Expr::CompoundIdentifier(parts) => parts.last().map_or_else(|| "?column?".into(), folded),
            inner => match column_name(inner).as_deref() {
                Some("?column?") | None => match data_type {
                    DataType::Custom(name, _) => last(name).map_or_else(|| "?column?".into(), folded),
                    other => other.to_string().to_ascii_lowercase(),
                },
                Some(name) => name.to_owned(),
            },
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => return column_name(inner),
        Expr::Case { else_result, .. } => else_result
            .as_ref()
            .and_then(|result| column_name(result))
            .filter(|name| name != "?column?")
            .unwrap_or_else(|| "case".into()),
        Expr::Exists { .. } => "exists".into(),
        Expr::Array(_) => "array".into(),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::UnnamedExpr(Expr::Identifier(ident))) => folded(ident),
                Some(SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts))) => {
                    parts.last().map_or_else(|| "?column?".into(), folded)
                }
                Some(SelectItem::UnnamedExpr(expr)) => column_name(expr)?,
                Some(SelectItem::ExprWithAlias { alias, .. }) => folded(alias),
                _ => "?column?".into(),
            },
            _ => "?column?".into(),
        },
        _ => "?column?".into(),
    })
}
