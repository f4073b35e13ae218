//! What wakes a job before its time: a signal, a change of something watched, a cron schedule.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{Notify, watch};

/// Something that fires again and again.
pub trait Trigger: Send + 'static {
    /// Resolves when it fires next. Cancel safe.
    fn fired(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl<T: Send + Sync + 'static> Trigger for watch::Receiver<T> {
    fn fired(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.changed().await.is_err() {
                // The other end is gone: it will not fire any more.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Wakes one job; signals that come while it runs make it run once more.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Wakes the job.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Resolves at the next wake, or at once if one came meanwhile. Cancel safe.
    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
