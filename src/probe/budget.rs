//! What the test pulls of a host may take in 24 hours, and what they took. Pure: the hour comes in
//! as an argument. Kept in memory: a restart begins a new count.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::probe::Probing;

const HOURS: i64 = 24;

/// The count.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes_per_day: u64,
    requests_per_day: u64,
    /// Hour, bytes, requests.
    spent: VecDeque<(i64, u64, u64)>,
}

/// What is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Bytes.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
}

impl Budget {
    /// Nothing is spent yet.
    pub fn new(probing: &Probing) -> Self {
        Self {
            bytes_per_day: probing.bytes_per_day,
            requests_per_day: probing.requests_per_day,
            spent: VecDeque::new(),
        }
    }

    /// What may still be spent at `now`.
    pub fn left(&self, now: Timestamp) -> Left {
        let since = hour(now) - HOURS;
        let recent = || self.spent.iter().filter(|(hour, ..)| *hour > since);
        let bytes = recent().map(|(_, bytes, _)| bytes).sum();
        let requests = recent().map(|(.., requests)| requests).sum();
        Left {
            bytes: self.bytes_per_day.saturating_sub(bytes),
            requests: self.requests_per_day.saturating_sub(requests),
        }
    }

    /// Notes what was spent.
    pub fn spend(&mut self, now: Timestamp, bytes: u64, requests: u64) {
        let now = hour(now);
        while self.spent.front().is_some_and(|(hour, ..)| *hour <= now - HOURS) {
            self.spent.pop_front();
        }
        match self.spent.back_mut() {
            Some(last) if last.0 == now => {
                last.1 = last.1.saturating_add(bytes);
                last.2 = last.2.saturating_add(requests);
            }
            _ => self.spent.push_back((now, bytes, requests)),
        }
    }

    /// Sets bytes aside before they are transferred, if there are so many left.
    pub fn reserve(&mut self, now: Timestamp, bytes: u64) -> bool {
        let enough = bytes <= self.left(now).bytes;
        if enough {
            self.spend(now, bytes, 0);
        }
        enough
    }
}

fn hour(now: Timestamp) -> i64 {
    now.as_second().div_euclid(3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    #[test]
    fn what_is_spent_comes_back_after_a_day() {
        let probing = Probing { bytes_per_day: 100, requests_per_day: 10, ..Probing::default() };
        let mut budget = Budget::new(&probing);
        budget.spend(at(0), 60, 4);
        budget.spend(at(5), 30, 4);
        assert_eq!(budget.left(at(5)), Left { bytes: 10, requests: 2 });
        assert!(!budget.reserve(at(6), 11));
        assert!(budget.reserve(at(6), 10));
        assert_eq!(budget.left(at(6)), Left { bytes: 0, requests: 2 });
        assert_eq!(budget.left(at(24)), Left { bytes: 60, requests: 6 });
        budget.spend(at(24), 1000, 1000);
        assert_eq!(budget.left(at(24)), Left { bytes: 0, requests: 0 });
        assert_eq!(budget.left(at(48)), Left { bytes: 100, requests: 10 });
    }
}
