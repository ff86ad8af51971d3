//! What names mean: columns of what is read from, other columns of the same `select`, parameters of lambdas, and all that of the queries around.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, sync::Arc};

use sqlparser::ast::Ident;

use super::{Column, Dialect, Rest};

/// Where a value comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    pub(super) from: BTreeSet<Column>,
    pub(super) by: BTreeSet<Column>,
    /// Why there may be more.
    pub(super) unknown: Option<Arc<str>>,
}

impl Origin {
    pub(super) fn of(relation: &Arc<str>, name: &str) -> Self {
        let column = Column { relation: relation.clone(), name: name.into() };
        Origin { from: [column].into(), ..Origin::default() }
    }

    pub(super) fn unknown(reason: impl Into<Arc<str>>) -> Self {
        Origin { unknown: Some(reason.into()), ..Origin::default() }
    }

    /// Of a value that is made of both.
    pub(super) fn add(&mut self, other: Origin) {
        if self.from.is_empty() {
            self.from = other.from;
        } else {
            self.from.extend(other.from);
        }
        self.by.extend(other.by);
        self.unknown = self.unknown.take().or(other.unknown);
    }

    /// Of a value whose rows the other decides.
    pub(super) fn decide(&mut self, other: Origin) {
        self.by.extend(other.from);
        self.by.extend(other.by);
        self.unknown = self.unknown.take().or(other.unknown);
    }

    /// Of rows that the other decides.
    pub(super) fn rows(&mut self, other: Origin) {
        self.from.extend(other.from);
        self.from.extend(other.by);
        self.unknown = self.unknown.take().or(other.unknown);
    }
}

/// A column, or some.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Column {
        name: String,
        origin: Origin,
    },
    Rest(Rest),
    /// Any, for a reason.
    Unknown(Arc<str>),
}

/// What a query gives.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) items: Vec<Item>,
    /// What decides which rows there are.
    pub(super) rows: Origin,
}

/// CTEs that can be named, the last one first.
#[derive(Debug, Clone, Default)]
pub(super) struct Ctes(Option<Rc<Cte>>);

#[derive(Debug)]
struct Cte {
    key: String,
    table: Rc<Table>,
    before: Ctes,
}

impl Ctes {
    pub(super) fn with(&self, key: String, table: Table) -> Ctes {
        Ctes(Some(Rc::new(Cte { key, table: Rc::new(table), before: self.clone() })))
    }

    pub(super) fn get(&self, key: &str) -> Option<Rc<Table>> {
        let mut at = self.0.as_ref();
        while let Some(cte) = at {
            if cte.key == key {
                return Some(cte.table.clone());
            }
            at = cte.before.0.as_ref();
        }
        None
    }
}

/// Something that is read from.
#[derive(Debug, Clone, Default)]
pub(super) struct Binding {
    /// By which its columns can be qualified: an alias, or the parts of a relation's name.
    pub(super) path: Vec<String>,
    pub(super) items: Vec<Item>,
    /// Columns that `using` has merged into those of the left side.
    pub(super) hidden: BTreeSet<String>,
}

/// A column that `using` made of two.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) origin: Origin,
}

/// What can be named at a place.
#[derive(Debug, Default)]
pub(super) struct Scope<'s> {
    pub(super) bindings: Vec<Binding>,
    pub(super) merged: Vec<Merged>,
    /// Columns of the `select` that can be named by now.
    pub(super) aliases: Vec<(String, Origin)>,
    /// Named windows: what decides about rows by them.
    pub(super) windows: Vec<(String, Origin)>,
    /// Parameters of the lambdas around.
    pub(super) lambdas: RefCell<Vec<String>>,
    /// What `columns(…)` is at the moment.
    pub(super) each: Option<Origin>,
    pub(super) ctes: Ctes,
    pub(super) parent: Option<&'s Scope<'s>>,
}

/// What a name is among some columns.
enum Found {
    Surely(Origin),
    /// It is one of the columns that aren't known, if it is any.
    Perhaps(Origin),
    No,
}

/// An identifier as names are compared.
pub(super) fn key(dialect: Dialect, ident: &Ident) -> String {
    match (dialect, ident.quote_style) {
        (Dialect::Postgres, Some(_)) => ident.value.clone(),
        _ => ident.value.to_lowercase(),
    }
}

/// An identifier as it names a column.
pub(super) fn named(dialect: Dialect, ident: &Ident) -> String {
    match dialect {
        Dialect::DuckDb => ident.value.clone(),
        Dialect::Postgres => key(dialect, ident),
    }
}

fn find(dialect: Dialect, items: &[Item], wanted: &str) -> Found {
    let mut perhaps: Option<Origin> = None;
    for item in items {
        match item {
            Item::Column { name, origin } if dialect.key(name) == wanted => {
                // Of two columns of one name the first is meant, and a `*` before this one may have brought it.
                return match perhaps {
                    Some(_) => Found::Surely(Origin::unknown(format!(
                        "there may be another column `{wanted}` before the one that is named so: not all columns are known"
                    ))),
                    None => Found::Surely(origin.clone()),
                };
            }
            Item::Column { .. } => {}
            Item::Rest(rest) if rest.except.contains(wanted) => {}
            Item::Rest(rest) => {
                perhaps = Some(match perhaps {
                    None => Origin::of(&rest.relation, wanted),
                    Some(_) => Origin::unknown(format!(
                        "`{wanted}` may be a column of several relations whose columns aren't known"
                    )),
                });
            }
            Item::Unknown(reason) => perhaps = Some(Origin::unknown(reason.clone())),
        }
    }
    perhaps.map_or(Found::No, Found::Perhaps)
}

impl Binding {
    /// Whether this qualifies its columns.
    fn is_called(&self, path: &[String]) -> bool {
        self.path.ends_with(path)
    }

    fn find(&self, dialect: Dialect, wanted: &str) -> Found {
        find(dialect, &self.items, wanted)
    }

    /// A column that is surely there, because a statement says so. One of those that weren't known is known from then on.
    pub(super) fn insist(&mut self, dialect: Dialect, wanted: &str, name: &str) -> Option<Origin> {
        let origin = match self.find(dialect, wanted) {
            Found::Surely(origin) => return Some(origin),
            Found::Perhaps(origin) => origin,
            Found::No => return None,
        };
        let at = self.items.iter().position(|item| !matches!(item, Item::Column { .. })).unwrap_or(0);
        for item in &mut self.items {
            if let Item::Rest(rest) = item {
                rest.except.insert(wanted.to_owned());
            }
        }
        self.items.insert(at, Item::Column { name: name.to_owned(), origin: origin.clone() });
        Some(origin)
    }

    /// Whether it has such a column, as far as is known.
    pub(super) fn surely_has(&self, dialect: Dialect, wanted: &str) -> bool {
        matches!(self.find(dialect, wanted), Found::Surely(_))
    }

    /// All of its columns as one value.
    fn row(&self) -> Origin {
        let mut row = Origin::default();
        for item in &self.items {
            row.add(match item {
                Item::Column { origin, .. } => origin.clone(),
                Item::Rest(rest) => {
                    Origin::unknown(format!("not all columns of `{}` are known", rest.relation))
                }
                Item::Unknown(reason) => Origin::unknown(reason.clone()),
            });
        }
        row
    }
}

impl Scope<'_> {
    /// What a name means, its parts as they are compared. Fields of structs may follow the column.
    pub(super) fn resolve(&self, dialect: Dialect, parts: &[String]) -> Origin {
        let Some(first) = parts.first() else { return Origin::default() };
        let mut around = Some(self);
        while let Some(scope) = around {
            // A parameter is an element of what the lambda is called on, which counts as it stands there.
            if scope.lambdas.borrow().contains(first) {
                return Origin::default();
            }
            match scope.resolve_here(dialect, parts) {
                Found::Surely(origin) => return origin,
                Found::Perhaps(origin) => {
                    let outer = scope.outer_may_mean(dialect, parts);
                    // Which of the two is meant doesn't matter where they come from the same.
                    let differs = |alias: &Origin| (&alias.from, &alias.by) != (&origin.from, &origin.by);
                    let alias = parts.len() == 1 && scope.alias(first).is_some_and(differs);
                    return if outer || alias {
                        Origin::unknown(format!(
                            "what `{}` is isn't known: not all columns are",
                            parts.join(".")
                        ))
                    } else {
                        origin
                    };
                }
                Found::No => around = scope.parent,
            }
        }
        Origin::unknown(format!("there is no column `{}` in what is read", parts.join(".")))
    }

    /// Whether a name is a column, and not only perhaps.
    pub(super) fn is_surely(&self, dialect: Dialect, parts: &[String]) -> Option<bool> {
        match self.resolve_here(dialect, parts) {
            Found::Surely(_) => Some(true),
            Found::Perhaps(_) => None,
            Found::No => self.parent.map_or(Some(false), |parent| parent.is_surely(dialect, parts)),
        }
    }

    fn outer_may_mean(&self, dialect: Dialect, parts: &[String]) -> bool {
        let mut around = self.parent;
        while let Some(scope) = around {
            if !matches!(scope.resolve_here(dialect, parts), Found::No) {
                return true;
            }
            around = scope.parent;
        }
        false
    }

    fn alias(&self, key: &str) -> Option<&Origin> {
        self.aliases.iter().find(|(alias, _)| alias == key).map(|(_, origin)| origin)
    }

    fn resolve_here(&self, dialect: Dialect, parts: &[String]) -> Found {
        let mut perhaps = None;
        // As few parts as can be are the relation: `a.b` is the column b of a before it is a field of a column a.
        for length in 1..parts.len() {
            for binding in self.bindings.iter().filter(|binding| binding.is_called(&parts[..length])) {
                match binding.find(dialect, &parts[length]) {
                    Found::Surely(origin) => return Found::Surely(origin),
                    // The relation is named: what else should it be?
                    Found::Perhaps(origin) => perhaps = perhaps.or(Some(origin)),
                    Found::No => {}
                }
            }
        }
        let column = self.column(dialect, &parts[0]);
        match (perhaps, column) {
            (Some(_), Found::Surely(_)) => Found::Surely(Origin::unknown(format!(
                "`{}` may be a column or a field of one: not all columns are known",
                parts.join(".")
            ))),
            (Some(origin), _) => Found::Surely(origin),
            (None, Found::No) => {
                if let Some(origin) = self.alias(&parts[0]) {
                    return Found::Surely(origin.clone());
                }
                let row = self.bindings.iter().find(|binding| binding.is_called(&parts[..1]));
                match row.filter(|_| parts.len() == 1) {
                    Some(binding) => Found::Surely(binding.row()),
                    None => Found::No,
                }
            }
            (None, column) => column,
        }
    }

    /// A column that is not qualified.
    fn column(&self, dialect: Dialect, wanted: &str) -> Found {
        if let Some(merged) = self.merged.iter().find(|merged| merged.key == wanted) {
            return Found::Surely(merged.origin.clone());
        }
        let mut perhaps: Option<Origin> = None;
        for binding in &self.bindings {
            match binding.find(dialect, wanted) {
                // A name that two have is an error of the statement, so that this is the one.
                Found::Surely(origin) => return Found::Surely(origin),
                Found::Perhaps(origin) => {
                    perhaps = Some(match perhaps {
                        None => origin,
                        Some(_) => Origin::unknown(format!(
                            "`{wanted}` may be a column of several relations whose columns aren't known"
                        )),
                    });
                }
                Found::No => {}
            }
        }
        // A row by the relation's name, where a column of that name may be among those that aren't known, is left open.
        perhaps.map_or(Found::No, Found::Perhaps)
    }

    /// A named window.
    pub(super) fn window(&self, key: &str) -> Option<&Origin> {
        self.windows.iter().find(|(name, _)| name == key).map(|(_, origin)| origin)
    }
}
