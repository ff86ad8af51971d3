//! Which part of a statement can follow its tables' changes, and how the rest reads that part.
//!
//! What can: one SELECT that counts and sums over replicated tables joined by inner joins, wherever it stands among subqueries and the project's views.
//! It is *linear*: what it gives for a changed table is what it gave before plus what it gives for the change alone, rows that went counted as
//! minus one. Sums of numbers without rounding only, so that what was added and taken away again leaves nothing behind; no minimum, no average, no
//! DISTINCT, no outer join.
//!
//! The statement is cut in two:
//!
//! - the **core**: the joined rows with what they are grouped by and what is summed, before any grouping. Conditions with parameters are not in it;
//!   the columns that they look at are keys of their own, so that one kept result serves every value of the parameters;
//! - the **rest**: the statement as it was, with a relation [`STATE`] in place of the tables, whose columns are the keys and the sums.
//!
//! Everything here works on DuckDB's own tree of a statement, as JSON. What is not known for certain to be of this shape is refused.

use std::collections::BTreeSet;

use millstream_core::warehouse::TableLayout;
use serde_json::{json, Value};

use super::{
    super::ast::Named,
    tree::{
        aliased, all_of, base_table, column, columns, conjuncts, has, is, items, statement, text, Cut, Other,
    },
};

/// Stands for the kept result in the rest's tree.
pub(super) const STATE: &str = "millstream_state_";

/// Column of the core: how often a row counts; -1 for one that went.
pub(super) const WEIGHT: &str = "millstream_w";

/// Stands for the product of the weights of the core's relations.
pub(super) const WEIGHTS: &str = "millstream_weights_";

/// Relations joined at most. Each costs a join for every batch of changes of another.
const RELATIONS_MAX: usize = 6;

/// Stands for the core's relation of that number.
pub(super) fn relation_mark(number: usize) -> String {
    format!("millstream_relation_{number}_")
}

/// The weight of the rows of the core's relation of that number.
pub(super) fn weight_name(number: usize) -> String {
    format!("{WEIGHT}{number}")
}

/// Columns of the core and of the kept result.
pub(super) fn key_name(number: usize) -> String {
    format!("millstream_k{number}")
}

pub(super) fn argument_name(number: usize) -> String {
    format!("millstream_a{number}")
}

pub(super) fn filter_name(number: usize) -> String {
    format!("millstream_f{number}")
}

pub(super) fn measure_name(number: usize) -> String {
    format!("millstream_m{number}")
}

/// What a name in FROM stands for.
pub(super) enum Found {
    /// A replicated table that can be followed.
    Table(Box<TableLayout>),
    /// One of the project's views: the tree of its SELECT.
    Model(Value),
}

/// What is known of the warehouse.
pub(super) trait Known {
    /// What a name stands for; `None`: something that can't be followed.
    fn find(&self, named: &Named) -> Option<Found>;
    /// Whether a function gives the same for the same arguments, and one value for one row.
    fn is_plain(&self, function: &str) -> bool;
}

/// What is counted or summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) kind: MeasureKind,
    /// Whether only some of the rows count.
    pub(super) filtered: bool,
}

impl Measure {
    /// Whether it looks at a value of each row.
    pub(super) fn has_argument(&self) -> bool {
        self.kind != MeasureKind::Rows
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MeasureKind {
    /// `count(*)`.
    Rows,
    /// `count(x)`.
    Values,
    /// `sum(x)`.
    Sum,
}

/// A parameter's condition that leaves one value of a key: `key = upper($1)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pinned {
    pub(super) key: usize,
    /// The parameter.
    pub(super) parameter: String,
    /// Whether it goes through a function from text to text.
    pub(super) text: bool,
}

/// A statement cut in two.
#[derive(Debug)]
pub(super) struct Shape {
    /// The tables of the core, in the order of their marks, each with the columns that the core needs, in lower case.
    pub(super) relations: Vec<(TableLayout, BTreeSet<String>)>,
    /// The core's tree: keys, then arguments and filters of the measures, then [`WEIGHT`].
    pub(super) core: Value,
    /// The first so many keys are what the statement groups by; the others only conditions look at.
    pub(super) groups: usize,
    pub(super) keys: usize,
    pub(super) measures: Vec<Measure>,
    /// `SELECT * FROM STATE WHERE` the conditions with parameters.
    pub(super) selected: Value,
    pub(super) pinned: Vec<Pinned>,
    /// Whether it has one row whatever there is: it groups by nothing.
    pub(super) single: bool,
    /// The rest's tree.
    pub(super) rest: Value,
}

/// Cuts a statement, as `json_serialize_sql` gives it. `names` are those of its result's columns.
pub(super) fn cut(mut tree: Value, names: &[String], known: &dyn Known) -> Cut<Shape> {
    is(items(&tree, "statements").len() == 1)?;
    let node = tree["statements"][0]["node"].take();
    let (node, mut shape) = Cutting { known }.query(node, Some(names))?;
    tree["statements"][0]["node"] = node;
    shape.rest = tree;
    Ok(shape)
}

struct Cutting<'a> {
    known: &'a dyn Known,
}

impl Cutting<'_> {
    /// Of a query: it with its part replaced, and what the part was.
    fn query(&self, mut node: Value, names: Option<&[String]>) -> Cut<(Value, Shape)> {
        is(text(&node, "type") == "SELECT_NODE" && items(&node["cte_map"], "map").is_empty())?;
        is(node["sample"].is_null() && node["qualify"].is_null())?;
        let from = &node["from_table"];
        let inner = match text(from, "type") {
            "SUBQUERY" => Some(from["subquery"]["node"].clone()),
            "BASE_TABLE" => match self.find(from)? {
                Found::Model(tree) => Some(tree),
                Found::Table(_) => None,
            },
            _ => None,
        };
        let Some(inner) = inner else { return self.core(node, names) };
        is(from["sample"].is_null())?;
        // What else the query holds reads nothing.
        let others = node.as_object().ok_or(Other)?.iter().filter(|(key, _)| *key != "from_table");
        is(!others.into_iter().any(|(_, field)| has(field, "SUBQUERY")))?;
        let (inner, shape) = self.query(inner, None)?;
        let alias = match text(from, "alias") {
            "" => text(from, "table_name"),
            alias => alias,
        };
        let renamed = from["column_name_alias"].clone();
        node["from_table"] = json!({"type": "SUBQUERY", "alias": alias, "sample": null, "query_location": 0,
            "subquery": {"node": inner, "named_param_map": []}, "column_name_alias": renamed});
        Ok((node, shape))
    }

    fn find(&self, from: &Value) -> Cut<Found> {
        is(from["at_clause"].is_null() && from["sample"].is_null())?;
        let named = Named {
            catalog: text(from, "catalog_name").into(),
            schema: text(from, "schema_name").into(),
            name: text(from, "table_name").into(),
        };
        self.known.find(&named).ok_or(Other)
    }

    fn core(&self, mut node: Value, names: Option<&[String]>) -> Cut<(Value, Shape)> {
        let mut scope = Scope { known: self.known, relations: Vec::new(), shared: BTreeSet::new() };
        let mut from = node["from_table"].clone();
        self.relations(&mut from, &mut scope)?;
        let select = items(&node, "select_list").to_vec();
        let outputs = outputs(&select, names)?;

        let mut groups: Vec<Value> = Vec::new();
        for group in self.groups(&node, &select, &outputs, &scope)? {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let single = groups.is_empty();
        let mut keys = groups;
        let group_count = keys.len();

        // Conditions with parameters look at keys; the others are the core's own.
        let (asked, own): (Vec<Value>, Vec<Value>) =
            conjuncts(&node["where_clause"]).into_iter().partition(|condition| has(condition, "PARAMETER"));
        let own = own.iter().map(|condition| scope.canonical(condition)).collect::<Cut<Vec<_>>>()?;
        let mut conditions = Vec::new();
        let mut pinned = Vec::new();
        for condition in &asked {
            let condition = scope.canonical(condition)?;
            for column in columns(&condition) {
                if !keys.contains(&column) {
                    keys.push(column);
                }
            }
            let condition = on_keys(&condition, &keys)?;
            pinned.extend(pin(&condition, &keys));
            conditions.push(condition);
        }

        let mut rest = Rest { scope: &scope, keys: &keys, groups: group_count, measures: Vec::new() };
        let mut list = Vec::new();
        for (item, name) in select.iter().zip(&outputs) {
            list.push(aliased(rest.replace(item)?, name));
        }
        let having = match &node["having"] {
            Value::Null => Value::Null,
            having => rest.replace(having)?,
        };
        let mut modifiers = items(&node, "modifiers").to_vec();
        for modifier in &mut modifiers {
            rest.modifier(modifier, &outputs)?;
        }
        let measures = rest.measures;
        is(!measures.is_empty() || !single)?;

        let mut core_list: Vec<Value> =
            keys.iter().enumerate().map(|(at, key)| aliased(key.clone(), &key_name(at))).collect();
        for (at, (_, argument, filter)) in measures.iter().enumerate() {
            core_list.extend(argument.clone().map(|argument| aliased(argument, &argument_name(at))));
            core_list.extend(filter.clone().map(|filter| aliased(filter, &filter_name(at))));
        }
        core_list.push(aliased(column(WEIGHTS), WEIGHT));
        let plain = |select: Vec<Value>, from: Value, condition: Value| {
            json!({"type": "SELECT_NODE", "modifiers": [], "cte_map": {"map": []}, "select_list": select, "from_table": from,
                   "where_clause": condition, "group_expressions": [], "group_sets": [],
                   "aggregate_handling": "STANDARD_HANDLING", "having": null, "sample": null, "qualify": null})
        };
        let star = json!({"class": "STAR", "type": "STAR", "alias": "", "query_location": 0, "relation_name": "", "exclude_list": [],
                          "replace_list": [], "columns": false, "expr": null, "qualified_exclude_list": [], "rename_list": []});
        let core = statement(plain(core_list, from, all_of(own)));
        let needed = columns(&core);
        let needs = |alias: &str| -> BTreeSet<String> {
            let of = |column: &&Value| items(column, "column_names")[0] == alias;
            let named = needed.iter().filter(of).filter_map(|column| items(column, "column_names").get(1));
            named.filter_map(Value::as_str).map(str::to_owned).chain(scope.shared.iter().cloned()).collect()
        };
        let needs: Vec<_> = scope.relations.iter().map(|relation| needs(&relation.alias)).collect();
        let layouts = scope.relations.into_iter().map(|relation| relation.layout);
        let shape = Shape {
            relations: layouts.zip(needs).collect(),
            core,
            selected: statement(plain(vec![star], base_table(STATE, ""), all_of(conditions))),
            groups: group_count,
            keys: keys.len(),
            measures: measures.into_iter().map(|(measure, _, _)| measure).collect(),
            pinned,
            single,
            rest: Value::Null,
        };
        node["select_list"] = list.into();
        node["from_table"] = base_table(STATE, "");
        // Grouping is done below: what was asked of groups is asked of rows now.
        node["where_clause"] = having;
        node["having"] = Value::Null;
        node["group_expressions"] = json!([]);
        node["group_sets"] = json!([]);
        node["aggregate_handling"] = "STANDARD_HANDLING".into();
        node["modifiers"] = modifiers.into();
        Ok((node, shape))
    }

    /// Marks the relations of a FROM.
    fn relations(&self, from: &mut Value, scope: &mut Scope<'_>) -> Cut<()> {
        match text(from, "type") {
            "BASE_TABLE" => {
                is(items(from, "column_name_alias").is_empty() && scope.relations.len() < RELATIONS_MAX)?;
                let Found::Table(layout) = self.find(from)? else { return Err(Other) };
                let alias = match text(from, "alias") {
                    "" => text(from, "table_name"),
                    alias => alias,
                };
                let lower = alias.to_ascii_lowercase();
                is(scope.relations.iter().all(|other| other.alias != lower))?;
                *from = base_table(&relation_mark(scope.relations.len()), alias);
                scope.relations.push(Relation { alias: lower, layout: *layout });
                Ok(())
            }
            "JOIN" => {
                is(text(from, "join_type") == "INNER"
                    && ["REGULAR", "CROSS"].contains(&text(from, "ref_type"))
                    && items(from, "duplicate_eliminated_columns").is_empty())?;
                let (mut left, mut right) = (from["left"].take(), from["right"].take());
                self.relations(&mut left, scope)?;
                self.relations(&mut right, scope)?;
                let using = items(from, "using_columns").iter().filter_map(Value::as_str);
                scope.shared.extend(using.map(str::to_ascii_lowercase));
                (from["left"], from["right"]) = (left, right);
                if !from["condition"].is_null() {
                    is(!has(&from["condition"], "PARAMETER"))?;
                    from["condition"] = scope.canonical(&from["condition"])?;
                }
                Ok(())
            }
            _ => Err(Other),
        }
    }

    /// What a SELECT groups by, in its canonical form.
    fn groups(
        &self,
        node: &Value,
        select: &[Value],
        outputs: &[String],
        scope: &Scope<'_>,
    ) -> Cut<Vec<Value>> {
        if text(node, "aggregate_handling") == "FORCE_AGGREGATES" {
            let grouped = select.iter().filter(|item| !has_aggregate(item) && has(item, "COLUMN_REF"));
            return grouped.map(|item| scope.canonical(item)).collect();
        }
        let grouped = items(node, "group_expressions");
        match items(node, "group_sets") {
            [] => is(grouped.is_empty())?,
            [set] => is(set.as_array().map(Vec::len) == Some(grouped.len()))?,
            _ => return Err(Other),
        }
        let group = |group: &Value| -> Cut<Value> {
            is(!has(group, "PARAMETER"))?;
            let meant = match text(group, "class") {
                "CONSTANT" => {
                    let at = group["value"]["value"].as_u64().and_then(|at| usize::try_from(at).ok());
                    at.and_then(|at| select.get(at.checked_sub(1)?)).ok_or(Other)?
                }
                "COLUMN_REF" if scope.resolve(group).is_err() => {
                    let [name] = items(group, "column_names") else { return Err(Other) };
                    let name = name.as_str().unwrap_or_default();
                    let at = outputs.iter().position(|output| output.eq_ignore_ascii_case(name));
                    &select[at.ok_or(Other)?]
                }
                _ => group,
            };
            scope.canonical(meant)
        };
        grouped.iter().map(group).collect()
    }
}

/// What the columns of a SELECT are called. Only the whole statement's are known where an expression has no name of its own.
fn outputs(select: &[Value], names: Option<&[String]>) -> Cut<Vec<String>> {
    let known = names.filter(|names| names.len() == select.len());
    let name = |(at, item): (usize, &Value)| match (text(item, "alias"), known) {
        (_, Some(names)) => Ok(names[at].clone()),
        ("", None) if text(item, "class") == "COLUMN_REF" => {
            items(item, "column_names").last().and_then(Value::as_str).map(str::to_owned).ok_or(Other)
        }
        ("", None) => Err(Other),
        (alias, None) => Ok(alias.to_owned()),
    };
    select.iter().enumerate().map(name).collect()
}

fn has_aggregate(node: &Value) -> bool {
    match node {
        Value::Array(items) => items.iter().any(has_aggregate),
        Value::Object(fields) => {
            (text(node, "class") == "FUNCTION" && measure_kind(node).is_some())
                || fields.values().any(has_aggregate)
        }
        _ => false,
    }
}

fn measure_kind(function: &Value) -> Option<MeasureKind> {
    match (text(function, "function_name").to_ascii_lowercase().as_str(), items(function, "children").len()) {
        ("count_star", 0) | ("count", 0) => Some(MeasureKind::Rows),
        ("count", 1) => Some(MeasureKind::Values),
        ("sum", 1) => Some(MeasureKind::Sum),
        _ => None,
    }
}

/// A canonical expression over the kept result's keys.
fn on_keys(node: &Value, keys: &[Value]) -> Cut<Value> {
    if let Some(at) = keys.iter().position(|key| key == node) {
        return Ok(column(&key_name(at)));
    }
    match node {
        Value::Array(items) => items.iter().map(|item| on_keys(item, keys)).collect(),
        Value::Object(_) if text(node, "class") == "COLUMN_REF" => Err(Other),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| Ok((name.clone(), on_keys(field, keys)?)));
            Ok(Value::Object(fields.collect::<Cut<_>>()?))
        }
        _ => Ok(node.clone()),
    }
}

/// Whether a condition leaves one value of a key.
fn pin(condition: &Value, keys: &[Value]) -> Option<Pinned> {
    if text(condition, "type") != "COMPARE_EQUAL" {
        return None;
    }
    let key = |node: &Value| {
        let name = match items(node, "column_names") {
            [name] if text(node, "class") == "COLUMN_REF" => name.as_str()?,
            _ => return None,
        };
        (0..keys.len()).find(|at| key_name(*at) == name)
    };
    let (left, right) = (&condition["left"], &condition["right"]);
    let (key, value) = match (key(left), key(right)) {
        (Some(key), None) => (key, right),
        (None, Some(key)) => (key, left),
        _ => return None,
    };
    let parameter =
        |node: &Value| (text(node, "class") == "PARAMETER").then(|| text(node, "identifier").to_owned());
    if let Some(parameter) = parameter(value) {
        return Some(Pinned { key, parameter, text: false });
    }
    let changes_text = ["upper", "lower", "trim"].contains(&text(value, "function_name"));
    match items(value, "children") {
        [argument] if changes_text => Some(Pinned { key, parameter: parameter(argument)?, text: true }),
        _ => None,
    }
}

struct Relation {
    alias: String,
    layout: TableLayout,
}

/// The names that a SELECT's expressions may use.
struct Scope<'a> {
    known: &'a dyn Known,
    relations: Vec<Relation>,
    /// Columns of USING: the same in all that have them.
    shared: BTreeSet<String>,
}

impl Scope<'_> {
    /// A column by its relation and name.
    fn resolve(&self, reference: &Value) -> Cut<Value> {
        let names: Vec<String> = items(reference, "column_names")
            .iter()
            .map(|name| name.as_str().unwrap_or_default().to_ascii_lowercase())
            .collect();
        let has = |relation: &Relation, name: &str| {
            relation.layout.live_columns().any(|column| column.name.eq_ignore_ascii_case(name))
        };
        let (relation, name) = match names.as_slice() {
            [name] => {
                let mut found = self.relations.iter().filter(|relation| has(relation, name));
                let first = found.next().ok_or(Other)?;
                is(found.next().is_none() || self.shared.contains(name))?;
                (first, name)
            }
            [alias, name] => {
                let named = self.relations.iter().find(|relation| relation.alias == *alias);
                (named.filter(|relation| has(relation, name)).ok_or(Other)?, name)
            }
            _ => return Err(Other),
        };
        let mut column = column(name);
        column["column_names"] = json!([relation.alias, name]);
        Ok(column)
    }

    /// An expression over one row, without its name and places, every column by its relation: equal ones are equal. Refused where it is more than
    /// that.
    fn canonical(&self, node: &Value) -> Cut<Value> {
        match node {
            Value::Array(items) => items.iter().map(|item| self.canonical(item)).collect(),
            Value::Object(fields) => {
                match text(node, "class") {
                    "COLUMN_REF" => return self.resolve(node),
                    "FUNCTION" => {
                        let plain = self.known.is_plain(&text(node, "function_name").to_ascii_lowercase());
                        is(plain
                            && node["filter"].is_null()
                            && items(&node["order_bys"], "orders").is_empty())?;
                    }
                    // Not an expression: a type, a list of orders.
                    "" | "CONSTANT" | "PARAMETER" | "COMPARISON" | "CONJUNCTION" | "OPERATOR" | "CAST"
                    | "CASE" | "BETWEEN" => {}
                    _ => return Err(Other),
                }
                let class = text(node, "class");
                let field = |(name, field): (&String, &Value)| {
                    let field = match name.as_str() {
                        // A type's alias is its name.
                        "alias" if !class.is_empty() => "".into(),
                        "query_location" => 0.into(),
                        "value" if class == "CONSTANT" => field.clone(),
                        _ => self.canonical(field)?,
                    };
                    Ok((name.clone(), field))
                };
                Ok(Value::Object(fields.iter().map(field).collect::<Cut<_>>()?))
            }
            _ => Ok(node.clone()),
        }
    }
}

/// Turns what stood above the grouping into what stands above the kept result.
struct Rest<'a> {
    scope: &'a Scope<'a>,
    keys: &'a [Value],
    groups: usize,
    measures: Vec<(Measure, Option<Value>, Option<Value>)>,
}

impl Rest<'_> {
    fn replace(&mut self, node: &Value) -> Cut<Value> {
        match node {
            Value::Array(items) => items.iter().map(|item| self.replace(item)).collect(),
            Value::Object(fields) => {
                if fields.contains_key("class") {
                    if let Ok(canonical) = self.scope.canonical(node) {
                        let key = self.keys[..self.groups].iter().position(|key| *key == canonical);
                        if let Some(at) = key {
                            return Ok(aliased(column(&key_name(at)), text(node, "alias")));
                        }
                    }
                    match text(node, "class") {
                        "FUNCTION" => {
                            if let Some(kind) = measure_kind(node) {
                                let at = self.measure(kind, node)?;
                                return Ok(aliased(column(&measure_name(at)), text(node, "alias")));
                            }
                            let name = text(node, "function_name").to_ascii_lowercase();
                            is(self.scope.known.is_plain(&name) && node["filter"].is_null())?;
                        }
                        "CONSTANT" => return Ok(node.clone()),
                        "PARAMETER" | "COMPARISON" | "CONJUNCTION" | "OPERATOR" | "CAST" | "CASE"
                        | "BETWEEN" => {}
                        // A column that is not grouped by, a window, a subquery.
                        _ => return Err(Other),
                    }
                }
                let fields = fields.iter().map(|(name, field)| Ok((name.clone(), self.replace(field)?)));
                Ok(Value::Object(fields.collect::<Cut<_>>()?))
            }
            _ => Ok(node.clone()),
        }
    }

    fn measure(&mut self, kind: MeasureKind, function: &Value) -> Cut<usize> {
        is(function["distinct"] == false && items(&function["order_bys"], "orders").is_empty())?;
        is(!has(&function["children"], "PARAMETER") && !has(&function["filter"], "PARAMETER"))?;
        let argument = items(function, "children").first().map(|of| self.scope.canonical(of)).transpose()?;
        let filter = match &function["filter"] {
            Value::Null => None,
            filter => Some(self.scope.canonical(filter)?),
        };
        let measure = (Measure { kind, filtered: filter.is_some() }, argument, filter);
        Ok(self.measures.iter().position(|known| *known == measure).unwrap_or_else(|| {
            self.measures.push(measure);
            self.measures.len() - 1
        }))
    }

    /// ORDER BY, DISTINCT and LIMIT. A name of the result's own comes before one of a table there.
    fn modifier(&mut self, modifier: &mut Value, outputs: &[String]) -> Cut<()> {
        let mut above = |expression: &mut Value| -> Cut<()> {
            let is_output = match items(expression, "column_names") {
                [name] => outputs
                    .iter()
                    .any(|output| name.as_str().is_some_and(|name| output.eq_ignore_ascii_case(name))),
                _ => false,
            };
            if !is_output && text(expression, "class") != "CONSTANT" && text(expression, "class") != "STAR" {
                *expression = self.replace(expression)?;
            }
            Ok(())
        };
        match text(modifier, "type") {
            "ORDER_MODIFIER" => {
                let orders = modifier["orders"].as_array_mut().ok_or(Other)?;
                orders.iter_mut().try_for_each(|order| above(&mut order["expression"]))
            }
            "DISTINCT_MODIFIER" => {
                modifier["distinct_on_targets"].as_array_mut().ok_or(Other)?.iter_mut().try_for_each(above)
            }
            "LIMIT_MODIFIER" | "LIMIT_PERCENT_MODIFIER" => {
                is(!has(modifier, "COLUMN_REF") && !has(modifier, "SUBQUERY"))
            }
            _ => Err(Other),
        }
    }
}
