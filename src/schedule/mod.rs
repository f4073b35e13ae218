//! Periodic work: what a job is, and the one driver that runs all of them. Knows no job.

pub mod backoff;
pub mod clock_watch;
pub mod cron;
pub mod driver;
pub mod job;
pub mod wake;
