//! The job that takes our credentials out of outputs that are no longer configured.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    model::{
        outcome::{Again, Outcome, Problem},
        output::OutputSpec,
        reason::Reason,
    },
    output::{
        Host,
        ledger::Ledger,
        withdrawal::{self, Which},
    },
    schedule::job::Job,
};

/// The job.
pub(super) struct Strays {
    /// What is published where.
    pub(super) ledger: Arc<Mutex<Ledger>>,
    /// What is configured.
    pub(super) configured: Arc<Mutex<Vec<OutputSpec>>>,
    /// Where the host's root is.
    pub(super) prefix: PathBuf,
    /// The daemon's state directory.
    pub(super) state: PathBuf,
}

impl Strays {
    async fn withdraw(&self) -> Outcome {
        let configured = self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let strays = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).strays(&configured);
        let mut done = Vec::new();
        for (name, record) in strays {
            let planned = {
                let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                withdrawal::plan(&ledger, &name, &record, Which::All)
            };
            let Some(withdrawal) = planned else {
                continue;
            };
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let (work, prefix, state) =
                (withdrawal.clone(), self.prefix.clone(), self.state.clone());
            let work = move || {
                let host = Host { prefix: &prefix, state: &state, desk: None };
                let _ = sender.send(work.carry_out(&host));
            };
            let _ = std::thread::Builder::new().name("withdraw".to_owned()).spawn(work);
            match receiver.await {
                Ok(Ok(published)) => {
                    if !published.removed.is_empty() {
                        done.push(format!(
                            "withdrew {} from {}",
                            published.removed.join(", "),
                            withdrawal.spec.path.display()
                        ));
                    }
                    let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    let _ = withdrawal.settle(&mut ledger);
                }
                Ok(Err(problem)) => {
                    return Outcome::bad(problem, Again::BackOff(Duration::from_secs(300)));
                }
                Err(_) => {
                    let problem =
                        Problem::new(Reason::JobPanicked, "the thread that withdraws ended");
                    return Outcome::bad(problem, Again::BackOff(Duration::from_secs(300)));
                }
            }
        }
        if done.is_empty() {
            Outcome::ok(Again::OnSignal)
        } else {
            Outcome::changed(done.join("; "), Again::OnSignal)
        }
    }
}

impl Job for Strays {
    fn name(&self) -> &'static str {
        "withdraw"
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(self.withdraw())
    }
}
