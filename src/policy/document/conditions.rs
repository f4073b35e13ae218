//! The element Condition: operators, keys, values.

use std::borrow::Cow;

use super::{
    super::{
        condition::{self, Compare, Condition, Network, Quantifier, Test},
        glob::Style,
        json::{Value, What},
        pattern::Pattern,
    },
    names::{Seen, nearest},
    parse::Reading,
};

/// What kind of values an operator compares, and how.
#[derive(Clone, Copy)]
enum Operator {
    Text(Style),
    Number(Compare),
    Time(Compare),
    Bool,
    Address,
    Null,
}

/// Every operator: its name, what it compares, whether it is the opposite.
const OPERATORS: &[(&str, Operator, bool)] = &[
    ("StringEquals", Operator::Text(Style::Exact), false),
    ("StringNotEquals", Operator::Text(Style::Exact), true),
    ("StringEqualsIgnoreCase", Operator::Text(Style::ExactFold), false),
    ("StringNotEqualsIgnoreCase", Operator::Text(Style::ExactFold), true),
    ("StringLike", Operator::Text(Style::Wild), false),
    ("StringNotLike", Operator::Text(Style::Wild), true),
    ("NumericEquals", Operator::Number(Compare::Equal), false),
    ("NumericNotEquals", Operator::Number(Compare::Equal), true),
    ("NumericLessThan", Operator::Number(Compare::Less), false),
    ("NumericLessThanEquals", Operator::Number(Compare::AtMost), false),
    ("NumericGreaterThan", Operator::Number(Compare::Greater), false),
    ("NumericGreaterThanEquals", Operator::Number(Compare::AtLeast), false),
    ("DateEquals", Operator::Time(Compare::Equal), false),
    ("DateNotEquals", Operator::Time(Compare::Equal), true),
    ("DateLessThan", Operator::Time(Compare::Less), false),
    ("DateLessThanEquals", Operator::Time(Compare::AtMost), false),
    ("DateGreaterThan", Operator::Time(Compare::Greater), false),
    ("DateGreaterThanEquals", Operator::Time(Compare::AtLeast), false),
    ("Bool", Operator::Bool, false),
    ("BinaryEquals", Operator::Text(Style::Exact), false),
    ("IpAddress", Operator::Address, false),
    ("NotIpAddress", Operator::Address, true),
    ("ArnEquals", Operator::Text(Style::Arn), false),
    ("ArnLike", Operator::Text(Style::Arn), false),
    ("ArnNotEquals", Operator::Text(Style::Arn), true),
    ("ArnNotLike", Operator::Text(Style::Arn), true),
    ("Null", Operator::Null, false),
];

/// All conditions of a statement.
pub(super) fn read(reading: &mut Reading<'_>, value: &Value<'_>) -> Vec<Condition> {
    let What::Object(operators) = &value.what else {
        reading.mistake(
            value.at,
            format!("Condition is an object of operators, not {}", value.what.noun()),
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut seen = Seen::of(operators);
    for (at, member) in operators.iter().enumerate() {
        if seen.twice(at, true) {
            reading.mistake(
                member.at,
                format!("{:?} is there twice: put all its keys under one", member.name),
            );
        }
        let Some((quantifier, operator, negated, if_exists)) = operator(&member.name) else {
            let bare = member.name.rsplit(':').next().unwrap_or_default();
            let known: Vec<&str> = OPERATORS.iter().map(|(name, ..)| *name).collect();
            let near = nearest(bare, &known);
            reading.mistake(
                member.at,
                format!("there is no condition operator {:?}{near}", member.name),
            );
            continue;
        };
        if if_exists && matches!(operator, Operator::Null) {
            reading.mistake(member.at, "Null asks whether a key exists: it has no IfExists");
        }
        let What::Object(keys) = &member.value.what else {
            reading.mistake(
                member.value.at,
                format!("{:?} is an object of keys, not {}", member.name, member.value.what.noun()),
            );
            continue;
        };
        let mut seen = Seen::of(keys);
        for (at, key) in keys.iter().enumerate() {
            if seen.twice(at, true) {
                reading.mistake(
                    key.at,
                    format!(
                        "the key {:?} is there twice: put all its values into one list",
                        key.name
                    ),
                );
            }
            if !key.name.contains(':') || key.name.contains(char::is_whitespace) {
                reading.mistake(
                    key.at,
                    format!("{:?} is no condition key: a service's prefix and a name, such as \"aws:SourceVpce\"", key.name),
                );
            }
            let texts = values(reading, &key.value, &key.name);
            let mut shown = String::with_capacity(member.name.len() + key.name.len() + 32);
            shown.extend([member.name.as_ref(), " ", key.name.as_ref()]);
            for (at, (_, text)) in texts.iter().enumerate() {
                shown.extend([if at == 0 { " " } else { ", " }, text.as_ref()]);
            }
            let test = test(reading, operator, &texts);
            found.push(Condition {
                quantifier,
                test,
                negated,
                if_exists,
                key: key.name.to_ascii_lowercase(),
                shown,
            });
        }
    }
    found.sort_by(|a, b| a.meaning().cmp(&b.meaning()));
    found
}

fn operator(name: &str) -> Option<(Quantifier, Operator, bool, bool)> {
    let (quantifier, bare) = match name.split_once(':') {
        None => (Quantifier::One, name),
        Some((set, bare)) if set.eq_ignore_ascii_case("ForAllValues") => (Quantifier::All, bare),
        Some((set, bare)) if set.eq_ignore_ascii_case("ForAnyValue") => (Quantifier::Any, bare),
        Some(_) => return None,
    };
    let split = bare.len().saturating_sub("IfExists".len());
    let (bare, if_exists) = match (bare.get(..split), bare.get(split..)) {
        (Some(operator), Some(end)) if end.eq_ignore_ascii_case("IfExists") => (operator, true),
        _ => (bare, false),
    };
    let (_, operator, negated) =
        OPERATORS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(bare))?;
    Some((quantifier, *operator, *negated, if_exists))
}

/// The values as texts: numbers and booleans may stand without quotes.
fn values<'v>(
    reading: &mut Reading<'_>,
    value: &'v Value<'_>,
    key: &str,
) -> Vec<(usize, Cow<'v, str>)> {
    let single = std::slice::from_ref(value);
    let values = if let What::List(values) = &value.what { values.as_slice() } else { single };
    let mut texts = Vec::with_capacity(values.len());
    for one in values {
        let text = match &one.what {
            What::Text(text) => Cow::Borrowed(text.as_ref()),
            What::Bool(is) => Cow::Borrowed(if *is { "true" } else { "false" }),
            What::Number(number) => Cow::Borrowed(*number),
            other => {
                reading.mistake(
                    one.at,
                    format!("a value of {key:?} is a string, not {}", other.noun()),
                );
                continue;
            }
        };
        texts.push((one.at, text));
    }
    texts
}

fn test(reading: &mut Reading<'_>, operator: Operator, texts: &[(usize, Cow<'_, str>)]) -> Test {
    match operator {
        Operator::Text(style) => {
            let variables = reading.variables;
            Test::Text(each(reading, texts, "", |text| Some(Pattern::new(text, style, variables))))
        }
        Operator::Number(compare) => {
            Test::Number(compare, each(reading, texts, "a number", condition::number))
        }
        Operator::Time(compare) => Test::Time(
            compare,
            each(reading, texts, "a time such as 2026-01-31T00:00:00Z", condition::time),
        ),
        Operator::Bool => Test::Bool(each(reading, texts, "true or false", condition::boolean)),
        Operator::Null => Test::Null(each(reading, texts, "true or false", condition::boolean)),
        Operator::Address => Test::Address(each(
            reading,
            texts,
            "an address or a range such as 203.0.113.0/24",
            Network::parse,
        )),
    }
}

/// The values, read; sorted, each once.
fn each<T: Ord>(
    reading: &mut Reading<'_>,
    texts: &[(usize, Cow<'_, str>)],
    noun: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Vec<T> {
    let mut found = Vec::with_capacity(texts.len());
    for (at, text) in texts {
        match read(text) {
            Some(value) => found.push(value),
            None => reading.mistake(*at, format!("{text:?} is not {noun}")),
        }
    }
    found.sort();
    found.dedup();
    found
}
