//! What is shown: metrics, status, logs, health.

pub mod history;
pub mod http;
pub mod log;
pub mod metrics;
pub mod prediction;
pub mod pulse;
pub mod status;
pub mod web_config;
