//! What a probe's phases usually take, and which of them has become slow. Pure.

use std::collections::BTreeMap;

use super::{capsule::Capsule, timeline::seconds_by_phase};
use crate::oci::phases::{Hop, Phase};

/// So many good runs make a habit.
const HABIT: u32 = 10;

/// The weight of a new run.
const WEIGHT: f64 = 0.1;

/// Slow is so many times what is usual ...
const TIMES: f64 = 3.0;

/// ... and at least so many seconds more.
const MORE: f64 = 0.25;

/// The usual of one probe.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    usual: BTreeMap<(Hop, Phase), (f64, u32)>,
    bytes: u64,
}

/// A phase that took far longer than it usually does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// At which host.
    pub hop: Hop,
    /// Which.
    pub phase: Phase,
    /// Seconds, usually.
    pub usual: f64,
    /// Seconds, this time.
    pub now: f64,
}

impl Baseline {
    /// Takes a run that was fine in; the phase that lost the most time, if one was slow.
    pub fn take(&mut self, capsule: &Capsule) -> Option<Slow> {
        // Another image behind the same tag has a transfer of its own.
        if capsule.bytes.abs_diff(self.bytes) > self.bytes / 5 {
            self.usual.retain(|(_, phase), _| !matches!(phase, Phase::Transfer | Phase::Verify));
            self.bytes = capsule.bytes;
        }
        let mut worst: Option<Slow> = None;
        for (hop, phases) in seconds_by_phase(capsule) {
            for (phase, now) in phases {
                let (usual, runs) = self.usual.entry((hop, phase)).or_insert((now, 0));
                let slow = Slow { hop, phase, usual: *usual, now };
                let lost = now - *usual;
                if *runs >= HABIT
                    && now > *usual * TIMES
                    && lost > MORE
                    && worst.is_none_or(|worst| lost > worst.now - worst.usual)
                {
                    worst = Some(slow);
                }
                *usual += (now - *usual) * WEIGHT;
                *runs = runs.saturating_add(1);
            }
        }
        worst
    }
}

impl std::fmt::Display for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} at the {} took {:.2} s, usually {:.2} s",
            self.phase.word(),
            self.hop.word(),
            self.now,
            self.usual
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::probe::diagnosis::tests::{capsule, exchange};

    fn run(hop: Hop, phase: Phase, millis: u64) -> Capsule {
        let mut one = exchange(hop, crate::oci::trace::Step::Layer, None);
        one.timings.add(Phase::Connect, Duration::from_millis(2));
        one.timings.add(phase, Duration::from_millis(millis));
        capsule(one)
    }

    #[test]
    fn the_phase_that_lost_the_time_is_named_once_there_is_a_habit() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.take(&run(Hop::Storage, Phase::Tls, 900)), None, "no habit yet");
        let mut baseline = Baseline::default();
        for millis in [20, 22, 19, 25, 20, 18, 21, 20, 24, 20, 23] {
            assert_eq!(baseline.take(&run(Hop::Storage, Phase::Tls, millis)), None);
        }
        assert_eq!(baseline.take(&run(Hop::Storage, Phase::Tls, 200)), None, "a trifle");
        let slow = baseline.take(&run(Hop::Storage, Phase::Tls, 900)).unwrap();
        assert_eq!((slow.hop, slow.phase), (Hop::Storage, Phase::Tls));
        assert!(slow.to_string().starts_with("tls at the storage took 0.90 s, usually 0.0"));
    }
}
