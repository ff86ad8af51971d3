//! What stands in front of the hidden tables: `<table>`, `<table>_history` and `<table>_as_of(t)`.
//!
//! # As of
//!
//! Every view is a union of branches guarded by two session variables. DuckDB folds `getvariable` while it plans, so branches that do not
//! apply vanish from the plan: reading the present costs what reading the hidden table costs. Views over views follow, and so does everything else the
//! connection reads. The last branch of each answers a question about a time before the table's history: it holds one row whose every column is an error, so that
//! no filter, projection or limit above can turn the error into an empty answer.
//!
//! # Roles
//!
//! Where roles see less of a table than there is, [`super::restrict`] stands around the whole of it.

use std::collections::HashSet;

use millstream_core::{
    warehouse::{physical_name, HistoryNames, LayoutColumn, Moment, TableLayout, TableState},
    TableName,
};

use super::{
    restrict::{Shown, Veil},
    sql::{closed, column_type, current, identifier, relation, string},
};

/// Session variable, `TIMESTAMPTZ`: reads are as of this time.
pub(crate) const AS_OF_TIME: &str = "millstream_as_of_time";
/// Session variable, `UBIGINT`: reads are as of this commit LSN.
pub(crate) const AS_OF_LSN: &str = "millstream_as_of_lsn";
/// Begins the message of an error that the guard branches raise; the reader turns it into its own error.
pub(crate) const NO_HISTORY: &str = "MS5303: ";

/// A timestamp with time zone from microseconds since 1970.
pub(crate) fn instant(micros: i64) -> String {
    format!("make_timestamptz({micros}::BIGINT)")
}

/// The point that a view's rows are read at, as SQL expressions that are NULL where they do not apply.
struct Point {
    time: String,
    lsn: String,
}

impl Point {
    /// From the connection's session variables.
    fn session() -> Self {
        Point {
            time: format!("getvariable('{AS_OF_TIME}')::TIMESTAMPTZ"),
            lsn: format!("getvariable('{AS_OF_LSN}')::UBIGINT"),
        }
    }

    /// From a macro's parameter `t`: an LSN's text, or anything that DuckDB reads as a time.
    fn parameter() -> Self {
        let text = "t::VARCHAR";
        let is_lsn = format!("regexp_full_match({text}, '[0-9A-Fa-f]{{1,8}}/[0-9A-Fa-f]{{1,8}}')");
        let half = |part: u8| format!("('0x' || split_part({text}, '/', {part}))::UBIGINT");
        Point {
            time: format!("(CASE WHEN {is_lsn} THEN NULL ELSE {text} END)::TIMESTAMPTZ"),
            lsn: format!("(CASE WHEN {is_lsn} THEN {} * 4294967296::UBIGINT + {} END)", half(1), half(2)),
        }
    }

    fn unset(&self) -> String {
        format!("({} IS NULL AND {} IS NULL)", self.time, self.lsn)
    }

    fn set(&self) -> String {
        format!("({} IS NOT NULL OR {} IS NOT NULL)", self.time, self.lsn)
    }

    /// Versions that had opened.
    fn opened(&self) -> String {
        let Point { time, lsn } = self;
        format!("({time} IS NULL OR valid_from <= {time}) AND ({lsn} IS NULL OR _lsn <= {lsn})")
    }

    /// Versions that had not ended yet. False where no point is set.
    fn open_still(&self) -> String {
        let Point { time, lsn } = self;
        format!("(({time} IS NOT NULL AND valid_to > {time}) OR ({lsn} IS NOT NULL AND _lsn_to > {lsn}))")
    }

    /// An error for points before the table's history, as a condition that is false otherwise.
    fn guard(&self, message: &str, since: Option<Moment>) -> String {
        let Point { time, lsn } = self;
        let refused = match since {
            Some(moment) => format!(
                "({time} < {} OR {lsn} < {}::UBIGINT)",
                instant(moment.time.0),
                moment.position.commit_lsn.0
            ),
            None => self.set(),
        };
        format!("CASE WHEN {refused} THEN error({message})::BOOLEAN ELSE false END")
    }
}

/// Why a point is refused, as an SQL expression.
fn refusal(state: &TableState) -> String {
    let target = &state.layout.target;
    match (state.layout.history, state.history_since) {
        (false, _) => {
            string(&format!("{NO_HISTORY}{target} keeps no history; it can only be read as it is now"))
        }
        (true, None) => {
            string(&format!("{NO_HISTORY}{target} is still being loaded; it has no history to read yet"))
        }
        (true, Some(moment)) => format!(
            "{} || make_timestamp({}::BIGINT)::VARCHAR || {}",
            string(&format!("{NO_HISTORY}{target} has history since ")),
            moment.time.0,
            string(&format!("+00 ({})", moment.position.commit_lsn))
        ),
    }
}

fn history_since(state: &TableState) -> Option<Moment> {
    state.history_since.filter(|_| state.layout.history)
}

fn live_select(layout: &TableLayout) -> String {
    let columns: Vec<_> = layout
        .live_columns()
        .map(|column| format!("{} AS {}", physical_name(column.attnum), identifier(&column.name)))
        .collect();
    columns.join(", ")
}

fn live_errors(layout: &TableLayout, message: &str) -> String {
    let columns: Vec<_> = layout
        .live_columns()
        .map(|column| {
            format!("error({message})::{} AS {}", column_type(&column.column_type), identifier(&column.name))
        })
        .collect();
    columns.join(", ")
}

/// Names of the history view's source columns: a dropped column whose name is in use again is told apart by its number.
fn history_column_names(layout: &TableLayout) -> Vec<(&LayoutColumn, String)> {
    let mut taken: HashSet<String> =
        layout.live_columns().map(|column| column.name.to_ascii_lowercase()).collect();
    let mut named = Vec::new();
    for column in &layout.columns {
        let name = if column.live || taken.insert(column.name.to_ascii_lowercase()) {
            column.name.clone()
        } else {
            format!("{}_dropped_{}", column.name, column.attnum)
        };
        named.push((column, name));
    }
    named
}

/// A view or macro to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    what: String,
    body: String,
}

impl Definition {
    /// Fails where something of that name is there already.
    pub(crate) fn create(&self) -> String {
        self.statement("CREATE")
    }

    /// Takes the place of what is there.
    pub(crate) fn replace(&self) -> String {
        self.statement("CREATE OR REPLACE")
    }

    fn statement(&self, verb: &str) -> String {
        let parameters = if self.what.starts_with("MACRO") { "(t)" } else { "" };
        format!("{verb} {}{parameters} AS {}", self.what, self.body)
    }

    /// Whether it would take the other's place.
    pub(crate) fn replaces(&self, other: &Definition) -> bool {
        self.what.eq_ignore_ascii_case(&other.what)
    }

    /// Removes it if it is there.
    pub(crate) fn drop(&self) -> String {
        match self.what.strip_prefix("MACRO ") {
            Some(name) => format!("DROP MACRO TABLE IF EXISTS {name}"),
            None => format!("DROP {}", self.what.replacen("VIEW ", "VIEW IF EXISTS ", 1)),
        }
    }
}

/// Everything that stands in front of a table. `stem` names history and macro: the table's name, or what distinguishes a retired one, which has
/// no current rows to show.
pub(crate) fn definitions(
    state: &TableState,
    stem: &str,
    retired: bool,
    veil: Option<&Veil>,
) -> Vec<Definition> {
    let names = ViewNames::of(&state.layout.target, stem);
    let mut all = Vec::new();
    if !retired {
        all.push(current_view(state, veil));
    }
    if state.layout.history {
        all.push(history_view(state, &names, veil));
    }
    all.push(as_of_macro(state, &names, veil));
    all
}

/// The names of everything that stands in front of a table.
pub(crate) fn names(state: &TableState, stem: &str) -> [TableName; 3] {
    let ViewNames { history, as_of } = ViewNames::of(&state.layout.target, stem);
    [state.layout.target.clone(), history, as_of]
}

/// A body as roles see it, where some see less.
fn veiled(veil: Option<&Veil>, layout: &TableLayout, body: String, columns: &[Shown<'_>]) -> String {
    match veil {
        Some(veil) => veil.around(&layout.target.name, &body, columns),
        None => body,
    }
}

fn live_shown(layout: &TableLayout) -> Vec<Shown<'_>> {
    layout.live_columns().map(|column| Shown { name: column.name.clone(), of: Some(column) }).collect()
}

/// The names of a table's views and macro.
struct ViewNames {
    history: TableName,
    as_of: TableName,
}

impl ViewNames {
    /// `stem` is the table's name, or what distinguishes a retired one.
    fn of(target: &TableName, stem: &str) -> Self {
        ViewNames {
            history: TableName::new(&target.schema, format!("{stem}_history")),
            as_of: TableName::new(&target.schema, format!("{stem}_as_of")),
        }
    }
}

/// `<table>`: the rows as they are at the source.
fn current_view(state: &TableState, veil: Option<&Veil>) -> Definition {
    let layout = &state.layout;
    let point = Point::session();
    let (current, closed) = (current(layout.id), closed(layout.id));
    let select = live_select(layout);
    let message = refusal(state);
    let mut branches = vec![format!("SELECT {select} FROM {current} WHERE {}", point.unset())];
    if history_since(state).is_some() {
        branches.extend(point_branches(&point, &select, &current, &closed));
    }
    branches.push(format!(
        "SELECT {} FROM (VALUES (1)) AS g(g) WHERE {}",
        live_errors(layout, &message),
        point.guard(&message, history_since(state))
    ));
    let body = veiled(veil, layout, branches.join(" UNION ALL "), &live_shown(layout));
    Definition { what: format!("VIEW {}", relation(&layout.target)), body }
}

fn point_branches(point: &Point, select: &str, current: &str, closed: &str) -> [String; 2] {
    [
        format!("SELECT {select} FROM {current} WHERE {} AND {}", point.set(), point.opened()),
        format!(
            "SELECT {select} FROM {closed} WHERE {} AND {} AND {}",
            point.set(),
            point.opened(),
            point.open_still()
        ),
    ]
}

/// `<table>_as_of(t)`: the rows as they were.
fn as_of_macro(state: &TableState, names: &ViewNames, veil: Option<&Veil>) -> Definition {
    let layout = &state.layout;
    let point = Point::parameter();
    let message = refusal(state);
    let missing = string("the time to read as of is NULL");
    let mut branches = Vec::new();
    if history_since(state).is_some() {
        branches.extend(point_branches(
            &point,
            &live_select(layout),
            &current(layout.id),
            &closed(layout.id),
        ));
    }
    branches.push(format!(
        "SELECT {} FROM (VALUES (1)) AS g(g) WHERE {}",
        live_errors(layout, &message),
        point.guard(&message, history_since(state))
    ));
    branches.push(format!(
        "SELECT {} FROM (VALUES (1)) AS g(g) WHERE CASE WHEN {} THEN error({missing})::BOOLEAN ELSE false END",
        live_errors(layout, &missing),
        point.unset()
    ));
    let body = veiled(veil, layout, branches.join(" UNION ALL "), &live_shown(layout));
    Definition { what: format!("MACRO {}", relation(&names.as_of)), body: format!("TABLE {body}") }
}

/// `<table>_history`: every version. As of a point: what was known of them then.
fn history_view(state: &TableState, names: &ViewNames, veil: Option<&Veil>) -> Definition {
    let layout = &state.layout;
    let HistoryNames { valid_from, valid_to, is_current, operation_type, open_value } = &layout.history_names;
    let bookkeeping = [valid_from, valid_to, is_current, operation_type].map(String::clone);
    let [valid_from, valid_to, is_current, operation_type] =
        [valid_from, valid_to, is_current, operation_type].map(|name| identifier(name));
    let open_value = match open_value {
        Some(time) => instant(time.0),
        None => "NULL::TIMESTAMPTZ".to_owned(),
    };
    let point = Point::session();
    let columns = history_column_names(layout);
    let select: Vec<_> = columns
        .iter()
        .map(|(column, name)| format!("{} AS {}", physical_name(column.attnum), identifier(name)))
        .collect();
    let select = select.join(", ");
    let open_still = point.open_still();
    let message = refusal(state);
    let errors: Vec<_> = columns
        .iter()
        .map(|(column, name)| {
            format!("error({message})::{} AS {}", column_type(&column.column_type), identifier(name))
        })
        .collect();
    let body = format!(
        "SELECT {select}, valid_from AS {valid_from}, {open_value} AS {valid_to}, true AS {is_current}, \
         operation_type AS {operation_type}, _lsn, _seq, NULL::UBIGINT AS _lsn_to, NULL::UBIGINT AS _seq_to \
         FROM {current} WHERE {opened} \
         UNION ALL \
         SELECT {select}, valid_from, CASE WHEN {open_still} THEN {open_value} ELSE valid_to END, \
         {open_still}, operation_type, _lsn, _seq, \
         CASE WHEN {open_still} THEN NULL ELSE _lsn_to END, CASE WHEN {open_still} THEN NULL ELSE _seq_to END \
         FROM {closed} WHERE {opened} \
         UNION ALL \
         SELECT {errors}, error({message})::TIMESTAMPTZ, error({message})::TIMESTAMPTZ, error({message})::BOOLEAN, \
         error({message})::VARCHAR, error({message})::UBIGINT, error({message})::UBIGINT, error({message})::UBIGINT, \
         error({message})::UBIGINT FROM (VALUES (1)) AS g(g) WHERE {guard}",
        current = current(layout.id),
        closed = closed(layout.id),
        opened = point.opened(),
        errors = errors.join(", "),
        guard = point.guard(&message, history_since(state)),
    );
    let positions = ["_lsn", "_seq", "_lsn_to", "_seq_to"].map(str::to_owned);
    let own = columns.into_iter().map(|(column, name)| Shown { name, of: Some(column) });
    let added = bookkeeping.into_iter().chain(positions).map(|name| Shown { name, of: None });
    let shown: Vec<Shown<'_>> = own.chain(added).collect();
    Definition {
        what: format!("VIEW {}", relation(&names.history)),
        body: veiled(veil, layout, body, &shown),
    }
}
