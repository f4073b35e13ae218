//! JSON with the place of everything in it, and with every member of an object, duplicates too:
//! serde_json keeps the last one silently and forgets where a value stood.

use std::borrow::Cow;

/// Deeper than any policy is.
const MAX_DEPTH: usize = 32;

/// A value and where it begins, as a byte offset.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value<'a> {
    pub(super) at: usize,
    pub(super) what: What<'a>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Vec<Member<'a>>),
}

/// A member of an object and where its name begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) at: usize,
    pub(super) name: Cow<'a, str>,
    pub(super) value: Value<'a>,
}

impl What<'_> {
    /// What it is, for an error.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// What is wrong with the text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) at: usize,
    pub(super) what: String,
}

/// Reads one JSON text (RFC 8259) in time linear in its length.
pub(super) fn read(text: &str) -> Result<Value<'_>, Broken> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.broken("something follows after the end of the document"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn broken(&self, what: &str) -> Broken {
        Broken { at: self.at, what: what.to_owned() }
    }

    fn expected(&self, what: &str) -> Broken {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the end of the text".to_owned(),
            Some(c) => format!("{c:?}"),
        };
        Broken { at: self.at, what: format!("expected {what}, found {found}") }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Broken> {
        self.space();
        if depth > MAX_DEPTH {
            return Err(self.broken("nested deeper than any policy is"));
        }
        let at = self.at;
        let what = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => What::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Value { at, what })
    }

    fn word(&mut self) -> Result<What<'a>, Broken> {
        for (word, what) in
            [("null", What::Null), ("true", What::Bool(true)), ("false", What::Bool(false))]
        {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(what);
            }
        }
        Err(self.expected("a value"))
    }

    fn object(&mut self, depth: usize) -> Result<What<'a>, Broken> {
        self.at += 1;
        // As many as a statement has.
        let mut members = Vec::with_capacity(6);
        loop {
            self.space();
            match self.peek() {
                Some(b'}') if members.is_empty() => break,
                Some(b'"') => {}
                _ => return Err(self.expected("a name in double quotes")),
            }
            let at = self.at;
            let name = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.expected("':'"));
            }
            self.at += 1;
            members.push(Member { at, name, value: self.value(depth + 1)? });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.expected("',' or '}'")),
            }
        }
        self.at += 1;
        Ok(What::Object(members))
    }

    fn list(&mut self, depth: usize) -> Result<What<'a>, Broken> {
        self.at += 1;
        let mut values = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(What::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.expected("',' or ']'")),
            }
        }
        self.at += 1;
        Ok(What::List(values))
    }

    fn number(&mut self) -> Result<What<'a>, Broken> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.at;
        self.digits()?;
        if self.at > whole + 1 && self.text.as_bytes()[whole] == b'0' {
            self.at = whole;
            return Err(self.broken("a number does not begin with 0"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(What::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// A string whose opening quote is next; borrowed where nothing in it is escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, Broken> {
        self.at += 1;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            match self.peek() {
                None => return Err(self.expected("a closing quote")),
                Some(b'"') => {
                    let last = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(last),
                        Some(text) => Cow::Owned(text + last),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(&self.text[start..self.at]);
                    let c = self.escape()?;
                    owned.get_or_insert_default().push(c);
                    start = self.at;
                }
                Some(0..=0x1f) => {
                    return Err(self.broken("a control character in a string must be escaped"));
                }
                Some(_) => {
                    let rest = &self.text.as_bytes()[self.at..];
                    let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
                    self.at += rest.iter().position(ends).unwrap_or(rest.len());
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Broken> {
        self.at += 1;
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char, Broken> {
        let at = self.at;
        let lone = Broken { at, what: "half of a surrogate pair".to_owned() };
        let first = self.hex()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(lone);
        }
        if first >= 0xdc00 || !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            return Err(lone);
        }
        self.at += 1;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(lone)
    }

    /// The four digits after a `u`.
    fn hex(&mut self) -> Result<u32, Broken> {
        self.at += 1;
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let value = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.expected("four hexadecimal digits"))?;
        self.at += 4;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As serde_json reads it: the last of several members of one name.
    fn plain(value: &Value<'_>) -> serde_json::Value {
        match &value.what {
            What::Null => serde_json::Value::Null,
            What::Bool(is) => (*is).into(),
            What::Number(text) => serde_json::from_str(text).unwrap(),
            What::Text(text) => text.as_ref().into(),
            What::List(values) => values.iter().map(plain).collect(),
            What::Object(members) => {
                members.iter().map(|one| (one.name.to_string(), plain(&one.value))).collect()
            }
        }
    }

    #[test]
    fn what_is_broken_is_named_with_its_place() {
        for (text, at, what) in [
            ("", 0, "expected a value, found the end of the text"),
            ("{\"a\":1,}", 7, "expected a name in double quotes, found '}'"),
            ("[1 2]", 3, "expected ',' or ']', found '2'"),
            ("{\"a\" 1}", 5, "expected ':', found '1'"),
            ("\"a", 2, "expected a closing quote, found the end of the text"),
            ("\"\\ud800x\"", 2, "half of a surrogate pair"),
            ("\"\\x\"", 2, "expected an escape, found 'x'"),
            ("01", 0, "a number does not begin with 0"),
            ("{} {}", 3, "something follows after the end of the document"),
            ("\u{feff}{}", 0, "expected a value, found '\\u{feff}'"),
        ] {
            assert_eq!(read(text), Err(Broken { at, what: what.to_owned() }), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).unwrap_err().what.contains("deeper"));
    }

    #[test]
    fn duplicates_are_seen() {
        let What::Object(members) = read("{\"a\":1,\"a\":2}").unwrap().what else { panic!() };
        assert_eq!(members.iter().map(|one| one.at).collect::<Vec<_>>(), [1, 7]);
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(
            text in "([ \\[\\]{},:\"a0-9.eE+\\-]|\\\\[u\"nx\\\\]|d83d|de00|null|true|false|\"a\":|\u{1}|é){0,24}",
        ) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text).ok();
            prop_assert_eq!(read(&text).ok().map(|value| plain(&value)), theirs);
        }

        #[test]
        fn what_serde_json_writes_it_reads(text in "\\PC*", number: f64, pretty: bool) {
            let value = serde_json::json!({text.clone(): [text, number, null, true, {"a": {}}, []]});
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(plain(&read(&text).unwrap()), value);
        }
    }
}
