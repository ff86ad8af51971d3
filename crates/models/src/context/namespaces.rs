//! Names by their names: `context`, with what templates add to it, and the macros of a package. Both are dicts to Python.

use std::{any::Any, cell::RefCell, rc::Rc};

use super::scene::Scene;
use crate::{
    jinja::{fail, Args, Eval, Interpreter, Object, Value},
    parse::macros::LIBRARY,
};

/// What templates have added to `context`, and from where on it is seen: to dbt a macro's names are those that were there when it was called, so that the template which adds one does not
/// see it by its name, and the macros that it calls from then on do.
#[derive(Default)]
pub(super) struct Added {
    entries: RefCell<Vec<(Rc<str>, Option<Value>)>>,
    seen: std::cell::Cell<usize>,
}

impl Added {
    /// What was made of a name by the time that the running macro was called; `Some(None)`: it was taken out.
    pub(super) fn seen(&self, name: &str) -> Option<Option<Value>> {
        match self.seen.get() {
            0 => None,
            seen => Added::last(&self.entries.borrow()[..seen], name),
        }
    }

    /// What was made of a name by now.
    fn known(&self, name: &str) -> Option<Option<Value>> {
        Added::last(&self.entries.borrow(), name)
    }

    fn last(entries: &[(Rc<str>, Option<Value>)], name: &str) -> Option<Option<Value>> {
        entries.iter().rev().find(|(known, _)| **known == *name).map(|(_, value)| value.clone())
    }

    fn set(&self, name: &str, value: Option<Value>) {
        self.entries.borrow_mut().push((name.into(), value));
    }

    /// Does what a macro or a text that is rendered does, which sees all that there is now.
    pub(super) fn seeing<T>(&self, run: impl FnOnce() -> T) -> T {
        let before = self.seen.replace(self.entries.borrow().len());
        let done = run();
        self.seen.set(before);
        done
    }
}

/// `context`: all names by name.
pub(super) struct Context(pub(super) Rc<Scene>);

impl Context {
    fn find(&self, name: &str) -> Option<Value> {
        match self.0.added.known(name) {
            Some(value) => value,
            None => self.0.global(name),
        }
    }
}

impl Object for Context {
    fn type_name(&self) -> &'static str {
        "dict"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        self.find(name)
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        let text = |value: Option<Value>| value.unwrap_or(Value::None).to_string();
        match name {
            "get" => {
                let [key, default] = args.bind("get", ["key", "default"])?;
                Ok(self.find(&text(key)).or(default).unwrap_or(Value::None))
            }
            "update" => {
                // Whatever a dict takes.
                let new = Value::dict::<Value>([]);
                new.method(interpreter, "update", args)?;
                if let Value::Dict(entries) = &new {
                    for (key, value) in entries.borrow().iter() {
                        self.0.added.set(&key.to_string(), Some(value.clone()));
                    }
                }
                Ok(Value::None)
            }
            "setdefault" => {
                let [key, default] = args.bind("setdefault", ["key", "default"])?;
                let key = text(key);
                Ok(self.find(&key).unwrap_or_else(|| {
                    let value = default.unwrap_or(Value::None);
                    self.0.added.set(&key, Some(value.clone()));
                    value
                }))
            }
            "pop" => {
                let [key, default] = args.bind("pop", ["key", "default"])?;
                let key = text(key);
                match (self.find(&key), default) {
                    (Some(value), _) => {
                        self.0.added.set(&key, None);
                        Ok(value)
                    }
                    (None, Some(default)) => Ok(default),
                    (None, None) => fail(format!("the context has no `{key}`")),
                }
            }
            _ => match self.find(name) {
                Some(value) => value.call(interpreter, args),
                None => fail(format!("the context has no `{name}`")),
            },
        }
    }

    fn is_mapping(&self) -> bool {
        true
    }

    fn has(&self, key: &Value) -> Option<bool> {
        Some(matches!(key, Value::Str(name) if self.find(name).is_some()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The macros of a package: `dbt_utils.star`.
pub(super) struct Package {
    pub(super) scene: Rc<Scene>,
    pub(super) name: String,
}

impl Package {
    fn find(&self, name: &str) -> Option<Value> {
        if let Some(overridden) = self.scene.overridden_macro(&format!("{}.{name}", self.name)) {
            return Some(overridden);
        }
        match self.scene.world.macros.of_package(&self.name, name) {
            Some(entry) => Some(self.scene.macro_value(entry)),
            // Some of what dbt has as macros is built in here.
            None if self.name == LIBRARY => self.scene.builtin(name),
            None => None,
        }
    }

    fn names(&self) -> Vec<Value> {
        self.scene.world.macros.names_of(&self.name).map(Value::from).collect()
    }
}

impl Object for Package {
    fn type_name(&self) -> &'static str {
        "package"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        self.find(name)
    }

    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        // A macro of such a name comes behind Python's.
        match name {
            "get" => {
                let [key, default] = args.bind("get", ["key", "default"])?;
                let key = key.unwrap_or(Value::None).to_string();
                Ok(self.find(&key).or(default).unwrap_or(Value::None))
            }
            "keys" => Ok(Value::list(self.names())),
            "values" | "items" => {
                let entries = self.names().into_iter().filter_map(|key| {
                    let value = self.find(&key.to_string())?;
                    Some(if name == "items" { Value::tuple([key, value]) } else { value })
                });
                Ok(Value::list(entries))
            }
            _ => match self.find(name) {
                Some(value) => value.call(interpreter, args),
                None => fail(format!("the package `{}` has no macro `{name}`", self.name)),
            },
        }
    }

    fn is_mapping(&self) -> bool {
        true
    }

    fn has(&self, key: &Value) -> Option<bool> {
        Some(matches!(key, Value::Str(name) if self.find(name).is_some()))
    }

    fn items(&self) -> Option<Vec<Value>> {
        Some(self.names())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
