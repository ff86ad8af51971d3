//! Which macros a macro calls, as far as its text tells without rendering it.

use crate::{
    context::scene::World,
    jinja::{
        ast::{Argument, Const, Expr, ExprKind},
        walk,
    },
    parse::macros::MacroEntry,
};

/// Calls that are none of macros.
const STANDARD: &[&str] = &["ref", "source", "config"];

/// The unique ids of the macros that a macro calls by name, by package and name, or through `adapter.dispatch` with names that are written out.
pub fn calls(world: &World, entry: &MacroEntry) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let root = &world.project.root().name;
    let mut add = |package: &str, name: &str| {
        let called = world.macros.find(package, root, name).or_else(|| world.macros.of_any(name));
        if let Some(called) = called.filter(|called| !found.contains(&called.unique_id)) {
            found.push(called.unique_id.clone());
        }
    };
    let own = entry.package.as_str();
    walk::within(&entry.definition, &mut |expr: &Expr| {
        let ExprKind::Call(callee, arguments) = &expr.kind else { return };
        match &callee.kind {
            ExprKind::Name(name) if !STANDARD.contains(&&**name) && **name != *entry.name => add(own, name),
            ExprKind::Attribute(of, name) => {
                let ExprKind::Name(of) = &of.kind else { return };
                match (&**of, &**name) {
                    ("adapter", "dispatch") => dispatch(world, entry, arguments, &mut add),
                    ("adapter", _) => {}
                    (package, name) => add(package, name),
                }
            }
            _ => {}
        }
    });
    found
}

fn dispatch(world: &World, entry: &MacroEntry, arguments: &[Argument], add: &mut dyn FnMut(&str, &str)) {
    let (mut name, mut namespace, mut position) = (None, None, 0);
    for argument in arguments {
        let (slot, expr) = match argument {
            Argument::Positional(expr) => {
                position += 1;
                (position, expr)
            }
            Argument::Named(key, expr) if **key == *"macro_name" => (1, expr),
            Argument::Named(key, expr) if **key == *"macro_namespace" => (2, expr),
            _ => continue,
        };
        if let ExprKind::Const(Const::Str(text)) = &expr.kind {
            match slot {
                1 => name = Some(&**text),
                2 => namespace = Some(&**text),
                _ => {}
            }
        }
    }
    let Some(name) = name else { return };
    if name != entry.name {
        add(&entry.package, name);
    }
    if let Some(found) = world.dispatched(&entry.package, name, namespace) {
        add(&found.package, &found.name);
    }
}
