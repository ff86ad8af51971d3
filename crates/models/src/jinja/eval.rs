//! The evaluator: walks a template and renders it, with Jinja2's scopes and dbt's `return`.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use super::{
    ast::{Argument, Comparison, Const, Expr, ExprKind, For, Macro, Stmt, Target, Template},
    error::{fail, Eval, Interrupt, JinjaError},
    filters, functions, methods, ops, predicates,
    value::{Args, Object, Value},
};

/// Calls within calls. dbt's own bound is Python's, about a third of this; each level takes some kilobytes of the thread's stack.
const DEPTH_MAX: u32 = 400;

/// What gives names their meaning that a template doesn't define itself.
pub trait Host {
    /// The value of a name; `None` makes it undefined.
    fn global(&self, interpreter: &Interpreter, name: &str) -> Option<Value>;
}

/// Renders templates against a host. Not shared between threads.
pub struct Interpreter {
    host: Rc<dyn Host>,
    depth: Cell<u32>,
    /// Whether calling what is undefined gives the undefined again, as dbt has it while it parses.
    lenient: bool,
}

/// Names and values, and where to look further.
pub(super) struct Scope {
    names: RefCell<Vec<(Arc<str>, Value)>>,
    parent: Option<Rc<Scope>>,
}

impl Scope {
    fn new(parent: Option<Rc<Scope>>) -> Rc<Self> {
        Rc::new(Scope { names: RefCell::default(), parent })
    }

    fn get(&self, name: &str) -> Option<Value> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some((_, value)) = here.names.borrow().iter().find(|(key, _)| &**key == name) {
                return Some(value.clone());
            }
            scope = here.parent.as_deref();
        }
        None
    }

    fn set(&self, name: &Arc<str>, value: Value) {
        let mut names = self.names.borrow_mut();
        match names.iter_mut().find(|(key, _)| key == name) {
            Some((_, place)) => *place = value,
            None => names.push((name.clone(), value)),
        }
    }
}

/// Where the evaluator stands.
#[derive(Clone)]
pub(super) struct Frame {
    scope: Rc<Scope>,
    file: Arc<str>,
}

impl Frame {
    fn inner(&self) -> Frame {
        Frame { scope: Scope::new(Some(self.scope.clone())), file: self.file.clone() }
    }
}

enum Flow {
    Next,
    Break,
    Continue,
}

impl Interpreter {
    /// An interpreter for a host.
    pub fn new(host: Rc<dyn Host>) -> Self {
        Interpreter { host, depth: Cell::new(0), lenient: false }
    }

    /// The same, for which calling what is undefined is no error but undefined: so a project is parsed that calls what only a run knows.
    pub fn lenient(host: Rc<dyn Host>) -> Self {
        Interpreter { host, depth: Cell::new(0), lenient: true }
    }

    pub(super) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Renders a template to text.
    ///
    /// A `return` outside of any macro is an error.
    pub fn render(&self, template: &Template, locals: &[(Arc<str>, Value)]) -> Result<String, JinjaError> {
        let frame = self.frame(&template.file, locals);
        let mut out = String::new();
        outermost(self.stmts(&template.body, &frame, &mut out).map(|_| out), &template.file)
    }

    /// Renders a template that is one expression to its value, any other to text.
    pub fn render_native(
        &self,
        template: &Template,
        locals: &[(Arc<str>, Value)],
    ) -> Result<Value, JinjaError> {
        let [Stmt::Emit(expr)] = &template.body[..] else {
            return self.render(template, locals).map(Value::from);
        };
        let frame = self.frame(&template.file, locals);
        outermost(self.expr(expr, &frame), &template.file)
    }

    fn frame(&self, file: &Arc<str>, locals: &[(Arc<str>, Value)]) -> Frame {
        let scope = Scope::new(None);
        scope.names.borrow_mut().extend(locals.iter().cloned());
        Frame { scope, file: file.clone() }
    }

    /// Calls a macro. Its value is what it returned, or the text it rendered.
    pub fn call_macro(&self, definition: &Arc<Macro>, args: Args) -> Eval<Value> {
        match self.run_macro(definition, None, args) {
            Err(Interrupt::Return(value)) => Ok(value),
            Err(Interrupt::Error(mut error)) => {
                error.called_by.push((definition.name.clone(), definition.file.clone()));
                Err(Interrupt::Error(error))
            }
            text => text,
        }
    }

    fn run_macro(&self, definition: &Arc<Macro>, closure: Option<Rc<Scope>>, mut args: Args) -> Eval<Value> {
        if self.depth.get() >= DEPTH_MAX {
            return fail(format!("macros call each other more than {DEPTH_MAX} deep"));
        }
        let frame = Frame { scope: Scope::new(closure), file: definition.file.clone() };
        let name = &definition.name;
        let caller = args.take("caller");
        frame.scope.set(&Arc::from("caller"), caller.unwrap_or_else(|| Value::Undefined("caller".into())));
        let given = args.positional.len();
        let mut positional = args.positional.into_iter();
        for (parameter, default) in &definition.parameters {
            let value = match positional.next() {
                Some(value) => {
                    if args.named.iter().any(|(key, _)| **key == **parameter) {
                        return fail(format!("macro `{name}` got `{parameter}` twice"));
                    }
                    value
                }
                None => match args.named.iter().position(|(key, _)| **key == **parameter) {
                    Some(at) => args.named.remove(at).1,
                    None => match default {
                        Some(default) => self.expr(default, &frame)?,
                        None => Value::Undefined(Rc::from(&**parameter)),
                    },
                },
            };
            frame.scope.set(parameter, value);
        }
        let varargs: Vec<Value> = positional.collect();
        if definition.takes_varargs {
            frame.scope.set(&Arc::from("varargs"), Value::tuple(varargs));
        } else if !varargs.is_empty() {
            let takes = definition.parameters.len();
            return fail(format!(
                "macro `{name}` takes not more than {takes} argument(s), {given} were given"
            ));
        }
        if definition.takes_kwargs {
            let named = args.named.into_iter().map(|(key, value)| (Value::Str(key), value));
            frame.scope.set(&Arc::from("kwargs"), Value::dict(named));
        } else if let Some((key, _)) = args.named.first() {
            return fail(format!("macro `{name}` takes no keyword argument `{key}`"));
        }
        self.depth.set(self.depth.get() + 1);
        let mut out = String::new();
        let flow = self.stmts(&definition.body, &frame, &mut out);
        self.depth.set(self.depth.get() - 1);
        flow.map(|_| Value::from(out))
    }

    fn stmts(&self, stmts: &[Stmt], frame: &Frame, out: &mut String) -> Eval<Flow> {
        for stmt in stmts {
            match self.stmt(stmt, frame, out)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn stmt(&self, stmt: &Stmt, frame: &Frame, out: &mut String) -> Eval<Flow> {
        match stmt {
            Stmt::Text(text) => out.push_str(text),
            Stmt::Emit(expr) => match self.expr(expr, frame)? {
                Value::Str(text) => out.push_str(&text),
                other => out.push_str(&other.to_string()),
            },
            Stmt::Do(expr) => {
                self.expr(expr, frame)?;
            }
            Stmt::If { test, then, otherwise } => {
                let branch = if self.expr(test, frame)?.truth() { then } else { otherwise };
                return self.stmts(branch, frame, out);
            }
            Stmt::For(node) => {
                let items = self.expr(&node.iter, frame)?;
                let items = items.items().map_err(|error| at(error, &node.iter, frame))?;
                self.for_loop(node, items, frame, 1, out)?;
            }
            Stmt::Set { target, value } => {
                let value = self.expr(value, frame)?;
                self.assign(target, value, frame)?;
            }
            Stmt::SetBlock { target, filters, body } => {
                let value = self.captured(body, filters.as_ref(), &frame.inner())?;
                self.assign(target, value, frame)?;
            }
            Stmt::Filter { filters, body } => {
                out.push_str(&self.captured(body, Some(filters), &frame.inner())?.to_string());
            }
            Stmt::With { assignments, body } => {
                let inner = frame.inner();
                for (target, value) in assignments {
                    let value = self.expr(value, frame)?;
                    self.assign(target, value, &inner)?;
                }
                return self.stmts(body, &inner, out);
            }
            Stmt::Macro(definition) => {
                let closure = Closure { definition: definition.clone(), scope: frame.scope.clone() };
                frame.scope.set(&definition.name, Value::object(closure));
            }
            Stmt::Call { call, body } => {
                let caller = Value::object(Closure { definition: body.clone(), scope: frame.scope.clone() });
                let ExprKind::Call(callee, arguments) = &call.kind else {
                    return fail("a call block calls something");
                };
                let mut args = self.args(arguments, frame)?;
                args.named.push(("caller".into(), caller));
                let value = self.call(callee, args, frame).map_err(|error| at(error, call, frame))?;
                out.push_str(&value.to_string());
            }
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn captured(&self, body: &[Stmt], filters: Option<&Expr>, frame: &Frame) -> Eval<Value> {
        let mut text = String::new();
        self.stmts(body, frame, &mut text)?;
        match filters {
            None => Ok(Value::from(text)),
            Some(filters) => self.filtered(filters, Value::from(text), frame),
        }
    }

    /// Applies a chain of filters, whose innermost has no operand of its own, to a value.
    fn filtered(&self, filters: &Expr, value: Value, frame: &Frame) -> Eval<Value> {
        let ExprKind::Filter(inner, name, arguments) = &filters.kind else {
            return fail("expected a filter");
        };
        let value = match inner {
            Some(inner) => self.filtered(inner, value, frame)?,
            None => value,
        };
        let args = self.args(arguments, frame)?;
        filters::apply(self, name, value, args).map_err(|error| at(error, filters, frame))
    }

    fn for_loop(
        &self,
        node: &Arc<For>,
        items: Vec<Value>,
        frame: &Frame,
        depth: usize,
        out: &mut String,
    ) -> Eval<()> {
        let items = match &node.filter {
            None => items,
            Some(filter) => {
                let mut kept = Vec::new();
                for item in items {
                    let inner = frame.inner();
                    self.assign(&node.target, item.clone(), &inner)?;
                    if self.expr(filter, &inner)?.truth() {
                        kept.push(item);
                    }
                }
                kept
            }
        };
        if items.is_empty() {
            self.stmts(&node.otherwise, &frame.inner(), out)?;
            return Ok(());
        }
        let items: Rc<[Value]> = items.into();
        let state = Rc::new(LoopState {
            items: items.clone(),
            index: Cell::new(0),
            depth,
            changed: RefCell::default(),
            recurse: node.recursive.then(|| Recursion { node: node.clone(), frame: frame.clone() }),
        });
        let name: Arc<str> = "loop".into();
        for (index, item) in items.iter().enumerate() {
            state.index.set(index);
            let inner = frame.inner();
            inner.scope.set(&name, Value::Object(state.clone()));
            self.assign(&node.target, item.clone(), &inner)?;
            if let Flow::Break = self.stmts(&node.body, &inner, out)? {
                break;
            }
        }
        Ok(())
    }

    fn assign(&self, target: &Target, value: Value, frame: &Frame) -> Eval<()> {
        match target {
            Target::Name(name) => frame.scope.set(name, value),
            Target::Attribute(holder, name) => match self.expr(holder, frame)? {
                Value::Object(object) => object.assign(name, value)?,
                other => {
                    return fail(format!(
                        "can't assign `{name}` of '{}': it is no namespace",
                        other.type_name()
                    ))
                }
            },
            Target::Tuple(targets) => {
                let items = value.items()?;
                if items.len() != targets.len() {
                    return fail(format!("{} values for {} names", items.len(), targets.len()));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, frame)?;
                }
            }
        }
        Ok(())
    }

    fn args(&self, arguments: &[Argument], frame: &Frame) -> Eval<Args> {
        let mut args = Args::default();
        for argument in arguments {
            match argument {
                Argument::Positional(expr) => args.positional.push(self.expr(expr, frame)?),
                Argument::Named(name, expr) => {
                    args.named.push((Rc::from(&**name), self.expr(expr, frame)?));
                }
                Argument::Positionals(expr) => args.positional.extend(self.expr(expr, frame)?.items()?),
                Argument::Nameds(expr) => match self.expr(expr, frame)? {
                    Value::Dict(entries) => {
                        let entries = entries.borrow();
                        let named =
                            entries.iter().map(|(key, value)| (key.to_string().into(), value.clone()));
                        args.named.extend(named);
                    }
                    other => return fail(format!("`**` takes a dict, not {}", other.type_name())),
                },
            }
        }
        Ok(args)
    }

    fn call(&self, callee: &Expr, args: Args, frame: &Frame) -> Eval<Value> {
        match &callee.kind {
            ExprKind::Attribute(holder, name) => {
                let holder = self.expr(holder, frame)?;
                methods::call(self, &holder, name, args)
            }
            _ => self.expr(callee, frame)?.call(self, args),
        }
    }

    fn expr(&self, expr: &Expr, frame: &Frame) -> Eval<Value> {
        self.expr_kind(expr, frame).map_err(|error| at(error, expr, frame))
    }

    /// The value of a name that no scope has.
    pub fn global(&self, name: &str) -> Value {
        match self.host.global(self, name) {
            Some(value) => value,
            None => functions::function(name).unwrap_or_else(|| Value::Undefined(name.into())),
        }
    }

    fn expr_kind(&self, expr: &Expr, frame: &Frame) -> Eval<Value> {
        let value = |expr: &Expr| self.expr(expr, frame);
        Ok(match &expr.kind {
            ExprKind::Const(constant) => match constant {
                Const::None => Value::None,
                Const::Bool(value) => Value::Bool(*value),
                Const::Int(value) => Value::Int(*value),
                Const::Float(value) => Value::Float(*value),
                Const::Str(text) => Value::from(&**text),
            },
            ExprKind::Name(name) => match frame.scope.get(name) {
                Some(value) => value,
                None => self.global(name),
            },
            ExprKind::Attribute(holder, name) => methods::attribute(self, &value(holder)?, name),
            ExprKind::Item(holder, key) => ops::item(self, &value(holder)?, &value(key)?)?,
            ExprKind::Slice(holder, bounds) => {
                let holder = value(holder)?;
                let mut evaluated = [None, None, None];
                for (place, bound) in evaluated.iter_mut().zip(bounds) {
                    *place = bound.as_ref().map(|bound| value(bound)).transpose()?;
                }
                ops::slice(&holder, &evaluated)?
            }
            ExprKind::Call(callee, arguments) => {
                let args = self.args(arguments, frame)?;
                self.call(callee, args, frame)?
            }
            ExprKind::Filter(operand, name, arguments) => {
                let Some(operand) = operand else {
                    return fail("this filter has nothing to filter");
                };
                let operand = value(operand)?;
                filters::apply(self, name, operand, self.args(arguments, frame)?)?
            }
            ExprKind::Test(operand, name, arguments) => {
                let operand = value(operand)?;
                Value::Bool(predicates::test(self, name, &operand, self.args(arguments, frame)?)?)
            }
            ExprKind::Not(operand) => Value::Bool(!value(operand)?.truth()),
            ExprKind::Negative(operand) => ops::negative(&value(operand)?)?,
            ExprKind::And(left, right) => {
                let left = value(left)?;
                if left.truth() {
                    value(right)?
                } else {
                    left
                }
            }
            ExprKind::Or(left, right) => {
                let left = value(left)?;
                if left.truth() {
                    left
                } else {
                    value(right)?
                }
            }
            ExprKind::Binary(operator, left, right) => ops::binary(*operator, &value(left)?, &value(right)?)?,
            ExprKind::Compare(first, rest) => {
                let mut left = value(first)?;
                for (comparison, right) in rest {
                    let right = value(right)?;
                    if !self.compares(*comparison, &left, &right)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            ExprKind::If(test, then, otherwise) => {
                if value(test)?.truth() {
                    value(then)?
                } else {
                    match otherwise {
                        Some(otherwise) => value(otherwise)?,
                        None => Value::Undefined("the inline if without an else".into()),
                    }
                }
            }
            ExprKind::List(items) => Value::list(items.iter().map(value).collect::<Eval<Vec<_>>>()?),
            ExprKind::Tuple(items) => Value::tuple(items.iter().map(value).collect::<Eval<Vec<_>>>()?),
            ExprKind::Dict(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                for (key, entry) in entries {
                    let key = value(key)?;
                    key.check_hashable()?;
                    pairs.push((key, value(entry)?));
                }
                Value::dict(pairs)
            }
        })
    }

    fn compares(&self, comparison: Comparison, left: &Value, right: &Value) -> Eval<bool> {
        Ok(match comparison {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::In => ops::contains(right, left)?,
            Comparison::NotIn => !ops::contains(right, left)?,
            ordered => ops::ordered(ordered, left, right)?,
        })
    }
}

fn at(interrupt: Interrupt, expr: &Expr, frame: &Frame) -> Interrupt {
    match interrupt {
        Interrupt::Error(mut error) if error.spot.is_none() => {
            error.spot = Some(expr.spot);
            error.file.get_or_insert_with(|| frame.file.clone());
            Interrupt::Error(error)
        }
        other => other,
    }
}

fn outermost<T>(result: Eval<T>, file: &Arc<str>) -> Result<T, JinjaError> {
    result.map_err(|interrupt| match interrupt {
        Interrupt::Error(error) => error.in_file(file),
        Interrupt::Return(_) => JinjaError::new("`return` stands outside of any macro").in_file(file),
    })
}

/// A macro defined in the template itself, or the body of a call block: it sees the names around it. A `return` in it ends the macro of the
/// project around it, as with dbt.
struct Closure {
    definition: Arc<Macro>,
    scope: Rc<Scope>,
}

impl Object for Closure {
    fn type_name(&self) -> &'static str {
        "Macro"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        (name == "name").then(|| Value::from(&*self.definition.name))
    }

    fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        interpreter.run_macro(&self.definition, Some(self.scope.clone()), args)
    }

    fn is_callable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What calling `loop` of a recursive loop runs again.
struct Recursion {
    node: Arc<For>,
    frame: Frame,
}

/// `loop`.
struct LoopState {
    items: Rc<[Value]>,
    index: Cell<usize>,
    depth: usize,
    changed: RefCell<Option<Vec<Value>>>,
    recurse: Option<Recursion>,
}

impl Object for LoopState {
    fn type_name(&self) -> &'static str {
        "LoopContext"
    }

    fn attribute(&self, _: &Interpreter, name: &str) -> Option<Value> {
        let (index, length) = (self.index.get(), self.items.len());
        Some(match name {
            "index" => Value::from(index + 1),
            "index0" => Value::from(index),
            "revindex" => Value::from(length - index),
            "revindex0" => Value::from(length - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == length),
            "length" => Value::from(length),
            "depth" => Value::from(self.depth),
            "depth0" => Value::from(self.depth - 1),
            "previtem" => match index.checked_sub(1) {
                Some(before) => self.items[before].clone(),
                None => Value::Undefined("loop.previtem".into()),
            },
            "nextitem" => match self.items.get(index + 1) {
                Some(next) => next.clone(),
                None => Value::Undefined("loop.nextitem".into()),
            },
            _ => return None,
        })
    }

    fn call(&self, interpreter: &Interpreter, args: Args) -> Eval<Value> {
        let Some(recursion) = &self.recurse else {
            return fail("only a loop that is said to be `recursive` can be called");
        };
        let [items] = args.bind("loop", ["iterable"])?;
        let items = items.unwrap_or(Value::None).items()?;
        if self.depth as u32 >= DEPTH_MAX {
            return fail(format!("a recursive loop goes more than {DEPTH_MAX} deep"));
        }
        let mut out = String::new();
        interpreter.for_loop(&recursion.node, items, &recursion.frame, self.depth + 1, &mut out)?;
        Ok(Value::from(out))
    }

    fn is_callable(&self) -> bool {
        self.recurse.is_some()
    }

    fn call_method(&self, _: &Interpreter, name: &str, args: Args) -> Eval<Value> {
        match name {
            "cycle" if !args.positional.is_empty() => {
                Ok(args.positional[self.index.get() % args.positional.len()].clone())
            }
            "changed" => {
                let mut last = self.changed.borrow_mut();
                let changed = last.as_ref() != Some(&args.positional);
                *last = Some(args.positional);
                Ok(Value::Bool(changed))
            }
            _ => fail(format!("'loop' has no method `{name}`")),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
