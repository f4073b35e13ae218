//! Exponential backoff with full jitter. Pure.

use std::time::Duration;

/// The first pause's upper bound.
const FIRST: Duration = Duration::from_secs(1);

/// No pause is shorter: whatever the dice say, it never becomes a hot loop.
const SHORTEST: Duration = Duration::from_millis(500);

/// The pause after `failures` (1 or more) failures in a row, at most `cap`. `dice` in `[0, 1)` is
/// full jitter: a fleet that fails together does not come back together.
pub fn pause(failures: u32, cap: Duration, dice: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.clamp(1, 24)));
    doubled.min(cap).mul_f64(dice.clamp(0.0, 1.0)).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let bounds: Vec<u64> =
            (1..8).map(|n| pause(n, Duration::from_secs(60), 1.0).as_secs()).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 32, 60, 60]);
    }

    proptest! {
        #[test]
        fn never_a_hot_loop_and_never_past_the_cap(failures: u32, cap in 1_u64..100_000, dice in 0.0_f64..1.0) {
            let cap = Duration::from_secs(cap);
            let pause = pause(failures, cap, dice);
            prop_assert!(pause >= SHORTEST && pause <= cap);
        }
    }
}
