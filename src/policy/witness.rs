//! Every way in which a text can match several patterns at once, each with a text that does so:
//! what makes an enumeration over actions, resources and values exact, those that do not exist
//! yet included.

use std::{
    cell::Cell,
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
};

use super::glob::{Glob, Token};

/// States of the product automaton: above, the answer is "undecided".
const MAX_STATES: usize = 4096;

/// How much work one comparison may take over all its patterns: some tens of milliseconds.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(8_000_000))
    }

    fn spend(&self, work: usize) -> Option<()> {
        self.0.set(self.0.get().checked_sub(work)?);
        Some(())
    }
}

/// For each realisable combination of matches over the patterns, among the texts within `within`,
/// at least one text that realises it. `None` when that takes too many states, or more work than is
/// left.
///
/// Every text without wildcards stands for itself, so the automaton is built over the others only.
pub(super) fn witnesses(patterns: &[&Glob], within: &Glob, budget: &Budget) -> Option<Vec<String>> {
    let mut texts: BTreeSet<String> = BTreeSet::new();
    let (mut wild, mut exact): (Vec<&Glob>, Vec<&Glob>) = (Vec::new(), Vec::new());
    for glob in patterns.iter().copied().collect::<BTreeSet<_>>() {
        match glob.exact() {
            // One text in lower case stands for many: only the automaton knows them all.
            Some(_) if glob.folds() && !within.folds() => wild.push(glob),
            Some(text) => {
                texts.extend(within.matches(text).then(|| text.to_owned()));
                exact.push(glob);
            }
            None if glob.is_everything() || glob == within => {}
            None => wild.push(glob),
        }
    }
    loop {
        let found = combinations(&wild, within, &exact, budget)?;
        // A combination whose text happens to be one of the exact ones needs another text, or
        // there is none: the automaton is to tell them apart.
        let taken: Vec<&Glob> = exact
            .iter()
            .copied()
            .filter(|one| found.iter().any(|text| one.matches(text)))
            .collect();
        if taken.is_empty() {
            texts.extend(found);
            return Some(texts.into_iter().collect());
        }
        exact.retain(|one| !taken.contains(one));
        wild.extend(taken);
    }
}

/// The places in every pattern that a text has led to.
type State = Vec<u64>;

/// The automaton's alphabet: the characters that some pattern names, and one that none does.
fn alphabet(patterns: &[Vec<Token>], fold: bool, exact: &[&Glob]) -> Vec<char> {
    let mut named = BTreeSet::new();
    for token in patterns.iter().flatten() {
        match token {
            Token::Char(c) if fold => {
                named.extend([c.to_ascii_lowercase(), c.to_ascii_uppercase()]);
            }
            Token::Char(c) => {
                named.insert(*c);
            }
            Token::One { within: true } | Token::Run { within: true } => {
                named.insert(':');
            }
            _ => {}
        }
    }
    let in_exact =
        |c: char| exact.iter().any(|glob| glob.exact().is_some_and(|text| text.contains(c)));
    // First, so that the shortest text has as few of the patterns' own characters as can be.
    let fresh = "xqzjkv0123456789-_~\u{a7}\u{2603}"
        .chars()
        .filter(|c| !named.contains(c))
        .max_by_key(|c| !in_exact(*c));
    fresh.into_iter().chain(named).collect()
}

fn combinations(
    wild: &[&Glob],
    within: &Glob,
    exact: &[&Glob],
    budget: &Budget,
) -> Option<Vec<String>> {
    let globs: Vec<&Glob> = std::iter::once(within).chain(wild.iter().copied()).collect();
    let tokens: Vec<Vec<Token>> = globs.iter().map(|glob| glob.tokens()).collect();
    let mixed = globs.iter().any(|glob| glob.folds()) && !globs.iter().all(|glob| glob.folds());
    let letters = alphabet(&tokens, mixed, exact);
    // Where each pattern's places begin in a state.
    let mut starts = Vec::with_capacity(tokens.len());
    let mut words = 0;
    for one in &tokens {
        starts.push(words);
        words += one.len() / 64 + 1;
    }
    let machine = Machine { globs, tokens, starts, words };
    let first = machine.first();
    let mut seen: HashMap<State, usize> = HashMap::from([(first.clone(), 0)]);
    // Each state with the one before it and the character between.
    let mut trail: Vec<(usize, Option<char>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(first, 0)]);
    let mut found: HashMap<Vec<bool>, String> = HashMap::new();
    while let Some((state, number)) = queue.pop_front() {
        let accepted = machine.accepted(&state);
        if accepted[0]
            && let Entry::Vacant(place) = found.entry(accepted)
        {
            place.insert(spell(&trail, number));
        }
        for &c in &letters {
            budget.spend(machine.words)?;
            let next = machine.step(&state, c);
            if !machine.alive(&next) || seen.contains_key(&next) {
                continue;
            }
            if trail.len() >= MAX_STATES {
                return None;
            }
            seen.insert(next.clone(), trail.len());
            queue.push_back((next, trail.len()));
            trail.push((number, Some(c)));
        }
    }
    Some(found.into_values().collect())
}

fn spell(trail: &[(usize, Option<char>)], mut at: usize) -> String {
    let mut letters = Vec::new();
    while let Some(&(before, Some(c))) = trail.get(at) {
        letters.push(c);
        at = before;
    }
    letters.iter().rev().collect()
}

struct Machine<'a> {
    globs: Vec<&'a Glob>,
    tokens: Vec<Vec<Token>>,
    starts: Vec<usize>,
    words: usize,
}

impl Machine<'_> {
    fn first(&self) -> State {
        let mut state = vec![0; self.words];
        for (tokens, &start) in self.tokens.iter().zip(&self.starts) {
            enter(tokens, &mut state[start..], 0);
        }
        state
    }

    fn step(&self, state: &[u64], c: char) -> State {
        let mut next = vec![0; self.words];
        for ((tokens, &start), glob) in self.tokens.iter().zip(&self.starts).zip(&self.globs) {
            let c = if glob.folds() { c.to_ascii_lowercase() } else { c };
            for word in 0..=tokens.len() / 64 {
                let mut bits = state[start + word];
                while bits != 0 {
                    let at = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let Some(token) = tokens.get(at).filter(|token| token.takes(c)) else {
                        continue;
                    };
                    let stays = matches!(token, Token::Run { .. });
                    enter(tokens, &mut next[start..], if stays { at } else { at + 1 });
                }
            }
        }
        next
    }

    /// Whether the text can still come to be within the universe.
    fn alive(&self, state: &[u64]) -> bool {
        let end = self.starts.get(1).copied().unwrap_or(self.words);
        state[..end].iter().any(|word| *word != 0)
    }

    fn accepted(&self, state: &[u64]) -> Vec<bool> {
        let at_end = |(tokens, &start): (&Vec<Token>, &usize)| {
            let at = tokens.len();
            state[start + at / 64] >> (at % 64) & 1 == 1
        };
        self.tokens.iter().zip(&self.starts).map(at_end).collect()
    }
}

/// Marks a place, and those after it that runs of nothing lead to.
fn enter(tokens: &[Token], places: &mut [u64], mut at: usize) {
    loop {
        places[at / 64] |= 1 << (at % 64);
        if !matches!(tokens.get(at), Some(Token::Run { .. })) {
            return;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::glob::Style;

    fn combination(globs: &[Glob], text: &str) -> Vec<bool> {
        globs.iter().map(|glob| glob.matches(text)).collect()
    }

    #[test]
    fn a_star_is_more_than_all_that_is_known() {
        let globs: Vec<Glob> = ["ecr:Batch*", "ecr:BatchGetImage", "ecr:*Image"]
            .iter()
            .map(|text| Glob::new(text, Style::WildFold))
            .collect();
        let within = Glob::new("ecr:*", Style::WildFold);
        let texts = witnesses(&globs.iter().collect::<Vec<_>>(), &within, &Budget::new()).unwrap();
        let found: BTreeSet<Vec<bool>> =
            texts.iter().map(|text| combination(&globs, text)).collect();
        for expected in [
            [false, false, false],
            [true, false, false],
            [false, false, true],
            [true, false, true],
            [true, true, true],
        ] {
            assert!(found.contains(expected.as_slice()), "{expected:?} of {texts:?}");
        }
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn too_much_is_undecided_not_endless() {
        let globs: Vec<Glob> =
            (0..40).map(|n| Glob::new(&format!("*{n:b}*{:b}*", n * 7), Style::Wild)).collect();
        let within = Glob::new("*", Style::Wild);
        assert_eq!(witnesses(&globs.iter().collect::<Vec<_>>(), &within, &Budget::new()), None);
    }

    proptest! {
        #[test]
        fn no_combination_is_missed(
            patterns in prop::collection::vec("[abA*?]{0,4}", 1..4),
            styles in prop::collection::vec(prop::sample::select(vec![Style::Exact, Style::ExactFold, Style::Wild]), 3),
            texts in prop::collection::vec("[abABc]{0,5}", 1..40),
        ) {
            let globs: Vec<Glob> =
                patterns.iter().zip(styles).map(|(text, style)| Glob::new(text, style)).collect();
            let within = Glob::new("*", Style::Wild);
            let found: BTreeSet<Vec<bool>> =
                witnesses(&globs.iter().collect::<Vec<_>>(), &within, &Budget::new()).unwrap()
                    .iter().map(|text| combination(&globs, text)).collect();
            for text in texts {
                prop_assert!(found.contains(&combination(&globs, &text)), "{text}");
            }
        }
    }
}
