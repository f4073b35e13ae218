//! Cron expressions, by tokio-cron-scheduler; this file alone knows it.
//!
//! Its ticker polls twice a second from the first schedule on, so it is not started before there
//! is one and is stopped after the last. Its callback only wakes our driver, which owns running,
//! overlap, deadlines and drain. Times are UTC.

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler};

use super::wake::Wake;

/// Cron schedules that wake jobs.
#[derive(Default)]
pub struct Cron {
    running: Mutex<Option<Running>>,
}

struct Running {
    scheduler: JobScheduler,
    schedules: usize,
}

/// One schedule, to be removed.
#[derive(Clone, Copy, Debug)]
pub struct CronId(uuid::Uuid);

impl Cron {
    /// Wakes `wake` at each time that the expression names, in UTC.
    pub async fn add(&self, expression: &str, wake: Wake) -> Result<CronId, String> {
        let job = Job::new(expression, move |_, _| wake.wake()).map_err(|e| e.to_string())?;
        let mut running = self.running.lock().await;
        if let Some(running) = running.as_mut() {
            let id = running.scheduler.add(job).await.map_err(|e| e.to_string())?;
            running.schedules += 1;
            return Ok(CronId(id));
        }
        let scheduler = JobScheduler::new().await.map_err(|e| e.to_string())?;
        let id = scheduler.add(job).await.map_err(|e| e.to_string())?;
        scheduler.start().await.map_err(|e| e.to_string())?;
        *running = Some(Running { scheduler, schedules: 1 });
        Ok(CronId(id))
    }

    /// Removes a schedule; the ticker stops after the last.
    pub async fn remove(&self, id: CronId) {
        let mut slot = self.running.lock().await;
        let Some(running) = slot.as_mut() else {
            return;
        };
        let _ = running.scheduler.remove(&id.0).await;
        running.schedules -= 1;
        if running.schedules == 0 {
            let _ = running.scheduler.shutdown().await;
            *slot = None;
        }
    }

    /// Whether the ticker runs (and wakes the process twice a second).
    pub async fn ticking(&self) -> bool {
        self.running.lock().await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_ticker_runs_only_while_there_is_a_schedule() {
        let cron = Cron::default();
        assert!(!cron.ticking().await);
        let id = cron.add("* * * * * *", Wake::default()).await.unwrap();
        assert!(cron.ticking().await);
        cron.remove(id).await;
        assert!(!cron.ticking().await);
    }

    #[tokio::test]
    async fn a_schedule_wakes_the_job_again_and_again() {
        let cron = Cron::default();
        let wake = Wake::default();
        cron.add("* * * * * *", wake.clone()).await.unwrap();
        wake.woken().await;
        wake.woken().await;
    }

    #[tokio::test]
    async fn what_is_no_cron_expression_is_refused() {
        assert!(Cron::default().add("every now and then", Wake::default()).await.is_err());
    }
}
