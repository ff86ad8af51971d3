//! Numbers with digits behind the point, as warehouses give them: the part of Python's `Decimal` that projects use.

use std::{any::Any, cmp::Ordering};

use crate::jinja::{Eval, Object, Value};

/// Digits, and how many of them stand behind the point; less than none where zeros follow. What is added, subtracted and multiplied stays exact.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    digits: i128,
    scale: i32,
}

impl Decimal {
    /// Reads `-12.50`, `7` or `1e-05`; `None` for what isn't written so, or is too long.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => (text, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
        let digits: i128 = format!("{whole}{behind}").parse().ok()?;
        Some(Decimal { digits, scale: i32::try_from(behind.len()).ok()?.checked_sub(exponent)? })
    }

    fn of(value: &Value) -> Option<Self> {
        match value.downcast::<Decimal>() {
            Some(decimal) => Some(*decimal),
            None => value.as_int().map(|int| Decimal { digits: int.into(), scale: 0 }),
        }
    }

    fn scaled(self, scale: i32) -> Option<i128> {
        let more = u32::try_from(scale.checked_sub(self.scale)?).ok()?;
        self.digits.checked_mul(10_i128.checked_pow(more)?)
    }

    /// With so many digits behind the point: half goes to the even one, as with Python.
    fn rounded(self, places: i64) -> Option<Self> {
        let places = i32::try_from(places).ok()?;
        if places >= self.scale {
            return Some(Decimal { digits: self.scaled(places)?, scale: places });
        }
        let cut = u32::try_from(self.scale.checked_sub(places)?).ok()?;
        let (quotient, rest, unit) = match 10_i128.checked_pow(cut) {
            Some(unit) => (self.digits / unit, (self.digits % unit).abs(), unit),
            None => return Some(Decimal { digits: 0, scale: places }),
        };
        let up = match rest.cmp(&(unit / 2)) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => quotient % 2 != 0,
        };
        Some(Decimal { digits: quotient + i128::from(up) * self.digits.signum(), scale: places })
    }

    /// `None` where the other is no exact number, or the result would be too long.
    fn with(self, operator: &str, other: &Value) -> Option<Self> {
        let other = Decimal::of(other)?;
        if operator == "*" {
            return Some(Decimal {
                digits: self.digits.checked_mul(other.digits)?,
                scale: self.scale.checked_add(other.scale)?,
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
        if operator == "round" {
            return self.rounded(right.as_int()?).map(|result| Ok(Value::object(result)));
        }
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
        let all = self.digits.unsigned_abs().to_string();
        // Python writes what is very small or ends in zeros that aren't known with a power of ten.
        let power = i64::try_from(all.len()).unwrap_or(i64::MAX) - i64::from(self.scale) - 1;
        let Some(scale) = usize::try_from(self.scale).ok().filter(|_| power >= -6) else {
            let (first, rest) = all.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            return format!("{sign}{first}{point}{rest}E{power:+}");
        };
        let digits = format!("{all:0>width$}", width = scale + 1);
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
