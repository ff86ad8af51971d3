//! Which statements are the catalogue's to answer, and which the warehouse's.

use std::{collections::HashSet, ops::ControlFlow};

use sqlparser::ast::{visit_expressions, visit_relations, Expr, Query, Statement};

use super::{
    fill, functions, relations,
    rewrite::{folded, last, naming_type, schema, OF_SESSION},
};

pub(super) fn is_catalog_relation(name: &str) -> bool {
    relations::names().any(|known| known == name) || fill::views().any(|(known, _)| known == name)
}

/// Whether it reads relations of the catalogue, or none at all and only calls functions about it.
pub(super) fn is_about_catalog(statement: &Statement) -> bool {
    let mut own = HashSet::new();
    collect_definitions(statement, &mut own);
    let (mut about, mut other) = (false, false);
    let _: ControlFlow<()> = visit_relations(statement, |name| {
        let Some(ident) = last(name) else { return ControlFlow::Continue(()) };
        let relation = folded(ident);
        match schema(name).as_deref() {
            Some("pg_catalog" | "information_schema") => about = true,
            Some(_) => other = true,
            None if own.contains(&relation) => {}
            None if is_catalog_relation(&relation) || functions::is_known(&relation) => about = true,
            // Functions in FROM, which read no table.
            None if matches!(
                relation.as_str(),
                "unnest" | "generate_series" | "generate_subscripts" | "string_to_array"
            ) => {}
            None => other = true,
        }
        ControlFlow::Continue(())
    });
    if about || other {
        return about;
    }
    let _: ControlFlow<()> = visit_expressions(statement, |expr| {
        about |= match expr {
            Expr::Function(function) => last(&function.name).is_some_and(|name| {
                let name = folded(name);
                functions::is_known(&name) || OF_SESSION.contains(&name.as_str())
            }),
            Expr::Cast { data_type, .. } => naming_type(data_type).is_some(),
            _ => false,
        };
        ControlFlow::Continue(())
    });
    about
}

/// Names that the statement defines itself.
fn collect_definitions(statement: &Statement, names: &mut HashSet<String>) {
    struct Definitions<'a>(&'a mut HashSet<String>);
    impl sqlparser::ast::Visitor for Definitions<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0.extend(tables.map(|table| folded(&table.alias.name)));
            ControlFlow::Continue(())
        }
    }
    let _ = sqlparser::ast::Visit::visit(statement, &mut Definitions(names));
}
