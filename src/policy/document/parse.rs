//! JSON to a document, with every mistake and its place.

use super::{
    super::{
        glob::{Glob, Style},
        json::{self, Member, Value, What},
        pattern::Pattern,
    },
    Action, Document, ECR_POLICY_CHARACTERS, Effect, Kind, Mistake, Named, Spelling, Statement,
    Version, conditions, principals,
};

/// Longer than any policy of any kind: what is above is not looked at.
const MAX_BYTES: usize = 128 * 1024;

const DOCUMENT: &[&str] = &["Version", "Id", "Statement"];
const STATEMENT: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// Reads a policy. The errors are all mistakes, in their order; never empty.
pub fn parse(text: &str, kind: Kind) -> Result<Document, Vec<Mistake>> {
    let mut reading = Reading { text, mistakes: Vec::new(), variables: false, line: (0, 1) };
    let document = reading.document(kind);
    match document {
        Some(document) if reading.mistakes.is_empty() => Ok(document),
        _ => {
            let mut mistakes: Vec<Mistake> = Vec::new();
            reading.mistakes.sort();
            let mut place = Place::start();
            for (at, what) in reading.mistakes {
                place.advance(text, at);
                mistakes.push(Mistake { line: place.line, column: place.column, what });
            }
            Err(mistakes)
        }
    }
}

/// A document being read.
pub(super) struct Reading<'a> {
    text: &'a str,
    mistakes: Vec<(usize, String)>,
    /// Whether `${...}` is a variable.
    pub(super) variables: bool,
    /// The last offset whose line was asked for, and its line.
    line: (usize, usize),
}

impl Reading<'_> {
    pub(super) fn mistake(&mut self, at: usize, what: impl Into<String>) {
        // A document of mistakes alone needs no list of thousands.
        if self.mistakes.len() < 100 {
            self.mistakes.push((at, what.into()));
        }
    }

    fn line_of(&mut self, at: usize) -> usize {
        let (from, line) = self.line;
        let line = line + self.text.get(from..at).unwrap_or_default().matches('\n').count();
        self.line = (at, line);
        line
    }

    fn document(&mut self, kind: Kind) -> Option<Document> {
        let text = self.text;
        if text.len() > MAX_BYTES {
            self.mistake(0, format!("{} bytes: no policy is that long", text.len()));
            return None;
        }
        let characters = text.chars().count();
        if matches!(kind, Kind::Repository | Kind::Registry) && characters > ECR_POLICY_CHARACTERS {
            self.mistake(
                0,
                format!("{characters} characters: ECR takes {ECR_POLICY_CHARACTERS} at most, white space included"),
            );
        }
        let value = match json::read(text) {
            Ok(value) => value,
            Err(broken) => {
                let empty = text.trim().is_empty();
                let what = if empty {
                    "there is no policy in it".to_owned()
                } else {
                    format!("not JSON: {}", broken.what)
                };
                self.mistake(broken.at, what);
                return None;
            }
        };
        let What::Object(members) = &value.what else {
            self.mistake(value.at, format!("a policy is an object, not {}", value.what.noun()));
            return None;
        };
        self.names(members, DOCUMENT, "a policy");
        let version = find(members, "Version").map(|value| self.version(value));
        self.variables = version == Some(Version::V2012);
        let id = find(members, "Id").and_then(|value| self.string(value, "Id"));
        let mut statements = Vec::new();
        match find(members, "Statement") {
            None => self.mistake(value.at, "a policy needs the element Statement"),
            Some(Value { what: What::List(list), .. }) => {
                for (index, one) in list.iter().enumerate() {
                    statements.extend(self.statement(one, index + 1, kind));
                }
            }
            Some(one) => statements.extend(self.statement(one, 1, kind)),
        }
        Some(Document {
            kind,
            version: version.unwrap_or(Version::V2008),
            states_version: version.is_some(),
            id,
            statements,
            literal_variables: !self.variables && text.contains("${"),
            characters,
        })
    }

    fn version(&mut self, value: &Value<'_>) -> Version {
        match self.string(value, "Version").as_deref() {
            Some("2012-10-17") => Version::V2012,
            Some("2008-10-17") | None => Version::V2008,
            Some(other) => {
                self.mistake(
                    value.at,
                    format!("Version is \"2012-10-17\" or \"2008-10-17\", not {other:?}: it is the language's version, not the policy's date"),
                );
                Version::V2012
            }
        }
    }

    fn statement(&mut self, value: &Value<'_>, index: usize, kind: Kind) -> Option<Statement> {
        let What::Object(members) = &value.what else {
            self.mistake(value.at, format!("a statement is an object, not {}", value.what.noun()));
            return None;
        };
        self.names(members, STATEMENT, "a statement");
        let line = self.line_of(value.at);
        let mut spelling = Vec::new();
        let sid = find(members, "Sid").and_then(|value| self.string(value, "Sid"));
        let effect = find(members, "Effect");
        if effect.is_none() {
            self.mistake(value.at, "a statement needs Effect: \"Allow\" or \"Deny\"");
        }
        let effect = effect.and_then(|value| self.effect(value));
        let principals =
            match self.one_of(value, members, ("Principal", "NotPrincipal"), kind.has_principals())
            {
                Some((named, _)) if !kind.has_principals() => {
                    self.mistake(
                        named.at,
                        format!(
                            "{} has no principals: it applies to whoever it is attached to",
                            kind.noun()
                        ),
                    );
                    None
                }
                Some((value, not)) => {
                    let who = principals::read(self, value, &mut spelling);
                    Some(if not { Named::AllBut(who) } else { Named::These(who) })
                }
                None => None,
            };
        let actions =
            self.one_of(value, members, ("Action", "NotAction"), true).map(|(value, not)| {
                let actions = self.list(value, "Action", &mut spelling, action);
                if not { Named::AllBut(actions) } else { Named::These(actions) }
            });
        // Only a policy of somebody's own must say of which resources it speaks.
        let needed = !kind.has_principals();
        let resources =
            self.one_of(value, members, ("Resource", "NotResource"), needed).map(|(value, not)| {
                let variables = self.variables;
                let resources = self.list(value, "Resource", &mut spelling, |text| {
                    Ok(Pattern::new(text, Style::Resource, variables))
                });
                if not { Named::AllBut(resources) } else { Named::These(resources) }
            });
        let conditions = match find(members, "Condition") {
            Some(value) => conditions::read(self, value),
            None => Vec::new(),
        };
        Some(Statement {
            index,
            line,
            sid,
            effect: effect?,
            principals,
            actions: actions?,
            resources,
            conditions,
            spelling,
        })
    }

    fn effect(&mut self, value: &Value<'_>) -> Option<Effect> {
        let text = self.string(value, "Effect")?;
        match text.as_str() {
            "Allow" => Some(Effect::Allow),
            "Deny" => Some(Effect::Deny),
            _ => {
                self.mistake(
                    value.at,
                    format!(
                        "Effect is \"Allow\" or \"Deny\", in exactly these letters, not {text:?}"
                    ),
                );
                None
            }
        }
    }

    /// An element or its complement: exactly one of them where it is needed.
    fn one_of<'v, 't>(
        &mut self,
        statement: &Value<'t>,
        members: &'v [Member<'t>],
        (name, not): (&str, &str),
        needed: bool,
    ) -> Option<(&'v Value<'t>, bool)> {
        match (find(members, name), find(members, not)) {
            (Some(_), Some(second)) => {
                self.mistake(second.at, format!("{name} and {not} in one statement: keep one"));
                None
            }
            (Some(value), None) => Some((value, false)),
            (None, Some(value)) => Some((value, true)),
            (None, None) => {
                if needed {
                    self.mistake(statement.at, format!("a statement needs {name} or {not}"));
                }
                None
            }
        }
    }

    pub(super) fn string(&mut self, value: &Value<'_>, name: &str) -> Option<String> {
        match &value.what {
            What::Text(text) => Some(text.to_string()),
            other => {
                self.mistake(value.at, format!("{name} is a string, not {}", other.noun()));
                None
            }
        }
    }

    /// A string or a list of strings, each read by `read`; sorted, each once.
    pub(super) fn list<T: Ord>(
        &mut self,
        value: &Value<'_>,
        name: &'static str,
        spelling: &mut Vec<Spelling>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let single = std::slice::from_ref(value);
        let values = if let What::List(values) = &value.what {
            values.as_slice()
        } else {
            spelling.push(Spelling::Single(name));
            single
        };
        if values.is_empty() {
            self.mistake(value.at, format!("{name} is an empty list"));
        }
        let mut found = Vec::with_capacity(values.len());
        for one in values {
            match &one.what {
                What::Text(text) => match read(text) {
                    Ok(read) => found.push(read),
                    Err(what) => self.mistake(one.at, what),
                },
                other => self.mistake(
                    one.at,
                    format!("{name} is a string or a list of strings, not {}", other.noun()),
                ),
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

/// The first member of that name.
fn find<'v, 't>(members: &'v [Member<'t>], name: &str) -> Option<&'v Value<'t>> {
    members.iter().find(|member| member.name == name).map(|member| &member.value)
}

fn action(text: &str) -> Result<Action, String> {
    let whole = text == "*"
        || text.split_once(':').is_some_and(|(service, name)| {
            !service.is_empty() && !name.is_empty() && !name.contains(':')
        });
    if !whole || text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Err(format!("{text:?} is no action: \"ecr:NAME\", with * and ? in it, or \"*\""));
    }
    Ok(Action { glob: Glob::new(text, Style::WildFold), text: text.to_owned() })
}

/// Line and column, moved over the text in one pass.
struct Place {
    at: usize,
    line: usize,
    column: usize,
}

impl Place {
    fn start() -> Self {
        Self { at: 0, line: 1, column: 1 }
    }

    fn advance(&mut self, text: &str, to: usize) {
        for c in text.get(self.at..to).unwrap_or_default().chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at = to.max(self.at);
    }
}
