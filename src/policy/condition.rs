//! Conditions: what an operator asks of a key, and whether a request's context says so.
//! Source: user guide, "Condition operators", "Set operators", "Null".

use std::{cmp::Ordering, fmt, net::IpAddr};

use super::{
    facts::{Fact, Facts},
    pattern::Pattern,
};

/// How several values of a key count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Quantifier {
    /// No qualifier: the key has one value.
    One,
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// A comparison of numbers or times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Compare {
    /// Equal.
    Equal,
    /// Less than.
    Less,
    /// At most.
    AtMost,
    /// Greater than.
    Greater,
    /// At least.
    AtLeast,
}

/// A number, or seconds since 1970, that has an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount(pub(super) f64);

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Amount {}
impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        // -0 and 0 are the same number.
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}

/// A range of addresses: the first, and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    pub(super) first: IpAddr,
    pub(super) bits: u8,
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    /// One of these patterns.
    Text(Vec<Pattern>),
    /// One of these numbers, compared so.
    Number(Compare, Vec<Amount>),
    /// One of these times, compared so.
    Time(Compare, Vec<Amount>),
    /// One of these.
    Bool(Vec<bool>),
    /// One of these networks.
    Address(Vec<Network>),
    /// Whether the key is absent.
    Null(Vec<bool>),
}

/// One key under one operator.
#[derive(Clone, Debug)]
pub struct Condition {
    pub(super) quantifier: Quantifier,
    pub(super) test: Test,
    /// `StringNotEquals` and its kin.
    pub(super) negated: bool,
    pub(super) if_exists: bool,
    /// In lower case.
    pub(super) key: String,
    /// Operator, key and values as they were written.
    pub(super) shown: String,
}

/// Whether it is so, or which key would have to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// It depends on this.
    Depends(String),
}

impl From<bool> for Truth {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

impl Condition {
    /// What decides: everything but how it was written.
    pub(super) fn meaning(&self) -> (&str, Quantifier, bool, bool, &Test) {
        (&self.key, self.quantifier, self.negated, self.if_exists, &self.test)
    }

    /// Whether the request meets it.
    pub(super) fn holds(&self, facts: &Facts) -> Truth {
        let fact = facts.of(&self.key);
        if let Test::Null(wanted) = &self.test {
            return match fact {
                Fact::Unknown => Truth::Depends(self.key.clone()),
                // A key without a value counts as absent.
                Fact::Absent => wanted.contains(&true).into(),
                Fact::Values(values) => wanted.contains(&values.is_empty()).into(),
            };
        }
        if self.is_empty() {
            return Truth::No;
        }
        match fact {
            Fact::Unknown => Truth::Depends(self.key.clone()),
            Fact::Values(values) if !values.is_empty() => self.over(values, facts),
            Fact::Absent | Fact::Values(_) => match self.quantifier {
                Quantifier::All => Truth::Yes,
                Quantifier::Any => self.if_exists.into(),
                Quantifier::One => (self.if_exists || self.negated).into(),
            },
        }
    }

    /// A list of no values is met by nothing.
    pub(super) fn is_empty(&self) -> bool {
        match &self.test {
            Test::Text(values) => values.is_empty(),
            Test::Number(_, values) | Test::Time(_, values) => values.is_empty(),
            Test::Bool(values) | Test::Null(values) => values.is_empty(),
            Test::Address(values) => values.is_empty(),
        }
    }

    fn over(&self, values: &[String], facts: &Facts) -> Truth {
        // Without a qualifier and with several values, as if the values were asked in turn.
        let every = match self.quantifier {
            Quantifier::All => true,
            Quantifier::Any => false,
            Quantifier::One => self.negated,
        };
        let mut open = None;
        for value in values {
            match self.value(value, facts) {
                Truth::Depends(on) => open = Some(on),
                truth if (truth == Truth::Yes) != self.negated => {
                    if !every {
                        return Truth::Yes;
                    }
                }
                _ => {
                    if every {
                        return Truth::No;
                    }
                }
            }
        }
        open.map_or(Truth::from(every), Truth::Depends)
    }

    /// Whether one of the condition's values is the request's.
    fn value(&self, value: &str, facts: &Facts) -> Truth {
        match &self.test {
            Test::Text(patterns) => {
                let mut open = None;
                for pattern in patterns {
                    match pattern.matches(value, facts) {
                        Truth::Yes => return Truth::Yes,
                        Truth::No => {}
                        Truth::Depends(on) => open = Some(on),
                    }
                }
                open.map_or(Truth::No, Truth::Depends)
            }
            Test::Number(compare, wanted) => compares(*compare, wanted, number(value)),
            Test::Time(compare, wanted) => compares(*compare, wanted, time(value)),
            Test::Bool(wanted) => boolean(value).is_some_and(|is| wanted.contains(&is)).into(),
            Test::Address(networks) => value
                .parse()
                .is_ok_and(|address| networks.iter().any(|network| network.has(address)))
                .into(),
            Test::Null(_) => Truth::No,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn compares(compare: Compare, wanted: &[Amount], value: Option<Amount>) -> Truth {
    let fits = |value: Amount, wanted: &Amount| match compare {
        Compare::Equal => value == *wanted,
        Compare::Less => value < *wanted,
        Compare::AtMost => value <= *wanted,
        Compare::Greater => value > *wanted,
        Compare::AtLeast => value >= *wanted,
    };
    value.is_some_and(|value| wanted.iter().any(|one| fits(value, one))).into()
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<Amount> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite()).map(Amount)
}

/// `true` or `false`, in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(word, is)| text.eq_ignore_ascii_case(word).then_some(is))
}

/// A time of ISO 8601, down to a day, or seconds since 1970.
pub(super) fn time(text: &str) -> Option<Amount> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(seconds(time));
    }
    let date: jiff::civil::DateTime = text.parse().ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(date).ok().map(seconds)
}

fn seconds(time: jiff::Timestamp) -> Amount {
    Amount(time.as_duration().as_secs_f64())
}

impl Network {
    /// `ADDRESS` or `ADDRESS/BITS`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then(|| Self { first: masked(address, bits), bits })
    }

    /// Whether the address is in it.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.bits) == self.first
    }

    /// Its last address.
    pub(super) fn last(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => {
                let rest = u32::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((u32::from(first) | rest).into())
            }
            IpAddr::V6(first) => {
                let rest = u128::MAX.checked_shr(u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6((u128::from(first) | rest).into())
            }
        }
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let rest = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & !rest).into())
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & !rest).into())
        }
    }
}
