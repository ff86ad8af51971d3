//! Numbers with digits behind the point, as warehouses give them: Python's `Decimal` in templates.

use std::{any::Any, cmp::Ordering};

pub(super) use crate::decimal::Decimal;
use crate::{
    decimal::{Computed, NoResult},
    jinja::{fail, Eval, Object, Value},
};

/// Another number, where decimals can be computed with it: a decimal or an integer, no float.
pub(super) fn of(value: &Value) -> Option<Decimal> {
    match value.downcast::<Decimal>() {
        Some(decimal) => Some(decimal.clone()),
        None => value.as_int().map(Decimal::from),
    }
}

fn told(computed: Computed) -> Eval<Value> {
    match computed {
        Ok(decimal) => Ok(Value::object(decimal)),
        Err(why) => fail(why.to_string()),
    }
}

fn whole(number: &Decimal, towards: Ordering) -> Eval<Value> {
    match number.whole(towards) {
        Some(int) => Ok(Value::Int(int)),
        None => fail("the result has more than 64 bits"),
    }
}

impl Object for Decimal {
    fn type_name(&self) -> &'static str {
        "decimal.Decimal"
    }

    fn number(&self) -> Option<f64> {
        self.to_string().parse().ok()
    }

    fn operate(&self, operator: &str, right: &Value) -> Option<Eval<Value>> {
        let places = || right.as_int().ok_or(NoResult::OutOfRange);
        match operator {
            "cmp" => {
                let other = match right {
                    Value::Float(float) => Decimal::exactly(*float),
                    other => of(other),
                };
                return other.map(|other| Ok(Value::Int(self.cmp(&other) as i64)));
            }
            "round" => return Some(told(places().and_then(|places| self.rounded(places)))),
            "neg" => return Some(told(self.negated())),
            "abs" => return Some(told(self.absolute())),
            "int" => return Some(whole(self, Ordering::Equal)),
            "floor" => return Some(whole(self, Ordering::Less)),
            "ceil" => return Some(whole(self, Ordering::Greater)),
            _ => {}
        }
        let (sign, is_reversed) = match operator.strip_prefix('r') {
            Some(sign) => (sign, true),
            None => (operator, false),
        };
        let Some(other) = of(right) else {
            // A float is no exact number: Python leaves it to whoever computes which of the two is meant.
            let float = matches!(right, Value::Float(_)).then(|| {
                let (left, right) = match is_reversed {
                    true => (right.type_name(), self.type_name()),
                    false => (self.type_name(), right.type_name()),
                };
                fail(format!("unsupported operand type(s) for {sign}: '{left}' and '{right}'"))
            });
            return float;
        };
        let (left, right) = if is_reversed { (&other, self) } else { (self, &other) };
        Some(told(match sign {
            "+" => left.add(right),
            "-" => left.subtract(right),
            "*" => left.multiply(right),
            "/" => left.divide(right),
            "//" => left.divide_whole(right),
            "%" => left.remainder(right),
            "**" => left.power(right),
            _ => return None,
        }))
    }

    fn fixed(&self, places: usize) -> Option<String> {
        self.with_places(places)
    }

    fn truth(&self) -> bool {
        !self.is_zero()
    }

    fn equals(&self, other: &Value) -> bool {
        match other {
            Value::Float(float) => Decimal::exactly(*float).is_some_and(|float| float == *self),
            other => of(other).is_some_and(|other| other == *self),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn repr(&self) -> String {
        format!("Decimal('{self}')")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
