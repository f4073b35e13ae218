//! One file's words: every key known, every value of its kind, everything with its place.

use std::{collections::BTreeMap, ops::Range, path::Path};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    Mistake, Place,
    keys::{Key, Kind, Shape, TABLES, Table},
};

/// A value as it stands in a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text of any kind.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A list of texts.
    List(Vec<String>),
}

/// A value with the place that it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// One table of one file.
#[derive(Clone, Debug)]
pub struct Section {
    /// The table's description.
    pub table: &'static Table,
    /// NAME of `[table.NAME]`.
    pub name: Option<String>,
    /// Where it begins.
    pub place: Place,
    /// Its keys.
    pub keys: BTreeMap<&'static str, Given>,
}

/// What one file says.
pub type Fragment = Vec<Section>;

/// Reads one file. Mistakes are added, what is right is kept.
pub fn parse(file: &Path, text: &str, mistakes: &mut Vec<Mistake>) -> Fragment {
    let mut reader = Reader { file, text, mistakes, sections: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reader.mistake(&span, error.message().trim().replace('\n', ", "));
    }
    if errors.is_empty() {
        reader.document(document.get_ref());
    }
    reader.sections
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    mistakes: &'a mut Vec<Mistake>,
    sections: Fragment,
}

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>) {
        for (name, value) in document {
            let top = || TABLES.iter().filter(|table| !table.name.contains('.'));
            let Some(table) = top().find(|table| table.name == name.get_ref()) else {
                self.unknown(name, "table", "", top().map(|table| table.name));
                continue;
            };
            self.table(table, name, value);
        }
    }

    fn table(
        &mut self,
        table: &'static Table,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        match (table.shape, value.get_ref()) {
            (Shape::Single, DeValue::Table(keys)) => self.section(table, None, name, keys),
            (Shape::Named, DeValue::Table(named)) => {
                for (name, value) in named {
                    match value.get_ref() {
                        DeValue::Table(keys) => {
                            let who = Some(name.get_ref().to_string());
                            self.section(table, who, name, keys);
                        }
                        _ => self.mistake(
                            &name.span(),
                            format!("{0} needs a name: write [{0}.default]", table.name),
                        ),
                    }
                }
            }
            (Shape::List, DeValue::Array(items)) => {
                for item in items {
                    if let DeValue::Table(keys) = item.get_ref() {
                        let at = Spanned::new(item.span(), name.get_ref().clone());
                        self.section(table, None, &at, keys);
                    } else {
                        let message = format!("{0} is a table: write [[{0}]]", table.name);
                        self.mistake(&item.span(), message);
                    }
                }
            }
            (Shape::List, _) => self.mistake(
                &name.span(),
                format!("there may be several of it: write [[{}]]", table.name),
            ),
            _ => self.mistake(&name.span(), format!("it is a table: write [{}]", table.name)),
        }
    }

    fn section(
        &mut self,
        table: &'static Table,
        name: Option<String>,
        at: &Spanned<std::borrow::Cow<'_, str>>,
        keys: &DeTable<'_>,
    ) {
        let mut section =
            Section { table, name, place: self.place(&at.span()), keys: BTreeMap::new() };
        for (name, value) in keys {
            // A table in the table: `[[audit.expect]]`.
            let inner = format!("{}.{}", table.name, name.get_ref());
            if let Some(inner) = TABLES.iter().find(|table| table.name == inner) {
                self.table(inner, name, value);
                continue;
            }
            let Some(key) = table.keys.iter().find(|key| key.name == name.get_ref()) else {
                let known = table.keys.iter().map(|key| key.name);
                self.unknown(name, "key", table.name, known);
                continue;
            };
            match read(key, value.get_ref()) {
                Ok(found) => {
                    let given = Given { value: found, place: self.place(&value.span()) };
                    section.keys.insert(key.name, given);
                }
                Err(found) => self.mistake(
                    &value.span(),
                    format!(
                        "{}.{} is {found}; expected {}",
                        table.name,
                        key.name,
                        key.kind.expected()
                    ),
                ),
            }
        }
        self.sections.push(section);
    }

    fn unknown(
        &mut self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        what: &str,
        table: &str,
        known: impl Iterator<Item = &'static str> + Clone,
    ) {
        let dot = if table.is_empty() { "" } else { "." };
        let wrong = name.get_ref();
        let near = known
            .clone()
            .map(|known| (strsim::damerau_levenshtein(known, wrong), known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .min();
        let hint = match near {
            Some((_, known)) => format!("did you mean {table}{dot}{known}?"),
            None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.mistake(&name.span(), format!("{table}{dot}{wrong} is not a known {what}; {hint}"));
    }

    fn mistake(&mut self, span: &Range<usize>, message: String) {
        let place = self.place(span);
        self.mistakes.push(Mistake { place, message });
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The value, if it is of the key's kind; else what it is, in words.
fn read(key: &Key, value: &DeValue<'_>) -> Result<Value, String> {
    let number = |text: &str| text.replace('_', "").parse::<f64>().ok();
    match (key.kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => Ok(Value::Bool(*value)),
        (Kind::Fraction(low, high), DeValue::Integer(_) | DeValue::Float(_)) => {
            let text = match value {
                DeValue::Integer(integer) => integer.as_str(),
                DeValue::Float(float) => float.as_str(),
                _ => "",
            };
            match number(text) {
                Some(value) if (low..=high).contains(&value) => Ok(Value::Number(value)),
                _ => Err(text.to_owned()),
            }
        }
        (Kind::Count(low, high), DeValue::Integer(integer)) => match number(integer.as_str()) {
            Some(value) if (f64::from(low)..=f64::from(high)).contains(&value) => {
                Ok(Value::Number(value))
            }
            _ => Err(integer.as_str().to_owned()),
        },
        (kind, DeValue::String(text)) if !kind.is_list() => {
            if kind.accepts(text) {
                Ok(Value::Text(text.to_string()))
            } else if key.kind == Kind::Url {
                Err("not one".to_owned())
            } else {
                Err(format!("{text:?}"))
            }
        }
        (kind, DeValue::Array(items)) if kind.is_list() => {
            let mut list = Vec::new();
            for item in items {
                match item.get_ref() {
                    DeValue::String(text) if kind.accepts(text) => list.push(text.to_string()),
                    DeValue::String(text) => return Err(format!("a list with {text:?} in it")),
                    other => return Err(format!("a list with {} in it", article(other))),
                }
            }
            Ok(Value::List(list))
        }
        (_, other) => Err(article(other)),
    }
}

fn article(value: &DeValue<'_>) -> String {
    let word = value.type_str();
    let an = word.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {word}", if an { "an" } else { "a" })
}
