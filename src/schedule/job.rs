//! What a job is.

use std::{future::Future, pin::Pin, time::Duration};

use crate::model::outcome::Outcome;

/// Something done again and again: a name and one function that reads, decides, writes and says
/// what came of it. It takes no input, is idempotent, does not retry itself, and neither logs nor
/// counts its own failure: the driver does. The driver never runs it twice at the same time.
pub trait Job: Send + 'static {
    /// The stable name, from the configuration: a metric's label and a line in `status`.
    fn name(&self) -> &str;

    /// How long one run may take before it counts as stuck.
    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// One run.
    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;
}
