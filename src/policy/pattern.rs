//! A text of a policy that may have wildcards and policy variables (`${aws:username}`) in it.

use std::fmt;

use super::{
    condition::Truth,
    facts::{Fact, Facts},
    glob::{Glob, Piece, Style},
};

/// A compiled text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    /// As it was written.
    pub(super) text: String,
    style: Style,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Fixed(Glob),
    Filled(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Pieces(Vec<Piece>),
    /// `${key, 'default'}`; the key in lower case.
    Variable(String, Option<String>),
}

impl Pattern {
    /// Compiles a text; `variables`: the policy's version has them (2012-10-17).
    pub(super) fn new(text: &str, style: Style, variables: bool) -> Self {
        let form = if variables && text.contains("${") {
            parts(text, style)
        } else {
            Form::Fixed(Glob::new(text, style))
        };
        Self { text: text.to_owned(), style, form }
    }

    /// The pattern, where nothing in it depends on the request.
    pub(super) fn fixed(&self) -> Option<&Glob> {
        match &self.form {
            Form::Fixed(glob) => Some(glob),
            Form::Filled(_) => None,
        }
    }

    /// Whether a value matches, in this request.
    pub(super) fn matches(&self, value: &str, facts: &Facts) -> Truth {
        let parts = match &self.form {
            Form::Fixed(glob) => return glob.matches(value).into(),
            Form::Filled(parts) => parts,
        };
        let mut pieces: Vec<Piece> = Vec::new();
        for part in parts {
            match part {
                Part::Pieces(own) => pieces.extend(own),
                Part::Variable(key, default) => {
                    let filled = match (facts.of(key), default) {
                        (Fact::Unknown, _) => return Truth::Depends(key.clone()),
                        (Fact::Values([value]), _) => value,
                        (_, Some(default)) => default,
                        // A variable that has no value matches nothing.
                        _ => return Truth::No,
                    };
                    pieces.extend(filled.chars().map(|c| (c, true)));
                }
            }
        }
        Glob::of(&pieces, self.style).matches(value).into()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parts(text: &str, style: Style) -> Form {
    let mut parts = Vec::new();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let Some(length) = rest[at..].find('}') else { break };
        pieces.extend(rest[..at].chars().map(|c| (c, false)));
        let inner = &rest[at + 2..at + length];
        rest = &rest[at + length + 1..];
        match inner {
            "*" | "?" | "$" => pieces.extend(inner.chars().map(|c| (c, true))),
            _ => {
                parts.push(Part::Pieces(std::mem::take(&mut pieces)));
                let (key, default) = match inner.split_once(',') {
                    Some((key, default)) => {
                        (key, Some(default.trim().trim_matches('\'').to_owned()))
                    }
                    None => (inner, None),
                };
                parts.push(Part::Variable(key.trim().to_ascii_lowercase(), default));
            }
        }
    }
    pieces.extend(rest.chars().map(|c| (c, false)));
    if parts.is_empty() {
        return Form::Fixed(Glob::of(&pieces, style));
    }
    parts.push(Part::Pieces(pieces));
    Form::Filled(parts)
}
