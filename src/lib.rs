//! ecr-warden keeps Amazon ECR credentials fresh on every host, and says why when a pull would fail.
//!
//! The rooms, in reading order:

/// Who uses the images: CloudTrail records to findings.
pub mod audit;
/// AWS behind small traits.
pub mod aws;
/// One file a subcommand.
pub mod cli;
/// Configuration files to validated settings.
pub mod config;
/// How each consumer finds its credential.
pub mod consumer;
/// The one place that knows every part.
pub mod daemon;
/// For each consumer on this host: which credential, from where, until when, and whether it works.
pub mod explain;
/// The credential helper and the kubelet's provider.
pub mod helper;
/// Which host this is.
pub mod host;
/// The vocabulary: registries, tokens, outcomes, reasons.
pub mod model;
/// Metrics, status, logs, health.
pub mod observe;
/// The registry's HTTP.
pub mod oci;
/// Where tokens are published.
pub mod output;
/// What the primary account's policies grant, and how that differs from what they should.
pub mod policy;
/// Test pulls and their diagnosis.
pub mod probe;
/// AWS and a registry on loopback.
#[cfg(feature = "sandbox")]
pub mod sandbox;
/// Jobs and the driver that runs them.
pub mod schedule;
/// Files of the daemon's own.
pub mod state_file;
/// Notifications to systemd.
pub mod systemd;
/// The token keeper.
pub mod token;
/// Which certificate authorities are trusted.
pub mod trust;
