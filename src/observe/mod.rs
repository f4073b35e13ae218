//! What is shown: metrics, status, logs, health.

pub mod pulse;
