//! The functions that every template has: `range`, `dict`, `namespace`, `cycler`, `joiner`.

use std::{any::Any, cell::RefCell, rc::Rc};

use super::{
    error::{fail, Eval},
    eval::Interpreter,
    methods, python,
    value::{Args, Dict, Object, Value},
};

/// What `range` makes at most: what is larger is a mistake, and would fill the memory. Jinja2's sandbox has this bound.
const RANGE_MAX: i64 = 100_000;

/// A function that every template has.
pub(super) fn function(name: &str) -> Option<Value> {
    Some(match name {
        "range" | "dict" | "namespace" | "cycler" | "joiner" => Value::object(Function(name.into())),
        _ => return None,
    })
}

struct Function(Rc<str>);

impl Object for Function {
    fn type_name(&self) -> &'static str {
        "function"
    }

    fn call(&self, _: &Interpreter, args: Args) -> Eval<Value> {
        match &*self.0 {
            "range" => range(args),
            "cycler" => Ok(Value::object(Cycler { items: args.positional, at: RefCell::new(0) })),
            "joiner" => {
                let [separator] = args.bind("joiner", ["sep"])?;
                let separator = separator.unwrap_or_else(|| Value::from(", "));
                Ok(Value::object(Joiner { separator, used: RefCell::new(false) }))
            }
            which => {
                let dict = Value::dict::<Value>([]);
                methods::call(&Interpreter::new(Rc::new(Nothing)), &dict, "update", args)?;
                match (which, dict) {
                    ("namespace", Value::Dict(entries)) => Ok(Value::object(Namespace(entries))),
                    (_, dict) => Ok(dict),
                }
            }
        }
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A host that knows no name.
struct Nothing;

impl super::Host for Nothing {
    fn global(&self, _: &Interpreter, _: &str) -> Option<Value> {
        None
    }
}

fn range(args: Args) -> Eval<Value> {
    let [first, second, step] = args.bind("range", ["start", "stop", "step"])?;
    let (start, stop) = match (first, second) {
        (Some(stop), None) => (Value::Int(0), stop),
        (Some(start), Some(stop)) => (start, stop),
        _ => return fail("range() takes a number"),
    };
    let step = step.unwrap_or(Value::Int(1));
    let (Some(start), Some(stop), Some(step)) = (start.as_int(), stop.as_int(), step.as_int()) else {
        return fail("range() takes integers");
    };
    if step == 0 {
        return fail("range() arg 3 must not be zero");
    }
    if (stop - start) / step > RANGE_MAX {
        return fail(format!("a range of more than {RANGE_MAX}"));
    }
    let mut items = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        items.push(Value::Int(at));
        at += step;
    }
    Ok(Value::list(items))
}

/// `namespace()`: attributes that can be assigned from within loops.
struct Namespace(Rc<RefCell<Dict>>);

impl Object for Namespace {
    fn type_name(&self) -> &'static str {
        "Namespace"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        self.0.borrow().get(&Value::from(name)).cloned()
    }

    fn assign(&self, name: &str, value: Value) -> Eval<()> {
        self.0.borrow_mut().insert(Value::from(name), value);
        Ok(())
    }

    fn text(&self) -> String {
        format!("<Namespace {}>", python::repr(&Value::Dict(self.0.clone())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Cycler {
    items: Vec<Value>,
    at: RefCell<usize>,
}

impl Object for Cycler {
    fn type_name(&self) -> &'static str {
        "Cycler"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        (name == "current").then(|| self.items.get(*self.at.borrow()).cloned())?
    }

    fn call_method(&self, _: &Interpreter, name: &str, _: Args) -> Eval<Value> {
        let mut at = self.at.borrow_mut();
        match name {
            "next" if !self.items.is_empty() => {
                let item = self.items[*at].clone();
                *at = (*at + 1) % self.items.len();
                Ok(item)
            }
            "reset" => {
                *at = 0;
                Ok(Value::None)
            }
            _ => fail(format!("'Cycler' has no method `{name}`")),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Joiner {
    separator: Value,
    used: RefCell<bool>,
}

impl Object for Joiner {
    fn type_name(&self) -> &'static str {
        "Joiner"
    }

    fn call(&self, _: &Interpreter, _: Args) -> Eval<Value> {
        let used = self.used.replace(true);
        Ok(if used { self.separator.clone() } else { Value::from("") })
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
