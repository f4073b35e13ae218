//! Texts with `*` and `?`, as IAM matches them in actions, resources and conditions.

/// Which wildcards a text has, and what they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Style {
    /// None: every character is itself.
    Exact,
    /// None, and letters of either case are the same.
    ExactFold,
    /// `*` is any characters, `?` is one.
    Wild,
    /// The same, and letters of either case are the same: actions.
    WildFold,
    /// As in the Resource element: a wildcard stays within its colon-separated segment, except
    /// that a `*` which ends a segment may go beyond it (user guide, "Resource").
    Resource,
    /// As in ArnEquals and ArnLike: each of the six segments by itself.
    Arn,
}

impl Style {
    fn folds(self) -> bool {
        matches!(self, Self::ExactFold | Self::WildFold)
    }
}

/// One place in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Token {
    /// This character.
    Char(char),
    /// Any one; not a colon where it stays `within` a segment.
    One { within: bool },
    /// Any number of them.
    Run { within: bool },
}

impl Token {
    /// Whether it may stand for the character.
    pub(super) fn takes(self, c: char) -> bool {
        match self {
            Self::Char(own) => own == c,
            Self::One { within } | Self::Run { within } => !within || c != ':',
        }
    }
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Glob {
    /// The text, where there are no wildcards in it.
    exact: Option<String>,
    tokens: Vec<Token>,
    fold: bool,
}

/// Whether there is a `*` or `?` in it.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'*' | b'?'))
}

/// A character of a pattern, and whether it is itself whatever it looks like (`${*}`).
pub(super) type Piece = (char, bool);

impl Glob {
    /// Compiles a text.
    pub(super) fn new(text: &str, style: Style) -> Self {
        let wild = !matches!(style, Style::Exact | Style::ExactFold);
        if wild && has_wildcard(text) {
            let pieces: Vec<Piece> = text.chars().map(|c| (c, false)).collect();
            return Self::of(&pieces, style);
        }
        let exact = if style.folds() { text.to_ascii_lowercase() } else { text.to_owned() };
        Self { exact: Some(exact), tokens: Vec::new(), fold: style.folds() }
    }

    /// Compiles characters of which some are literal.
    pub(super) fn of(pieces: &[Piece], style: Style) -> Self {
        let wild = !matches!(style, Style::Exact | Style::ExactFold);
        // "*" alone is everything, in an ARN's place too.
        let all = matches!(pieces, [('*', false)]);
        let mut segment = 0;
        let mut tokens = Vec::with_capacity(pieces.len());
        for (at, &(c, literal)) in pieces.iter().enumerate() {
            let inner = segment < 5 && !all;
            let ends = matches!(pieces.get(at + 1), None | Some((':', _)));
            let within = match style {
                Style::Resource => inner && (c == '?' || !ends),
                Style::Arn => inner,
                _ => false,
            };
            tokens.push(match c {
                '*' if wild && !literal => Token::Run { within },
                '?' if wild && !literal => Token::One { within },
                _ => Token::Char(if style.folds() { c.to_ascii_lowercase() } else { c }),
            });
            segment += usize::from(c == ':');
        }
        tokens.dedup_by(|a, b| a == b && matches!(a, Token::Run { .. }));
        let plain = |token: &Token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        };
        let exact: Option<String> = tokens.iter().map(plain).collect();
        if exact.is_some() {
            tokens.clear();
        }
        Self { exact, tokens, fold: style.folds() }
    }

    /// The one text that it matches (in lower case where case does not count), if it is one.
    pub(super) fn exact(&self) -> Option<&str> {
        self.exact.as_deref()
    }

    /// Whether letters of either case are the same.
    pub(super) fn folds(&self) -> bool {
        self.fold
    }

    /// Whether it matches whatever there is.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self.tokens.as_slice(), [Token::Run { within: false }])
    }

    /// Its tokens, for exact texts too.
    pub(super) fn tokens(&self) -> Vec<Token> {
        match &self.exact {
            Some(text) => text.chars().map(Token::Char).collect(),
            None => self.tokens.clone(),
        }
    }

    /// Whether the text matches. At most pattern times text steps.
    pub(super) fn matches(&self, text: &str) -> bool {
        match &self.exact {
            Some(exact) if self.fold => exact.eq_ignore_ascii_case(text),
            Some(exact) => exact == text,
            None => self.matches_wild(text),
        }
    }

    fn matches_wild(&self, text: &str) -> bool {
        let fold = |c: char| if self.fold { c.to_ascii_lowercase() } else { c };
        // A set of places in the pattern, moved over the text: never exponential.
        let width = self.tokens.len() + 1;
        let mut here = vec![false; width];
        let mut next = vec![false; width];
        here[0] = true;
        self.skip_runs(&mut here);
        for c in text.chars() {
            let c = fold(c);
            next.fill(false);
            let mut alive = false;
            for (at, token) in self.tokens.iter().enumerate() {
                if here[at] && token.takes(c) {
                    let to = if matches!(token, Token::Run { .. }) { at } else { at + 1 };
                    next[to] = true;
                    alive = true;
                }
            }
            if !alive {
                return false;
            }
            self.skip_runs(&mut next);
            std::mem::swap(&mut here, &mut next);
        }
        here[width - 1]
    }

    /// A run may stand for nothing.
    fn skip_runs(&self, places: &mut [bool]) {
        for (at, token) in self.tokens.iter().enumerate() {
            if places[at] && matches!(token, Token::Run { .. }) {
                places[at + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, exponential and plain.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
            ['?', rest @ ..] => !text.is_empty() && by_definition(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && by_definition(rest, &text[1..]),
        }
    }

    #[test]
    fn a_wildcard_stays_in_its_segment_of_an_arn_unless_it_ends_one_in_a_resource() {
        let arn = "arn:aws:ecr:eu-west-1:111122223333:repository/app/web";
        for (pattern, resource, condition) in [
            ("*", true, true),
            ("arn:aws:ecr:*:111122223333:repository/*", true, true),
            ("arn:aws:ecr:eu-*-1:*:repository/app/???", true, true),
            // Beyond its segment: a resource's star that ends a segment may, a condition's may not.
            ("arn:aws:ecr:*", true, false),
            ("arn:aws:ecr:*:repository/app/*", true, false),
            ("arn:aws:e*b", false, false),
            ("arn:aws:ecr:eu-west-1:111122223333:repository/App/*", false, false),
        ] {
            assert_eq!(Glob::new(pattern, Style::Resource).matches(arn), resource, "{pattern}");
            assert_eq!(Glob::new(pattern, Style::Arn).matches(arn), condition, "{pattern}");
        }
    }

    #[test]
    fn actions_are_matched_in_any_case() {
        assert!(Glob::new("ECR:batch*", Style::WildFold).matches("ecr:BatchGetImage"));
        assert!(Glob::new("ecr:PutImage", Style::WildFold).matches("ecr:putimage"));
        assert!(!Glob::new("ecr:Batch*", Style::Wild).matches("ecr:batchGetImage"));
        assert!(!Glob::new("a*", Style::Exact).matches("ab"));
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_matches(pattern in "[ab*?]{0,7}", text in "[ab]{0,7}") {
            let plain = by_definition(
                &pattern.chars().collect::<Vec<_>>(),
                &text.chars().collect::<Vec<_>>(),
            );
            prop_assert_eq!(Glob::new(&pattern, Style::Wild).matches(&text), plain);
        }
    }
}
