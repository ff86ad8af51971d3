//! Statements that templates run, and what they gave: `statement`, `load_result`, `store_result`; and what the library's macros ask of the engine.

use std::{any::Any, rc::Rc};

use super::{scene::Scene, table::Table};
use crate::jinja::{fail, Args, Eval, Interpreter, Object, Value};

impl Scene {
    pub(super) fn statement(self: &Rc<Self>, interpreter: &Interpreter, mut args: Args) -> Eval<Value> {
        let caller = args.take("caller").unwrap_or(Value::None);
        let [name, fetch, begin, language] =
            args.bind("statement", ["name", "fetch_result", "auto_begin", "language"])?;
        let Some(live) = &self.live else { return Ok(Value::from("")) };
        if language.is_some_and(|language| language.to_string() != "sql") {
            return fail("a statement is SQL");
        }
        let sql = caller.call(interpreter, Args::default())?.to_string();
        let begin = begin.is_none_or(|begin| begin.truth());
        let name = name.filter(|name| !name.is_nothing()).map(|name| name.to_string());
        if name.as_deref() == Some("main") {
            live.write(&sql);
        }
        let (response, table) = live.execute(&sql, fetch.is_some_and(|fetch| fetch.truth()), begin)?;
        if let Some(name) = name {
            self.store(&name, response, Value::object(table));
        }
        Ok(Value::from(""))
    }

    /// `store_result(name, response, agate_table)`.
    pub(super) fn store_result(&self, args: Args) -> Eval<Value> {
        let [name, response, table] = args.bind("store_result", ["name", "response", "agate_table"])?;
        let name = name.unwrap_or(Value::None).to_string();
        self.store(&name, response.unwrap_or(Value::None), table.unwrap_or(Value::None));
        Ok(Value::from(""))
    }

    /// `store_raw_result(name, message, code, rows_affected, agate_table)`: the response is made of its parts.
    pub(super) fn store_raw_result(&self, args: Args) -> Eval<Value> {
        let [name, message, code, rows, table] =
            args.bind("store_raw_result", ["name", "message", "code", "rows_affected", "agate_table"])?;
        let parts = [("_message", message), ("code", code), ("rows_affected", rows)];
        let said =
            parts.into_iter().filter_map(|(key, value)| Some((key, value.filter(|v| !v.is_nothing())?)));
        let response = Value::dict(said.collect::<Vec<_>>());
        self.store(&name.unwrap_or(Value::None).to_string(), response, table.unwrap_or(Value::None));
        Ok(Value::from(""))
    }

    /// The response and the rows of a statement that was stored under a name.
    pub fn result(&self, name: &str) -> Option<(Value, Table)> {
        let results = self.results.borrow();
        let result = results.iter().find(|(known, _)| known == name).map(|(_, result)| result)?;
        let table = result.get("table").and_then(|table| table.downcast::<Table>().cloned());
        Some((result.get("response")?, table.unwrap_or_else(Table::empty)))
    }

    /// The macro of a snapshot's strategy: `NAME`, or `PACKAGE.NAME`.
    fn snapshot_strategy(self: &Rc<Self>, args: Args) -> Eval<Value> {
        let [given] = args.bind("strategy_dispatch", ["name"])?;
        let given = given.unwrap_or(Value::None).to_string();
        let macro_of = |name: &str| format!("snapshot_{name}_strategy");
        let found = match given.split_once('.') {
            Some((package, name)) => self.world.macros.of_package(package, &macro_of(name)),
            None => self.find_macro(&macro_of(&given)),
        };
        match found {
            Some(entry) => Ok(self.macro_value(entry)),
            None => {
                let name = given.rsplit('.').next().unwrap_or_default();
                fail(format!(
                    "there is no snapshot strategy `{given}`, as no macro is named `{}`",
                    macro_of(name)
                ))
            }
        }
    }

    fn store(&self, name: &str, response: Value, table: Value) {
        let table = if table.is_nothing() { Value::object(Table::empty()) } else { table };
        let data = table.downcast::<Table>().map_or(Value::None, Table::data);
        let result = Value::dict([("response", response), ("data", data), ("table", table)]);
        let mut results = self.results.borrow_mut();
        results.retain(|(known, _)| known != name);
        results.push((name.to_owned(), result));
    }

    pub(super) fn load_result(&self, args: Args) -> Eval<Value> {
        let [name] = args.bind("load_result", ["name"])?;
        let name = name.unwrap_or(Value::None).to_string();
        let results = self.results.borrow();
        let found = results.iter().find(|(known, _)| *known == name).map(|(_, result)| result.clone());
        Ok(found.unwrap_or(Value::None))
    }
}

/// What the engine does for the library's parts of materializations.
pub(super) struct Planned(pub(super) Rc<Scene>);

impl Object for Planned {
    fn type_name(&self) -> &'static str {
        "_millstream"
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match &self.0.live {
            Some(_) if name == "snapshot_strategy" => self.0.snapshot_strategy(args),
            Some(live) => live.planned(name, args),
            None => Ok(Value::from("")),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
