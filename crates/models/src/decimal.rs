//! Numbers with digits behind the point, computed with as Python's `decimal` does in its default context: 28 digits, half to the even one.
//!
//! The rules are those of the General Decimal Arithmetic Specification (speleotrove.com/decimal, version 1.70), which Python's module follows: a number keeps the zeros it ends
//! with, and each operation says how many of them its result has. There are no infinities and no NaN here: what would give one is an error.

use std::{cmp::Ordering, fmt};

use num_bigint::BigUint;

/// How many digits a result has at most.
const PRECISION: usize = 28;

/// The largest power of ten of a number's first digit, and the least is as far below.
const EXPONENT_MAX: i64 = 999_999;

/// A number: digits, times ten to the power of an exponent. Zeros have a sign and an exponent, too.
#[derive(Debug, Clone)]
pub struct Decimal {
    negative: bool,
    digits: BigUint,
    exponent: i64,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoResult {
    /// Something was divided by zero.
    DivisionByZero,
    /// Zero was divided by zero, or zero raised to the power of zero.
    Undefined,
    /// A whole quotient, or a rounded number, has more than 28 digits.
    TooLong,
    /// The result is too large, or so small that its digits would be lost.
    OutOfRange,
    /// A power of a number that is not whole.
    PowerNotWhole,
}

impl fmt::Display for NoResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoResult::DivisionByZero => "division by zero",
            NoResult::Undefined => "zero can't be divided by zero, nor raised to the power of zero",
            NoResult::TooLong => "the result has more than 28 digits",
            NoResult::OutOfRange => "the result is out of the range of decimals",
            NoResult::PowerNotWhole => "decimals are raised to whole powers only here",
        })
    }
}

/// Result of an operation.
pub type Computed = Result<Decimal, NoResult>;

fn power_of_ten(power: usize) -> BigUint {
    BigUint::from(10_u8).pow(u32::try_from(power).unwrap_or(u32::MAX))
}

fn is_zero(digits: &BigUint) -> bool {
    *digits == BigUint::ZERO
}

/// How many digits a number has; zero has one.
fn length(digits: &BigUint) -> usize {
    digits.to_string().len()
}

/// A quotient, rounded half to even.
fn divided(digits: &BigUint, by: &BigUint) -> BigUint {
    let (quotient, rest) = (digits / by, digits % by);
    let up = match (rest * 2_u8).cmp(by) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => quotient.bit(0),
    };
    if up {
        quotient + 1_u8
    } else {
        quotient
    }
}

impl Decimal {
    /// Reads `-12.50`, `7` or `1e-05`; `None` for what isn't written so, or is out of range.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => (text, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{behind}");
        if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let exponent = exponent.checked_sub(i64::try_from(behind.len()).ok()?)?;
        let read = Decimal { negative, digits: digits.parse().ok()?, exponent };
        read.is_in_range().then_some(read)
    }

    /// The number that a float is, to its last digit; `None` for what is no number.
    pub fn exactly(float: f64) -> Option<Self> {
        if !float.is_finite() {
            return None;
        }
        // The layout of IEEE 754: 52 bits of a fraction, 11 of an exponent.
        let bits = float.to_bits();
        let (fraction, power) = (bits & ((1 << 52) - 1), i64::try_from(bits >> 52 & 0x7ff).ok()?);
        let (fraction, power) = match power {
            0 => (fraction, -1074),
            power => (fraction | 1 << 52, power - 1075),
        };
        let times = u32::try_from(power.unsigned_abs()).ok()?;
        let (digits, exponent) = match power < 0 {
            // A half is five tenths.
            true => (BigUint::from(fraction) * BigUint::from(5_u8).pow(times), power),
            false => (BigUint::from(fraction) * BigUint::from(2_u8).pow(times), 0),
        };
        Some(Decimal { negative: float.is_sign_negative(), digits, exponent })
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        is_zero(&self.digits)
    }

    /// The power of ten of the first digit.
    fn adjusted(&self) -> i64 {
        self.exponent + i64::try_from(length(&self.digits)).unwrap_or(i64::MAX / 2) - 1
    }

    fn is_in_range(&self) -> bool {
        // Below the least power digits would be lost one by one; nobody comes near it.
        let least = -EXPONENT_MAX - PRECISION as i64 + 1;
        self.exponent >= least
            && self.exponent <= EXPONENT_MAX
            && (self.is_zero() || self.adjusted() <= EXPONENT_MAX)
    }

    /// With no more than so many digits.
    fn at_most(mut self, precision: usize) -> Self {
        let long = length(&self.digits);
        if long > precision {
            let cut = long - precision;
            self.digits = divided(&self.digits, &power_of_ten(cut));
            self.exponent += cut as i64;
            // 9.99… has become 10.0….
            if length(&self.digits) > precision {
                self.digits /= 10_u8;
                self.exponent += 1;
            }
        }
        self
    }

    fn fixed_to(self, precision: usize) -> Computed {
        let fixed = self.at_most(precision);
        match fixed.is_in_range() {
            true => Ok(fixed),
            false => Err(NoResult::OutOfRange),
        }
    }

    fn fixed(self) -> Computed {
        self.fixed_to(PRECISION)
    }

    /// Its digits, with an exponent that is no larger than its own.
    fn digits_at(&self, exponent: i64) -> BigUint {
        &self.digits * power_of_ten(usize::try_from(self.exponent - exponent).unwrap_or_default())
    }

    fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (left, right) = (self.digits_at(exponent), other.digits_at(exponent));
        if self.negative == other.negative {
            return Decimal { negative: self.negative, digits: left + right, exponent };
        }
        match left.cmp(&right) {
            Ordering::Greater => Decimal { negative: self.negative, digits: left - right, exponent },
            Ordering::Less => Decimal { negative: other.negative, digits: right - left, exponent },
            Ordering::Equal => Decimal { negative: false, digits: BigUint::ZERO, exponent },
        }
    }

    fn times(&self, other: &Self) -> Self {
        Decimal {
            negative: self.negative != other.negative,
            digits: &self.digits * &other.digits,
            exponent: self.exponent + other.exponent,
        }
    }

    /// `self + other`.
    pub fn add(&self, other: &Self) -> Computed {
        self.plus(other).fixed()
    }

    /// `self - other`.
    pub fn subtract(&self, other: &Self) -> Computed {
        let other = Decimal { negative: !other.negative, ..other.clone() };
        self.plus(&other).fixed()
    }

    /// `self * other`.
    pub fn multiply(&self, other: &Self) -> Computed {
        self.times(other).fixed()
    }

    /// `-self`; there is no negative zero among the results.
    pub fn negated(&self) -> Computed {
        let negative = !self.negative && !self.is_zero();
        Decimal { negative, ..self.clone() }.fixed()
    }

    /// Without its sign.
    pub fn absolute(&self) -> Computed {
        Decimal { negative: false, ..self.clone() }.fixed()
    }

    /// `self / other`.
    pub fn divide(&self, other: &Self) -> Computed {
        self.divide_to(other, PRECISION)
    }

    fn divide_to(&self, other: &Self, precision: usize) -> Computed {
        if other.is_zero() {
            return Err(if self.is_zero() { NoResult::Undefined } else { NoResult::DivisionByZero });
        }
        let negative = self.negative != other.negative;
        let ideal = self.exponent - other.exponent;
        if self.is_zero() {
            return Decimal { negative, digits: BigUint::ZERO, exponent: ideal }.fixed_to(precision);
        }
        // One digit more than is kept.
        let shift = length(&other.digits) as i64 - length(&self.digits) as i64 + precision as i64 + 1;
        let by = power_of_ten(usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX));
        let (left, right) = match shift >= 0 {
            true => (&self.digits * by, other.digits.clone()),
            false => (self.digits.clone(), &other.digits * by),
        };
        let (mut digits, rest) = (&left / &right, &left % &right);
        let mut exponent = ideal - shift;
        if !is_zero(&rest) {
            // What is left over decides where the last digit would be a tie.
            if is_zero(&(&digits % 5_u8)) {
                digits += 1_u8;
            }
        } else {
            // An exact result has as few zeros at its end as the exponents of both allow.
            while exponent < ideal && is_zero(&(&digits % 10_u8)) {
                digits /= 10_u8;
                exponent += 1;
            }
        }
        Decimal { negative, digits, exponent }.fixed_to(precision)
    }

    /// The whole quotient, cut towards zero, and what is left over.
    fn divided_whole(&self, other: &Self) -> Result<(Self, Self), NoResult> {
        let negative = self.negative != other.negative;
        let exponent = self.exponent.min(other.exponent);
        if self.is_zero() || self.adjusted() - other.adjusted() <= -2 {
            let rest = Decimal { negative: self.negative, digits: self.digits_at(exponent), exponent };
            return Ok((Decimal { negative, digits: BigUint::ZERO, exponent: 0 }, rest));
        }
        if self.adjusted() - other.adjusted() > PRECISION as i64 {
            return Err(NoResult::TooLong);
        }
        let (left, right) = (self.digits_at(exponent), other.digits_at(exponent));
        let (quotient, rest) = (&left / &right, &left % &right);
        if length(&quotient) > PRECISION {
            return Err(NoResult::TooLong);
        }
        let quotient = Decimal { negative, digits: quotient, exponent: 0 };
        Ok((quotient, Decimal { negative: self.negative, digits: rest, exponent }))
    }

    /// `self // other`: cut towards zero.
    pub fn divide_whole(&self, other: &Self) -> Computed {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Err(NoResult::Undefined),
            (false, true) => Err(NoResult::DivisionByZero),
            _ => Ok(self.divided_whole(other)?.0),
        }
    }

    /// `self % other`: it has the sign of `self`.
    pub fn remainder(&self, other: &Self) -> Computed {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Err(NoResult::Undefined),
            (false, true) => Err(NoResult::DivisionByZero),
            _ => self.divided_whole(other)?.1.fixed(),
        }
    }

    /// `self ** other`, where that is a whole number.
    pub fn power(&self, other: &Self) -> Computed {
        let whole = match usize::try_from(-other.exponent) {
            Ok(behind) => {
                let unit = power_of_ten(behind);
                if !is_zero(&(&other.digits % &unit)) {
                    return Err(NoResult::PowerNotWhole);
                }
                &other.digits / unit
            }
            Err(_) => other.digits_at(0),
        };
        let is_odd = whole.bit(0);
        let one = Decimal { negative: false, digits: BigUint::from(1_u8), exponent: 0 };
        if other.is_zero() {
            return if self.is_zero() { Err(NoResult::Undefined) } else { Ok(one) };
        }
        let negative = self.negative && is_odd;
        if self.is_zero() {
            return match other.negative {
                true => Err(NoResult::DivisionByZero),
                false => Ok(Decimal { negative, digits: BigUint::ZERO, exponent: 0 }),
            };
        }
        let times = u64::try_from(&whole).map_err(|_| NoResult::OutOfRange)?;
        let mut precision = PRECISION + length(&whole) + 2;
        let base = match other.negative {
            true => {
                precision += 1;
                one.divide_to(self, precision)?
            }
            false => self.clone(),
        };
        let base = Decimal { negative: false, ..base };
        let mut result = base.clone();
        // From the second bit on, as one writes a number.
        for bit in (0..times.ilog2()).rev() {
            result = result.times(&result).fixed_to(precision)?;
            if times >> bit & 1 == 1 {
                result = result.times(&base).fixed_to(precision)?;
            }
        }
        Decimal { negative, ..result }.fixed()
    }

    /// With so many digits behind the point.
    pub fn rounded(&self, places: i64) -> Computed {
        let rounded = self.quantized(places).ok_or(NoResult::OutOfRange)?;
        match length(&rounded.digits) > PRECISION {
            true => Err(NoResult::TooLong),
            false => Ok(rounded),
        }
    }

    fn quantized(&self, places: i64) -> Option<Self> {
        let exponent = places.checked_neg().filter(|exponent| exponent.abs() <= EXPONENT_MAX)?;
        let digits = match usize::try_from(exponent - self.exponent) {
            Ok(cut) => divided(&self.digits, &power_of_ten(cut)),
            Err(_) => self.digits_at(exponent),
        };
        Some(Decimal { negative: self.negative, digits, exponent })
    }

    /// The whole number towards zero, towards the negative (`Less`) or the positive (`Greater`).
    pub fn whole(&self, towards: Ordering) -> Option<i64> {
        let (digits, is_cut) = match usize::try_from(-self.exponent) {
            Ok(behind) => {
                let unit = power_of_ten(behind);
                (&self.digits / &unit, !is_zero(&(&self.digits % &unit)))
            }
            Err(_) => (self.digits_at(0), false),
        };
        let further = match towards {
            Ordering::Less => is_cut && self.negative,
            Ordering::Equal => false,
            Ordering::Greater => is_cut && !self.negative,
        };
        let size = i128::try_from(&digits).ok()?.checked_add(i128::from(further))?;
        i64::try_from(if self.negative { -size } else { size }).ok()
    }

    /// Its digits with so many behind the point, never with a power of ten.
    pub fn with_places(&self, places: usize) -> Option<String> {
        Some(self.quantized(i64::try_from(places).ok()?)?.plain())
    }

    /// How many digits behind the point it needs.
    pub fn places(&self) -> i64 {
        let digits = self.digits.to_string();
        let zeros = digits.len() - digits.trim_end_matches('0').len();
        match self.is_zero() {
            true => 0,
            false => (-self.exponent - zeros as i64).max(0),
        }
    }

    /// With so many digits behind the point, and commas between thousands; `None`: it has more digits than are computed with.
    pub fn grouped(&self, places: i64) -> Option<String> {
        let text = self.rounded(places).ok()?.plain();
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        let (whole, behind) = digits.split_once('.').unwrap_or((digits, ""));
        let mut out = sign.to_owned();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        if !behind.is_empty() {
            out.push('.');
            out.push_str(behind);
        }
        Some(out)
    }

    /// All digits, the exponent being zero or less.
    fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let scale = usize::try_from(-self.exponent).unwrap_or_default();
        let digits = format!("{:0>width$}", self.digits.to_string(), width = scale + 1);
        let (whole, behind) = digits.split_at(digits.len() - scale);
        match behind {
            "" => format!("{sign}{whole}"),
            behind => format!("{sign}{whole}.{behind}"),
        }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        // Equal zeros are equal whatever their sign.
        let Decimal { negative, digits, .. } =
            self.plus(&Decimal { negative: !other.negative, ..other.clone() });
        match (is_zero(&digits), negative) {
            (true, _) => Ordering::Equal,
            (_, true) => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

impl From<i64> for Decimal {
    fn from(int: i64) -> Self {
        Decimal { negative: int < 0, digits: BigUint::from(int.unsigned_abs()), exponent: 0 }
    }
}

/// As Python writes it: what is very small, or ends in zeros that aren't known, with a power of ten.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = self.adjusted();
        if self.exponent <= 0 && power >= -6 {
            return f.write_str(&self.plain());
        }
        let sign = if self.negative { "-" } else { "" };
        let all = self.digits.to_string();
        let (first, rest) = all.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{sign}{first}{point}{rest}E{power:+}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    /// Computed by Python 3.11's `decimal`.
    #[test]
    fn results_are_pythons() {
        for line in include_str!("decimal.txt").lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            let [left, operator, right, wanted] = parts[..] else { panic!("{line}") };
            let (left, right) = (of(left), of(right));
            let computed = match operator {
                "+" => left.add(&right),
                "-" => left.subtract(&right),
                "*" => left.multiply(&right),
                "/" => left.divide(&right),
                "//" => left.divide_whole(&right),
                "%" => left.remainder(&right),
                "**" => left.power(&right),
                "round" => left.rounded(right.whole(Ordering::Equal).unwrap()),
                other => panic!("{other}"),
            };
            let computed = computed.map_or_else(|_| "error".to_owned(), |decimal| decimal.to_string());
            assert_eq!(computed, wanted, "{line}");
        }
    }

    #[test]
    fn floats_are_compared_to_their_last_digit() {
        assert_ne!(Decimal::exactly(0.1), Decimal::parse("0.1"));
        assert_eq!(Decimal::exactly(0.5), Decimal::parse("0.50"));
        assert_eq!(Decimal::exactly(-3e20), Decimal::parse("-3E+20"));
        assert!(Decimal::exactly(1e-310).unwrap() > of("0"));
        assert_eq!(Decimal::exactly(f64::NAN), None);
        assert_eq!(of("-0"), of("0.00"));
    }

    #[test]
    fn whole_numbers_are_where_they_are_asked_for() {
        for (text, [below, towards_zero, above]) in
            [("2.5", [2, 2, 3]), ("-2.5", [-3, -2, -2]), ("-3", [-3; 3]), ("1.2E+3", [1200; 3])]
        {
            let whole = [Ordering::Less, Ordering::Equal, Ordering::Greater].map(|way| of(text).whole(way));
            assert_eq!(whole, [below, towards_zero, above].map(Some), "{text}");
        }
        assert_eq!(of("1E+30").whole(Ordering::Equal), None);
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in ["", ".", "-", "1.2.3", "1e", "inf", "1_0", "0x1", "1E+9999999"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(of("2.675").with_places(2).unwrap(), "2.68");
        assert_eq!(of("1E-8").with_places(8).unwrap(), "0.00000001");
        assert_eq!(of("1E+3").with_places(1).unwrap(), "1000.0");
    }
}
