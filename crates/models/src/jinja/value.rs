//! Values as Python has them: lists and dicts are shared and can be changed, everything has a truth, an order and two texts.

use std::{
    any::Any,
    cell::RefCell,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    rc::Rc,
};

use indexmap::IndexMap;

use super::{
    error::{fail, Eval},
    eval::Interpreter,
    methods, python,
};

/// A dict: in the order of insertion.
pub type Dict = IndexMap<Value, Value>;

/// A value. Cloning shares lists, dicts and objects.
#[derive(Clone)]
pub enum Value {
    /// A name that means nothing, with the name. Renders as nothing, is false, has any attribute; calling it fails.
    Undefined(Rc<str>),
    /// `none`
    None,
    /// `true`, `false`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Str(Rc<str>),
    /// A list.
    List(Rc<RefCell<Vec<Value>>>),
    /// A tuple.
    Tuple(Rc<[Value]>),
    /// A dict.
    Dict(Rc<RefCell<Dict>>),
    /// Anything else: functions, relations, columns.
    Object(Rc<dyn Object>),
}

/// Arguments of a call.
#[derive(Debug, Clone, Default)]
pub struct Args {
    /// In order.
    pub positional: Vec<Value>,
    /// By name.
    pub named: Vec<(Rc<str>, Value)>,
}

impl Args {
    /// Positional ones alone.
    pub fn of(positional: impl IntoIterator<Item = Value>) -> Self {
        Args { positional: positional.into_iter().collect(), named: Vec::new() }
    }

    /// Binds the arguments to these parameters. Those not given are `None`; one too many, one given twice or an unknown name is an error.
    pub fn bind<const N: usize>(self, function: &str, parameters: [&str; N]) -> Eval<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let given = self.positional.len();
            return fail(format!("{function}() takes {N} arguments, {given} were given"));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match parameters.iter().position(|parameter| *parameter == &*name) {
                Some(at) if bound[at].is_none() => bound[at] = Some(value),
                Some(_) => return fail(format!("{function}() got `{name}` twice")),
                None => return fail(format!("{function}() has no parameter `{name}`")),
            }
        }
        Ok(bound)
    }

    /// A named argument, taken out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.named.iter().position(|(key, _)| &**key == name)?;
        Some(self.named.remove(at).1)
    }
}

/// What is neither a Python literal nor a container of them.
pub trait Object: Any {
    /// Its type, as messages name it.
    fn type_name(&self) -> &'static str;

    /// An attribute or item; `None` where there is none of that name.
    fn attribute(&self, _interpreter: &Interpreter, _name: &str) -> Option<Value> {
        None
    }

    /// Calls it.
    fn call(&self, _interpreter: &Interpreter, _args: Args) -> Eval<Value> {
        fail(format!("'{}' object is not callable", self.type_name()))
    }

    /// Calls a method. The default calls the attribute.
    fn call_method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match self.attribute(interpreter, name) {
            Some(attribute) => attribute.call(interpreter, args),
            None => fail(format!("'{}' has no method `{name}`", self.type_name())),
        }
    }

    /// Whether it can be called.
    fn is_callable(&self) -> bool {
        false
    }

    /// Whether it is `mapping`: what has `get()` and items by name to Python, whether it can be gone through or not.
    fn is_mapping(&self) -> bool {
        false
    }

    /// Whether it has a key; `None`: that is found by going through it.
    fn has(&self, _key: &Value) -> Option<bool> {
        None
    }

    /// Its items, where it can be gone through.
    fn items(&self) -> Option<Vec<Value>> {
        None
    }

    /// Assigns an attribute: namespaces alone.
    fn assign(&self, name: &str, _value: Value) -> Eval<()> {
        fail(format!("can't assign `{name}` of '{}'", self.type_name()))
    }

    /// Its truth.
    fn truth(&self) -> bool {
        true
    }

    /// As it renders.
    fn text(&self) -> String {
        format!("<{}>", self.type_name())
    }

    /// As it stands in a list that renders.
    fn repr(&self) -> String {
        self.text()
    }

    /// The number that it is, where it is one.
    fn number(&self) -> Option<f64> {
        None
    }

    /// Whether it equals another.
    fn equals(&self, _other: &Value) -> bool {
        false
    }

    /// The number with so many digits behind the point, half to the even one, where its digits are exact.
    fn fixed(&self, _places: usize) -> Option<String> {
        None
    }

    /// The result of an operator of its own: `+`, `-`, `*`, `/`, `//`, `%`, `**`, each behind an `r` where it stands on the right; `cmp` for a negative, zero or positive order;
    /// of numbers `round` to so many places, and `neg`, `abs`, `int`, `floor` and `ceil`, which look at nothing on the right.
    fn operate(&self, _operator: &str, _right: &Value) -> Option<Eval<Value>> {
        None
    }

    /// For looking at the type behind it.
    fn as_any(&self) -> &dyn Any;
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&python::repr(self))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Str(text) => f.write_str(text),
            other => f.write_str(&python::text(other)),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::None, Into::into)
    }
}

impl Value {
    /// A new list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Value::List(Rc::new(RefCell::new(items.into_iter().collect())))
    }

    /// A new dict.
    pub fn dict<K: Into<Value>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Value::Dict(Rc::new(RefCell::new(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())))
    }

    /// A tuple.
    pub fn tuple(items: impl IntoIterator<Item = Value>) -> Self {
        Value::Tuple(items.into_iter().collect())
    }

    /// An object.
    pub fn object(object: impl Object) -> Self {
        Value::Object(Rc::new(object))
    }

    /// A value of JSON.
    pub fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::None,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(int) => Value::Int(int),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::from(text.as_str()),
            serde_json::Value::Array(items) => Value::list(items.iter().map(Value::from_json)),
            serde_json::Value::Object(entries) => {
                Value::dict(entries.iter().map(|(key, value)| (key.as_str(), Value::from_json(value))))
            }
        }
    }

    /// As JSON. Objects as their text; keys as theirs.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Undefined(_) | Value::None => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => {
                serde_json::Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into)
            }
            Value::Str(text) => serde_json::Value::String(text.to_string()),
            Value::List(items) => items.borrow().iter().map(Value::to_json).collect(),
            Value::Tuple(items) => items.iter().map(Value::to_json).collect(),
            Value::Dict(entries) => serde_json::Value::Object(
                entries.borrow().iter().map(|(key, value)| (key.to_string(), value.to_json())).collect(),
            ),
            Value::Object(object) => serde_json::Value::String(object.text()),
        }
    }

    /// Its type's name in Python.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Object(object) => object.type_name(),
        }
    }

    /// Its truth.
    pub fn truth(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(items) => !items.borrow().is_empty(),
            Value::Tuple(items) => !items.is_empty(),
            Value::Dict(entries) => !entries.borrow().is_empty(),
            Value::Object(object) => object.truth(),
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer or boolean.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// The number of anything numeric.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Object(object) => object.number(),
            other => other.as_int().map(|value| value as f64),
        }
    }

    /// An object of this type.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        match self {
            Value::Object(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Whether it is `none` or undefined.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::None | Value::Undefined(_))
    }

    /// Its items; an error where it can't be gone through. Going through a dict gives its keys.
    pub fn items(&self) -> Eval<Vec<Value>> {
        match self {
            Value::List(items) => Ok(items.borrow().clone()),
            Value::Tuple(items) => Ok(items.to_vec()),
            Value::Dict(entries) => Ok(entries.borrow().keys().cloned().collect()),
            Value::Str(text) => Ok(text.chars().map(|c| Value::from(c.to_string())).collect()),
            Value::Undefined(_) => Ok(Vec::new()),
            Value::Object(object) => match object.items() {
                Some(items) => Ok(items),
                None => fail(format!("'{}' object is not iterable", object.type_name())),
            },
            other => fail(format!("'{}' object is not iterable", other.type_name())),
        }
    }

    /// How many items it has.
    pub fn length(&self) -> Eval<usize> {
        match self {
            Value::List(items) => Ok(items.borrow().len()),
            Value::Tuple(items) => Ok(items.len()),
            Value::Dict(entries) => Ok(entries.borrow().len()),
            Value::Str(text) => Ok(text.chars().count()),
            Value::Undefined(_) => Ok(0),
            other => match other.items() {
                Ok(items) => Ok(items.len()),
                Err(_) => fail(format!("object of type '{}' has no len()", other.type_name())),
            },
        }
    }

    /// Calls a method of it.
    pub fn method(&self, interpreter: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        methods::call(interpreter, self, name, args)
    }

    /// Whether it can be called.
    pub fn is_callable(&self) -> bool {
        matches!(self, Value::Object(object) if object.is_callable())
    }

    /// Calls it.
    pub fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        match self {
            Value::Object(object) => object.call(interpreter, args),
            Value::Undefined(_) if interpreter.is_lenient() => Ok(self.clone()),
            Value::Undefined(name) => fail(format!(
                "'{name}' is undefined. This can happen when calling a macro that does not exist; check for typos and \
                 that the package that has it is installed"
            )),
            other => fail(format!("'{}' object is not callable", other.type_name())),
        }
    }

    /// An error unless it can be a key of a dict.
    pub fn check_hashable(&self) -> Eval<()> {
        match self {
            Value::List(_) | Value::Dict(_) => fail(format!("unhashable type: '{}'", self.type_name())),
            Value::Tuple(items) => items.iter().try_for_each(Value::check_hashable),
            _ => Ok(()),
        }
    }

    /// The value of a key, where it is a dict that has it.
    pub fn get(&self, key: &str) -> Option<Value> {
        match self {
            Value::Dict(entries) => entries.borrow().get(&Value::from(key)).cloned(),
            _ => None,
        }
    }

    /// Which is first, where they can be compared.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Str(left), Value::Str(right)) => Some(left.cmp(right)),
            (Value::List(left), Value::List(right)) => compare_all(&left.borrow(), &right.borrow()),
            (Value::Tuple(left), Value::Tuple(right)) => compare_all(left, right),
            _ => match (self.as_int(), other.as_int()) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => {
                    let own = |left: &Value, right: &Value| {
                        let sign = super::methods::operate(left, "cmp", right)?.ok()?;
                        sign.as_int().map(|sign| sign.cmp(&0))
                    };
                    own(self, other)
                        .or_else(|| own(other, self).map(Ordering::reverse))
                        .or_else(|| self.as_float()?.partial_cmp(&other.as_float()?))
                }
            },
        }
    }
}

fn compare_all(left: &[Value], right: &[Value]) -> Option<Ordering> {
    for (left, right) in left.iter().zip(right) {
        match left.compare(right)? {
            Ordering::Equal => {}
            other => return Some(other),
        }
    }
    Some(left.len().cmp(&right.len()))
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
            (Value::Str(left), Value::Str(right)) => left == right,
            (Value::List(left), Value::List(right)) => Rc::ptr_eq(left, right) || left == right,
            (Value::Tuple(left), Value::Tuple(right)) => left == right,
            (Value::Dict(left), Value::Dict(right)) => Rc::ptr_eq(left, right) || left == right,
            (Value::Object(left), Value::Object(right)) => {
                Rc::ptr_eq(left, right) || left.equals(other) || right.equals(self)
            }
            (Value::Object(left), _) => left.equals(other),
            (_, Value::Object(right)) => right.equals(self),
            _ => match (self.as_int(), other.as_int()) {
                (Some(left), Some(right)) => left == right,
                _ => match (self.as_float(), other.as_float()) {
                    (Some(left), Some(right)) => left == right,
                    _ => false,
                },
            },
        }
    }
}

// A float that is not a number is not equal to itself; as a key that only means that it is never found.
impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Value::Undefined(_) => 0u8.hash(state),
            Value::None => 1u8.hash(state),
            // Equal numbers hash alike, whatever their type.
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                let number = self.as_float().unwrap_or_default();
                (number + 0.0).to_bits().hash(state);
            }
            Value::Str(text) => text.hash(state),
            Value::Tuple(items) => items.hash(state),
            // Equal by content or by identity: one bucket for all is right, and they are hardly ever keys.
            Value::List(_) | Value::Dict(_) | Value::Object(_) => 2u8.hash(state),
        }
    }
}
