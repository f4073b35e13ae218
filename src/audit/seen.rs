//! What was seen before, in bounded memory. Pure.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::Hash,
};

/// The last so many things, each with a value: the oldest is forgotten first.
#[derive(Debug)]
pub struct Recent<K, V> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
    most: usize,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    /// Remembers at most so many.
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), most }
    }

    /// Remembers this value; what was known before.
    pub fn put(&mut self, key: K, value: V) -> Option<V> {
        match self.known.entry(key.clone()) {
            Entry::Occupied(mut known) => Some(known.insert(value)),
            Entry::Vacant(place) => {
                place.insert(value);
                self.order.push_back(key);
                if self.order.len() > self.most
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.known.remove(&oldest);
                }
                None
            }
        }
    }

    /// What is known.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.known.get(key)
    }

    /// Everything that is known, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().filter_map(|key| self.known.get_key_value(key))
    }
}

/// A text as a number: two of a hundred thousand are taken for one with a chance of one in a
/// billion, and a million of them fit where texts would not.
pub fn mark(parts: &[&str]) -> u64 {
    use sha2::{Digest as _, Sha256};
    let digest = parts
        .iter()
        .fold(Sha256::new(), |sha, part| sha.chain_update(part.as_bytes()).chain_update([0]))
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_told_and_memory_has_an_end() {
        let mut recent = Recent::new(3);
        assert!(["a", "b", "c"].iter().all(|id| recent.put(*id, 1).is_none()));
        assert_eq!(recent.put("a", 2), Some(1));
        assert!(recent.put("d", 1).is_none() && recent.get(&"a").is_none());
        assert_eq!((recent.known.len(), recent.iter().count()), (3, 3));
    }

    #[test]
    fn a_mark_tells_where_its_parts_end() {
        assert_ne!(mark(&["ab", "c"]), mark(&["a", "bc"]));
        assert_eq!(mark(&["a"]), mark(&["a"]));
    }
}
