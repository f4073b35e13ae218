//! Notices a suspend and a jump of the wall clock.
//!
//! A timer on the wall clock with `TFD_TIMER_CANCEL_ON_SET` (timerfd_create(2)) is cancelled by the
//! kernel when the clock is set or the machine resumes, so both are seen at once and nothing polls.
//! What happened is told by comparing CLOCK_BOOTTIME, CLOCK_MONOTONIC and the wall clock.

use std::{io, time::Duration};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Less than this is the clock's ordinary discipline, not a jump.
const TOLERANCE: Duration = Duration::from_secs(2);

/// How the clocks stand to each other, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// CLOCK_BOOTTIME minus CLOCK_MONOTONIC: the time spent suspended.
    pub suspended: i128,
    /// CLOCK_REALTIME minus CLOCK_BOOTTIME: moves when the wall clock is set.
    pub wall: i128,
}

impl Offsets {
    /// As the clocks stand now.
    pub fn now() -> Self {
        let boot = nanos(ClockId::Boottime);
        Self { suspended: boot - nanos(ClockId::Monotonic), wall: nanos(ClockId::Realtime) - boot }
    }

    /// What happened between then and `self`, in one line; `None` if nothing did.
    pub fn since(&self, then: &Self) -> Option<String> {
        let seconds = |nanos: i128| nanos / 1_000_000_000;
        let limit = i128::try_from(TOLERANCE.as_nanos()).unwrap_or(i128::MAX);
        let (slept, jumped) = (self.suspended - then.suspended, self.wall - then.wall);
        if slept > limit {
            Some(format!("the machine was suspended for {} s", seconds(slept)))
        } else if jumped.abs() > limit {
            Some(format!("the wall clock jumped by {} s", seconds(jumped)))
        } else {
            None
        }
    }
}

/// `OwnedFd` keeps its descriptor open and the same for as long as it lives, which is what the
/// deprecation of `AsyncFd::new` is about; its successor is an unsafe function.
#[allow(deprecated)]
fn watched(timer: std::os::fd::OwnedFd) -> io::Result<AsyncFd<std::os::fd::OwnedFd>> {
    AsyncFd::new(timer)
}

fn nanos(clock: ClockId) -> i128 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec)
}

/// Waits for discontinuities of time.
#[derive(Debug)]
pub struct ClockWatch {
    timer: AsyncFd<std::os::fd::OwnedFd>,
    last: Offsets,
}

impl ClockWatch {
    /// Starts to watch. Needs a running tokio reactor.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Realtime,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let mut watch = Self { timer: watched(timer)?, last: Offsets::now() };
        watch.arm()?;
        Ok(watch)
    }

    /// Resolves after the next suspend or jump, with a line that says what happened. Cancel safe.
    pub async fn jumped(&mut self) -> String {
        loop {
            let mut ready = match self.timer.readable().await {
                Ok(ready) => ready,
                // Without a reactor there is nothing to wait for.
                Err(_) => std::future::pending().await,
            };
            let mut expirations = [0_u8; 8];
            // ECANCELED: the clock was set. An expiry (in a hundred years) arms it again, too.
            let _ = rustix::io::read(&self.timer, &mut expirations);
            ready.clear_ready();
            drop(ready);
            if self.arm().is_err() {
                std::future::pending::<()>().await;
            }
            let now = Offsets::now();
            let happened = now.since(&self.last);
            self.last = now;
            if let Some(happened) = happened {
                return happened;
            }
        }
    }

    fn arm(&mut self) -> io::Result<()> {
        let century = Duration::from_secs(100 * 365 * 24 * 3600).as_secs();
        let far = clock_gettime(ClockId::Realtime).tv_sec + i64::try_from(century).unwrap_or(0);
        let value = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: far, tv_nsec: 0 },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.timer, flags, &value)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    #[test]
    fn a_suspend_and_a_jump_are_told_apart_and_discipline_is_neither() {
        let then = Offsets { suspended: 0, wall: 1_000 * SECOND };
        let slept = Offsets { suspended: 3_600 * SECOND, wall: 1_000 * SECOND };
        assert_eq!(slept.since(&then).unwrap(), "the machine was suspended for 3600 s");
        let back = Offsets { suspended: 0, wall: 400 * SECOND };
        assert_eq!(back.since(&then).unwrap(), "the wall clock jumped by -600 s");
        let slewed = Offsets { suspended: 0, wall: 1_001 * SECOND };
        assert_eq!(slewed.since(&then), None);
    }
}
