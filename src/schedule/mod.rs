//! Periodic work: what a job is, and the one driver that runs all of them. Knows no job.

pub mod job;
