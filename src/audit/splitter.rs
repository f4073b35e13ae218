//! Where records begin and end in a stream of JSON, found without building values.
//!
//! Understood are a trail's files (`{"Records": [...]}`), answers of `lookup-events`
//! (`{"Events": [...]}`), a plain array of records, and records one after the other (JSON lines).
//! What is held is never more than one record's beginning, whatever the size of the stream.

use memchr::{memchr2, memchr3};

/// The longest record that is taken: ECR's largest manifest is 4 MiB, and `CloudTrail` cuts long
/// before that.
pub const LONGEST: usize = 4 << 20;

/// How much of something unreadable is shown.
const SHOWN: usize = 256;

/// A piece of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// An object that stands where records stand, as its bytes.
    Record(&'a [u8]),
    /// The beginning of one that is longer than [`LONGEST`].
    TooLong(&'a [u8]),
    /// The beginning of something that stands where a record should, and is none.
    Stray(&'a [u8]),
}

/// What surrounds the place where the next record is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// Nothing: records follow one another.
    Stream,
    /// An array at the top.
    Array,
    /// The array of a wrapper's `Records` or `Events`.
    Wrapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

/// How near an object at the top is to being a wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapper {
    No,
    /// A text that may be the key has ended.
    Key,
    /// The colon behind it has come.
    Colon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two records.
    Between,
    /// In a value that is no object or array: a number, a word, garbage.
    Scalar,
    /// In a text that stands where a record should.
    Stray,
    /// In an object (or an array that stands where a record should).
    Value { array: bool, depth: u32 },
}

/// The splitter. Feed it chunks of any size, then ask [`Splitter::is_whole`].
#[derive(Debug)]
pub struct Splitter {
    around: Around,
    state: State,
    text: Text,
    wrapper: Wrapper,
    /// In the rest of a wrapper, which is no record.
    unwrapped: bool,
    /// The value's beginning, from earlier chunks.
    held: Vec<u8>,
    /// The value was reported as too long already.
    too_long: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            around: Around::Stream,
            state: State::Between,
            text: Text::Outside,
            wrapper: Wrapper::No,
            unwrapped: false,
            held: Vec::new(),
            too_long: false,
        }
    }
}

impl Splitter {
    /// Whether the stream may end here.
    pub fn is_whole(&self) -> bool {
        self.around == Around::Stream && matches!(self.state, State::Between | State::Scalar)
    }

    /// Takes the next chunk and hands on what ends in it.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        let mut at = 0;
        // Where the current value begins in this chunk.
        let mut start = 0;
        while at < chunk.len() {
            match self.state {
                State::Between => at = self.between(chunk, at, &mut start),
                State::Scalar => {
                    let ends = |byte: &u8| match self.around {
                        Around::Stream => matches!(byte, b'\n' | b'{' | b'['),
                        _ => matches!(byte, b',' | b']'),
                    };
                    let rest = &chunk[at..];
                    let length = rest.iter().position(ends).unwrap_or(rest.len());
                    at += length;
                    if at < chunk.len() {
                        self.end(&chunk[start..at], sink);
                    }
                }
                State::Stray => {
                    at = self.in_text(chunk, at);
                    if self.text == Text::Outside {
                        self.end(&chunk[start..at], sink);
                    }
                }
                State::Value { array, depth } => {
                    at = self.value(chunk, at, array, depth);
                    match self.state {
                        // The wrapper's array has begun: what came before is no record.
                        State::Between => {
                            self.held.clear();
                            (self.unwrapped, self.too_long) = (false, false);
                        }
                        State::Value { depth: 0, .. } => self.end(&chunk[start..at], sink),
                        _ => {}
                    }
                }
            }
        }
        if self.state != State::Between {
            self.hold(&chunk[start..], sink);
        }
    }

    /// The stream has ended: hands on what was left open.
    pub fn finish(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        if self.state != State::Between && !self.unwrapped && !self.too_long {
            let held = std::mem::take(&mut self.held);
            stray(&held, sink);
        }
    }

    fn between(&mut self, chunk: &[u8], at: usize, start: &mut usize) -> usize {
        *start = at;
        match (chunk[at], self.around) {
            (b' ' | b'\t' | b'\r' | b'\n' | b',', _) => {}
            (b'{', _) => self.state = State::Value { array: false, depth: 1 },
            (b'[', Around::Stream) => self.around = Around::Array,
            (b'[', _) => self.state = State::Value { array: true, depth: 1 },
            (b']', Around::Array) => self.around = Around::Stream,
            (b']', Around::Wrapped) => {
                self.around = Around::Stream;
                self.unwrapped = true;
                self.state = State::Value { array: false, depth: 1 };
            }
            (b'"', _) => {
                self.state = State::Stray;
                self.text = Text::Inside;
            }
            _ => self.state = State::Scalar,
        }
        at + 1
    }

    /// Goes on in a value until it ends, its wrapped array begins, or the chunk ends.
    fn value(&mut self, chunk: &[u8], mut at: usize, array: bool, mut depth: u32) -> usize {
        let (open, close) = if array { (b'[', b']') } else { (b'{', b'}') };
        // Only an object at the top may turn out to be a wrapper.
        let top = self.around == Around::Stream;
        while at < chunk.len() && depth > 0 {
            if self.text != Text::Outside {
                let from = at;
                at = self.in_text(chunk, at);
                if top && depth == 1 && self.text == Text::Outside {
                    self.wrapper =
                        if self.is_key(&chunk[..at], from) { Wrapper::Key } else { Wrapper::No };
                }
                continue;
            }
            if self.wrapper != Wrapper::No {
                match (chunk[at], self.wrapper) {
                    (b' ' | b'\t' | b'\r' | b'\n', _) => at += 1,
                    (b':', Wrapper::Key) => {
                        self.wrapper = Wrapper::Colon;
                        at += 1;
                    }
                    (b'[', Wrapper::Colon) => {
                        self.wrapper = Wrapper::No;
                        self.around = Around::Wrapped;
                        self.state = State::Between;
                        return at + 1;
                    }
                    _ => self.wrapper = Wrapper::No,
                }
                continue;
            }
            let Some(next) = memchr3(b'"', open, close, &chunk[at..]) else {
                at = chunk.len();
                break;
            };
            at += next;
            if chunk[at] == b'"' {
                self.text = Text::Inside;
            } else if chunk[at] == open {
                depth = depth.saturating_add(1);
            } else {
                depth -= 1;
            }
            at += 1;
        }
        self.state = State::Value { array, depth };
        at
    }

    /// Goes on in a text until it ends or the chunk does.
    fn in_text(&mut self, chunk: &[u8], mut at: usize) -> usize {
        while at < chunk.len() {
            if self.text == Text::Escaped {
                self.text = Text::Inside;
                at += 1;
                continue;
            }
            let Some(next) = memchr2(b'"', b'\\', &chunk[at..]) else { return chunk.len() };
            at += next + 1;
            if chunk[at - 1] == b'"' {
                self.text = Text::Outside;
                return at;
            }
            self.text = Text::Escaped;
        }
        at
    }

    /// Whether the text that ends here is `Records` or `Events`; `from` is where this chunk's part
    /// of it begins.
    fn is_key(&self, until_here: &[u8], from: usize) -> bool {
        [&b"\"Records\""[..], b"\"Events\""].iter().any(|key| {
            let here = until_here.len().min(key.len());
            let (before, after) = key.split_at(key.len() - here);
            // A quote inside of a text has a backslash before it.
            let back = key.len() + 1;
            let before_key = match until_here.len().checked_sub(back) {
                Some(index) => until_here.get(index),
                None => self
                    .held
                    .len()
                    .checked_sub(back - until_here.len())
                    .and_then(|index| self.held.get(index)),
            };
            let escaped = before_key == Some(&b'\\');
            from <= until_here.len()
                && until_here.ends_with(after)
                && self.held.ends_with(before)
                && !escaped
        })
    }

    /// The value ends with this part of it.
    fn end(&mut self, part: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        let is_record = matches!(self.state, State::Value { array: false, .. });
        if !self.unwrapped && !self.too_long {
            if self.held.is_empty() {
                hand_on(part, is_record, sink);
            } else {
                self.held.extend_from_slice(part);
                hand_on(&self.held, is_record, sink);
            }
        }
        self.held.clear();
        // One long record must not cost its memory for ever.
        self.held.shrink_to(1 << 18);
        self.state = State::Between;
        self.text = Text::Outside;
        self.wrapper = Wrapper::No;
        self.unwrapped = false;
        self.too_long = false;
    }

    /// The chunk ends within a value.
    fn hold(&mut self, part: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        if self.too_long {
            return;
        }
        if self.unwrapped {
            // Only the key of another array would be of interest.
            self.held.extend_from_slice(&part[part.len().saturating_sub(16)..]);
            self.held.drain(..self.held.len().saturating_sub(16));
        } else if self.held.len() + part.len() > LONGEST {
            self.held.extend_from_slice(&part[..part.len().min(SHOWN)]);
            sink(Piece::TooLong(&self.held[..self.held.len().min(SHOWN)]));
            self.held = Vec::new();
            self.too_long = true;
        } else {
            self.held.extend_from_slice(part);
        }
    }
}

fn hand_on(value: &[u8], is_record: bool, sink: &mut impl FnMut(Piece<'_>)) {
    if is_record { sink(Piece::Record(value)) } else { stray(value, sink) }
}

fn stray(value: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
    sink(Piece::Stray(&value[..value.len().min(SHOWN)]));
}

#[cfg(test)]
mod tests;
