//! Log lines: for people, as JSON, or as journald fields.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, Layer as _, Registry, layer::SubscriberExt as _};

/// Starts logging to standard error or journald. `format` is `auto`, `human`, `json` or
/// `journald`; ECR_WARDEN_LOG, in tracing's filter syntax, wins over `level`.
///
/// The libraries below are held to warnings: nothing of a request is ever logged.
pub fn init(format: &str, level: &str) {
    // What the SDK says of each source of credentials that it tried is in our own reason, in words.
    let quiet = format!("warn,aws_config=error,ecr_warden={level}");
    let filter = std::env::var("ECR_WARDEN_LOG")
        .ok()
        .and_then(|filter| filter.parse::<EnvFilter>().ok())
        .unwrap_or_else(|| EnvFilter::new(quiet));
    let wants_journal = match format {
        "journald" => true,
        "auto" => std::env::var_os("JOURNAL_STREAM").is_some(),
        _ => false,
    };
    if wants_journal && let Ok(journal) = tracing_journald::layer() {
        let journal = journal.with_field_prefix(Some("ECR_WARDEN".to_owned())).with_filter(filter);
        let _ = tracing::subscriber::set_global_default(Registry::default().with(journal));
        return;
    }
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(colour);
    if format == "json" {
        let lines = lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_filter(filter);
        let _ = tracing::subscriber::set_global_default(Registry::default().with(lines));
    } else {
        let _ = tracing::subscriber::set_global_default(
            Registry::default().with(lines.with_filter(filter)),
        );
    }
}
