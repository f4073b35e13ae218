//! When a test pull has its turn, and what its last results come to. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::outcome::Verdict;

/// The first pause after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(10);

/// The longest pause while it fails, however seldom it has its turn.
const SLOWEST_RETRY: Duration = Duration::from_secs(300);

/// The first turn comes within this after the start.
const FIRST_TURN: Duration = Duration::from_secs(60);

/// How long until the first turn: this host's place in a fleet that starts together.
pub fn first(interval: Duration, place: f64) -> Duration {
    interval.min(FIRST_TURN).mul_f64(place.clamp(0.0, 1.0))
}

/// How long until the next turn. Turns stand still on the wall clock, at this host's `place` in
/// `[0, 1)` of the interval: a restart or a slow run moves none of them.
pub fn next(now: Timestamp, interval: Duration, place: f64) -> Duration {
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1000);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let place = (place.clamp(0.0, 1.0) * interval as f64) as i64;
    let pause = (place - now.as_millisecond()).rem_euclid(interval);
    // A timer that rang a moment early has had this turn.
    let had = (interval / 20).min(500);
    let pause = if pause < had { pause + interval } else { pause };
    Duration::from_millis(pause.unsigned_abs())
}

/// How long until it is tried again after `failures` (1 or more) in a row; never later than its
/// turn. `dice` in `[0, 1)`: what failed together does not come back together.
pub fn retry(failures: u32, turn: Duration, interval: Duration, dice: f64) -> Duration {
    let slowest = (interval / 3).clamp(FIRST_RETRY, SLOWEST_RETRY);
    let doubled = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.clamp(1, 16) - 1));
    doubled.min(slowest).mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0).min(turn)
}

/// What the last results come to.
#[derive(Clone, Debug)]
pub struct State {
    alarm_after: u32,
    /// Results in a row that were not fine.
    pub failures: u32,
    /// What counts: fine until enough of them were not.
    pub verdict: Verdict,
    /// Since when it is not fine, counted from the first of the row.
    pub failing_since: Option<Timestamp>,
}

impl State {
    /// Fine until seen otherwise.
    pub fn new(alarm_after: u32) -> Self {
        Self { alarm_after, failures: 0, verdict: Verdict::Ok, failing_since: None }
    }

    /// Takes a result in. One that is fine ends a row at once.
    pub fn take(&mut self, result: &Verdict, at: Timestamp) {
        if *result == Verdict::Ok {
            *self = Self::new(self.alarm_after);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.failing_since = self.failing_since.or(Some(at));
        if self.failures >= self.alarm_after {
            self.verdict = result.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{outcome::Problem, reason::Reason};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn one_failure_is_none_yet_and_one_success_ends_the_row() {
        let bad = Verdict::Bad(Problem::new(Reason::ImageMissing, "x"));
        let mut state = State::new(2);
        state.take(&bad, at(0));
        assert_eq!((&state.verdict, state.failures), (&Verdict::Ok, 1));
        state.take(&bad, at(10));
        assert_eq!((&state.verdict, state.failing_since), (&bad, Some(at(0))));
        state.take(&Verdict::Ok, at(20));
        assert_eq!((&state.verdict, state.failures), (&Verdict::Ok, 0));
        state.take(&bad, at(30));
        assert_eq!(state.verdict, Verdict::Ok);
    }

    #[test]
    fn retries_come_sooner_than_the_turn_and_grow() {
        let (interval, turn) = (Duration::from_secs(900), Duration::from_secs(800));
        let pauses: Vec<u64> =
            (1..8).map(|failures| retry(failures, turn, interval, 1.0).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(retry(5, Duration::from_secs(3), interval, 1.0).as_secs(), 3);
        assert_eq!(retry(9, Duration::from_secs(60), Duration::from_secs(60), 1.0).as_secs(), 20);
    }

    proptest! {
        #[test]
        fn turns_stand_still_on_the_clock(
            start in 0_i64..10_000_000,
            interval in 1_u64..100_000,
            place in 0.0_f64..1.0,
            took in 0_i64..100,
        ) {
            let interval_of = Duration::from_secs(interval);
            let turn = |from: Timestamp| from + next(from, interval_of, place);
            let first = turn(at(start));
            let pause = first.duration_since(at(start)).as_millis();
            prop_assert!(pause > 0 && pause <= i128::from(interval) * 1050);
            // The next one is a whole number of intervals later, however long the run took.
            let second = turn(first + Duration::from_secs(took.unsigned_abs()));
            let apart = second.duration_since(first).as_millis();
            prop_assert_eq!(apart % (i128::from(interval) * 1000), 0);
            prop_assert!(apart > 0);
        }
    }
}
