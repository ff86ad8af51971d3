//! Operators, items and slices, as Python has them.

use super::{
    ast::{Comparison, Operator},
    error::{fail, Eval},
    eval::Interpreter,
    methods, python,
    value::Value,
};
use std::cmp::Ordering;

/// The longest text or list that repetition may make; beyond it a template is wrong, and would fill the memory.
const REPEATED_MAX: usize = 10_000_000;

/// `left operator right`.
pub(super) fn binary(operator: Operator, left: &Value, right: &Value) -> Eval<Value> {
    let unsupported = |sign: &str| {
        fail(format!(
            "unsupported operand type(s) for {sign}: '{}' and '{}'",
            left.type_name(),
            right.type_name()
        ))
    };
    let ints = || Some((left.as_int()?, right.as_int()?));
    let floats = || Some((left.as_float()?, right.as_float()?));
    let exact = |result: Option<i64>| match result {
        Some(value) => Ok(Value::Int(value)),
        None => fail("the result has more than 64 bits"),
    };
    let (sign, reversed) = match operator {
        Operator::Concat => ("~", "r~"),
        Operator::Add => ("+", "r+"),
        Operator::Subtract => ("-", "r-"),
        Operator::Multiply => ("*", "r*"),
        Operator::Divide => ("/", "r/"),
        Operator::FloorDivide => ("//", "r//"),
        Operator::Modulo => ("%", "r%"),
        Operator::Power => ("**", "r**"),
    };
    let own = methods::operate(left, sign, right).or_else(|| methods::operate(right, reversed, left));
    if let Some(done) = own {
        return done;
    }
    match operator {
        Operator::Concat => Ok(Value::from(format!("{left}{right}"))),
        Operator::Add => match (left, right) {
            (Value::Str(left), Value::Str(right)) => Ok(Value::from(format!("{left}{right}"))),
            (Value::List(left), Value::List(right)) => {
                let (left, right) = (left.borrow(), right.borrow());
                Ok(Value::list(left.iter().chain(right.iter()).cloned()))
            }
            (Value::Tuple(left), Value::Tuple(right)) => {
                Ok(Value::tuple(left.iter().chain(right.iter()).cloned()))
            }
            _ => match (ints(), floats()) {
                (Some((left, right)), _) => exact(left.checked_add(right)),
                (_, Some((left, right))) => Ok(Value::Float(left + right)),
                _ => unsupported("+"),
            },
        },
        Operator::Subtract => match (ints(), floats()) {
            (Some((left, right)), _) => exact(left.checked_sub(right)),
            (_, Some((left, right))) => Ok(Value::Float(left - right)),
            _ => unsupported("-"),
        },
        Operator::Multiply => match (left, right) {
            (Value::Str(_) | Value::List(_) | Value::Tuple(_), times)
            | (times, Value::Str(_) | Value::List(_) | Value::Tuple(_)) => {
                let Some(times) = times.as_int() else {
                    return unsupported("*");
                };
                let sequence = if left.as_int().is_some() { right } else { left };
                repeated(sequence, usize::try_from(times).unwrap_or(0))
            }
            _ => match (ints(), floats()) {
                (Some((left, right)), _) => exact(left.checked_mul(right)),
                (_, Some((left, right))) => Ok(Value::Float(left * right)),
                _ => unsupported("*"),
            },
        },
        Operator::Divide => match floats() {
            Some((_, 0.0)) => fail("division by zero"),
            Some((left, right)) => Ok(Value::Float(left / right)),
            None => unsupported("/"),
        },
        Operator::FloorDivide | Operator::Modulo => {
            if let (Operator::Modulo, Value::Str(format)) = (operator, left) {
                return python::percent(format, right).map(Value::from);
            }
            let whole = operator == Operator::FloorDivide;
            match (ints(), floats()) {
                (_, Some((_, 0.0))) => fail("integer division or modulo by zero"),
                (Some((left, right)), _) => {
                    let (Some(quotient), Some(rest)) = (left.checked_div(right), left.checked_rem(right))
                    else {
                        return fail("the result has more than 64 bits");
                    };
                    // Python rounds down, and the rest has the divisor's sign.
                    let down = rest != 0 && (rest < 0) != (right < 0);
                    Ok(Value::Int(match (whole, down) {
                        (true, true) => quotient - 1,
                        (true, false) => quotient,
                        (false, true) => rest + right,
                        (false, false) => rest,
                    }))
                }
                (_, Some((left, right))) => {
                    let floor = (left / right).floor();
                    Ok(Value::Float(if whole { floor } else { left - floor * right }))
                }
                _ => unsupported(if whole { "//" } else { "%" }),
            }
        }
        Operator::Power => match (ints(), floats()) {
            (Some((left, right)), _) if right >= 0 => {
                exact(u32::try_from(right).ok().and_then(|right| left.checked_pow(right)))
            }
            (_, Some((left, right))) => Ok(Value::Float(left.powf(right))),
            _ => unsupported("**"),
        },
    }
}

/// What an object does by itself, with nothing beside it.
pub(super) fn own(value: &Value, name: &str) -> Eval<Value> {
    let unsupported = || fail(format!("bad operand type for {name}: '{}'", value.type_name()));
    methods::operate(value, name, &Value::None).unwrap_or_else(unsupported)
}

fn repeated(sequence: &Value, times: usize) -> Eval<Value> {
    if sequence.length()?.saturating_mul(times) > REPEATED_MAX {
        return fail(format!("a repetition of more than {REPEATED_MAX}"));
    }
    Ok(match sequence {
        Value::Str(text) => Value::from(text.repeat(times)),
        Value::Tuple(items) => Value::tuple((0..times).flat_map(|_| items.iter().cloned())),
        other => {
            let items = other.items()?;
            Value::list((0..times).flat_map(|_| items.iter().cloned()))
        }
    })
}

/// `-value`.
pub(super) fn negative(value: &Value) -> Eval<Value> {
    match (value.as_int(), value) {
        (Some(int), _) => Ok(Value::Int(-int)),
        (_, Value::Float(float)) => Ok(Value::Float(-float)),
        (_, Value::Object(object)) if object.number().is_some() => own(value, "neg"),
        (_, Value::Object(_)) => binary(Operator::Subtract, &Value::Int(0), value),
        _ => fail(format!("bad operand type for unary -: '{}'", value.type_name())),
    }
}

/// `<`, `<=`, `>`, `>=`.
pub(super) fn ordered(comparison: Comparison, left: &Value, right: &Value) -> Eval<bool> {
    let Some(order) = left.compare(right) else {
        if left.as_float().is_some() && right.as_float().is_some() {
            return Ok(false);
        }
        return fail(format!(
            "values of types '{}' and '{}' have no order",
            left.type_name(),
            right.type_name()
        ));
    };
    Ok(match comparison {
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

/// `item in container`.
pub(super) fn contains(container: &Value, item: &Value) -> Eval<bool> {
    match (container, item) {
        (Value::Str(text), Value::Str(part)) => Ok(text.contains(&**part)),
        (Value::Str(_), other) => {
            fail(format!("'in <string>' requires string as left operand, not {}", other.type_name()))
        }
        (Value::Dict(entries), key) => {
            key.check_hashable()?;
            Ok(entries.borrow().contains_key(key))
        }
        (Value::Undefined(_), _) => Ok(false),
        (Value::Object(object), key) => match object.has(key) {
            Some(has) => Ok(has),
            None => Ok(container.items()?.contains(item)),
        },
        _ => Ok(container.items()?.contains(item)),
    }
}

fn position(length: usize, index: i64) -> Option<usize> {
    let index = if index < 0 { index + length as i64 } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

/// `holder[key]`: an item, an attribute otherwise, and undefined where there is neither.
pub(super) fn item(interpreter: &Interpreter, holder: &Value, key: &Value) -> Eval<Value> {
    let missing = || Value::Undefined(format!("{} object[{}]", holder.type_name(), python::repr(key)).into());
    Ok(match (holder, key) {
        (Value::Dict(entries), key) => {
            key.check_hashable()?;
            let found = entries.borrow().get(key).cloned();
            found.unwrap_or_else(missing)
        }
        (Value::List(items), Value::Int(index)) => {
            let items = items.borrow();
            position(items.len(), *index).map_or_else(missing, |at| items[at].clone())
        }
        (Value::Tuple(items), Value::Int(index)) => {
            position(items.len(), *index).map_or_else(missing, |at| items[at].clone())
        }
        (Value::Str(text), Value::Int(index)) => {
            let characters: Vec<char> = text.chars().collect();
            position(characters.len(), *index)
                .map_or_else(missing, |at| Value::from(characters[at].to_string()))
        }
        (Value::Undefined(name), _) => Value::Undefined(name.clone()),
        (Value::Object(object), Value::Str(name)) => {
            object.attribute(interpreter, name).unwrap_or_else(missing)
        }
        (Value::Object(object), Value::Int(index)) => match object.items() {
            Some(items) => position(items.len(), *index).map_or_else(missing, |at| items[at].clone()),
            None => missing(),
        },
        _ => missing(),
    })
}

/// `holder[start:stop:step]`.
pub(super) fn slice(holder: &Value, bounds: &[Option<Value>; 3]) -> Eval<Value> {
    let number = |bound: &Option<Value>| match bound {
        None | Some(Value::None) => Ok(None),
        Some(value) => match value.as_int() {
            Some(int) => Ok(Some(int)),
            None => fail("slice indices must be integers or none"),
        },
    };
    let (start, stop, step) = (number(&bounds[0])?, number(&bounds[1])?, number(&bounds[2])?.unwrap_or(1));
    if step == 0 {
        return fail("slice step cannot be zero");
    }
    let items = holder.items()?;
    let length = items.len() as i64;
    let clamp = |bound: i64| {
        let bound = if bound < 0 { bound + length } else { bound };
        if step > 0 {
            bound.clamp(0, length)
        } else {
            bound.clamp(-1, length - 1)
        }
    };
    let mut at = start.map_or(if step > 0 { 0 } else { length - 1 }, clamp);
    let end = stop.map_or(if step > 0 { length } else { -1 }, clamp);
    let mut taken = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        taken.push(items[at as usize].clone());
        at += step;
    }
    Ok(match holder {
        Value::Str(_) => Value::from(taken.iter().map(ToString::to_string).collect::<String>()),
        Value::Tuple(_) => Value::tuple(taken),
        _ => Value::list(taken),
    })
}
