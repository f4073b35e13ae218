//! When a host of a fleet may ask the event history. Pure.
//!
//! All callers of an account and region share two calls a second, and hosts can't talk to each
//! other. So each has a slot, by a hash of its id, in a period so long that three hosts hardly ever
//! share a second: with n hosts in m seconds about n³/6m² seconds have three, which is to be less
//! than one in a hundred periods.

use std::time::Duration;

use jiff::Timestamp;

/// One in so many periods has a second with three calls in it.
const RARITY: f64 = 100.0;

/// How long it takes until a host asks again.
pub fn period(fleet: u32, interval: Duration) -> Duration {
    let seconds = (f64::from(fleet).powi(3) * RARITY / 6.0).sqrt();
    interval.max(Duration::from_secs_f64(seconds.ceil()))
}

/// The first slot at or after `now` of the host that stands at `place`, in `[0, 1)`.
pub fn next(now: Timestamp, place: f64, period: Duration) -> Timestamp {
    let long = i64::try_from(period.as_secs()).unwrap_or(i64::MAX).max(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let offset = (place * long as f64) as i64;
    let seconds = now.as_second();
    let begun = seconds - (seconds - offset).rem_euclid(long);
    // In the middle of its slot's second it is late, and may still ask.
    let due = if begun == seconds { begun } else { begun + long };
    Timestamp::from_second(due).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host_id::HostId;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_host_has_one_slot_in_each_period() {
        let hour = Duration::from_secs(3600);
        assert_eq!(next(at(7200), 0.5, hour), at(9000));
        assert_eq!(next(at(9000), 0.5, hour), at(9000));
        assert_eq!(next(at(9001), 0.5, hour), at(12_600));
    }

    #[test]
    fn a_small_fleet_asks_as_often_as_it_is_told_to_and_a_large_one_seldom() {
        let minutes = |fleet| period(fleet, Duration::from_secs(300)).as_secs() / 60;
        assert_eq!([1, 10, 100, 1000].map(minutes), [5, 5, 68, 2151]);
    }

    /// Ten thousand hosts in a hundred accounts of a hundred hosts, each with its own events alone,
    /// for a week: every account for itself.
    #[test]
    fn a_fleet_stays_under_the_quota_in_every_second_and_under_a_tenth_of_it_on_average() {
        const WEEK: i64 = 7 * 86_400;
        let period = period(100, Duration::from_secs(300));
        for account in 0..100 {
            let places: Vec<f64> = (0..100)
                .map(|host| HostId::new(format!("i-{account:04x}{host:013x}")).spread("lookup"))
                .collect();
            let mut calls = vec![0_u8; usize::try_from(WEEK).unwrap()];
            for place in places {
                let mut slot = next(at(0), place, period);
                while slot.as_second() < WEEK {
                    calls[usize::try_from(slot.as_second()).unwrap()] += 1;
                    slot = next(at(slot.as_second() + 1), place, period);
                }
            }
            let most = calls.iter().max().unwrap();
            let sum: u64 = calls.iter().map(|calls| u64::from(*calls)).sum();
            #[allow(clippy::cast_precision_loss)]
            let mean = sum as f64 / WEEK as f64;
            assert!(
                *most <= 2 && mean < 0.2,
                "account {account}: {most} in a second, {mean} a second"
            );
        }
    }
}
