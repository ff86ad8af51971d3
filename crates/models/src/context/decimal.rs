//! Numbers with digits behind the point, as warehouses give them: the part of Python's `Decimal` that projects use.

use std::any::Any;

use crate::jinja::{Eval, Object, Value};

/// Digits, and how many of them stand behind the point. What is added, subtracted and multiplied stays exact.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    /// Reads `-12.50`; `None` for what isn't written so, or is too long.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, behind) = text.split_once('.')?;
        let digits: i128 = format!("{whole}{behind}").parse().ok()?;
        Some(Decimal { digits, scale: u32::try_from(behind.len()).ok()? })
    }

    fn of(value: &Value) -> Option<Self> {
        match value.downcast::<Decimal>() {
            Some(decimal) => Some(*decimal),
            None => value.as_int().map(|int| Decimal { digits: int.into(), scale: 0 }),
        }
    }

    fn scaled(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(10_i128.checked_pow(scale - self.scale)?)
    }

    /// `None` where the other is no exact number, or the result would be too long.
    fn with(self, operator: &str, other: &Value) -> Option<Self> {
        let other = Decimal::of(other)?;
        if operator == "*" {
            return Some(Decimal {
                digits: self.digits.checked_mul(other.digits)?,
                scale: self.scale + other.scale,
            });
        }
        let scale = self.scale.max(other.scale);
        let (left, right) = (self.scaled(scale)?, other.scaled(scale)?);
        let digits = match operator {
            "+" | "r+" => left.checked_add(right),
            "-" => left.checked_sub(right),
            "r-" => right.checked_sub(left),
            _ => None,
        }?;
        Some(Decimal { digits, scale })
    }
}

impl Object for Decimal {
    fn type_name(&self) -> &'static str {
        "decimal.Decimal"
    }

    fn number(&self) -> Option<f64> {
        self.text().parse().ok()
    }

    fn operate(&self, operator: &str, right: &Value) -> Option<Eval<Value>> {
        self.with(operator, right).map(|result| Ok(Value::object(result)))
    }

    fn truth(&self) -> bool {
        self.digits != 0
    }

    fn equals(&self, other: &Value) -> bool {
        match self.with("-", other) {
            Some(difference) => difference.digits == 0,
            None => self.number().is_some_and(|own| other.as_float() == Some(own)),
        }
    }

    fn text(&self) -> String {
        let sign = if self.digits < 0 { "-" } else { "" };
        let scale = self.scale as usize;
        let digits = format!("{:0>width$}", self.digits.unsigned_abs(), width = scale + 1);
        let (whole, behind) = digits.split_at(digits.len() - scale);
        match behind {
            "" => format!("{sign}{whole}"),
            behind => format!("{sign}{whole}.{behind}"),
        }
    }

    fn repr(&self) -> String {
        format!("Decimal('{}')", self.text())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
