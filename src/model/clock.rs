//! The wall clock as an argument, so that a test can turn it.

use jiff::{SignedDuration, Timestamp};

/// Tells the time of day. Everything that decides takes a [`Timestamp`]; only what does asks one.
pub trait Clock: Send + Sync {
    /// Now, by this host's clock.
    fn now(&self) -> Timestamp;
}

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that goes with tokio's time: with `tokio::time::pause` a day takes no time at all.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedClock {
    start: Timestamp,
    origin: tokio::time::Instant,
}

impl SimulatedClock {
    /// Starts at `start`, which is now in tokio's time.
    pub fn starting(start: Timestamp) -> Self {
        Self { start, origin: tokio::time::Instant::now() }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.origin.elapsed()).unwrap_or(SignedDuration::MAX);
        self.start.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}
