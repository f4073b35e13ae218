//! Whether the loops are alive: each is asked and answers. Nothing polls; idle costs nothing.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

/// Asks every registered loop whether it is alive.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asked: watch::Sender<u64>,
    answered: Notify,
    members: Mutex<Vec<Weak<Member>>>,
}

#[derive(Debug)]
struct Member {
    name: String,
    answered: AtomicU64,
}

/// One loop's end: it selects on [`Beat::asked`] and answers. Dropped, the loop is no longer asked.
#[derive(Debug)]
pub struct Beat {
    asked: watch::Receiver<u64>,
    member: Arc<Member>,
    pulse: Arc<Inner>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Inner {
            asked: watch::Sender::new(0),
            answered: Notify::new(),
            members: Mutex::default(),
        }))
    }
}

impl Pulse {
    /// Adds a loop.
    pub fn register(&self, name: &str) -> Beat {
        let asked = self.0.asked.subscribe();
        let answered = AtomicU64::new(*asked.borrow());
        let member = Arc::new(Member { name: name.to_owned(), answered });
        let mut members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(&member));
        drop(members);
        Beat { asked, member, pulse: Arc::clone(&self.0) }
    }

    /// Asks all loops and waits for their answers; returns the names of those that gave none.
    pub async fn ping(&self, timeout: Duration) -> Vec<String> {
        let mut round = 0;
        self.0.asked.send_modify(|asked| {
            *asked += 1;
            round = *asked;
        });
        let all = async {
            loop {
                let answered = self.0.answered.notified();
                tokio::pin!(answered);
                answered.as_mut().enable();
                if self.silent(round).is_empty() {
                    return;
                }
                answered.await;
            }
        };
        match tokio::time::timeout(timeout, all).await {
            Ok(()) => Vec::new(),
            Err(_) => self.silent(round),
        }
    }

    fn silent(&self, round: u64) -> Vec<String> {
        let members = self.0.members.lock().unwrap_or_else(PoisonError::into_inner);
        let live = members.iter().filter_map(Weak::upgrade);
        live.filter(|member| member.answered.load(Ordering::Acquire) < round)
            .map(|member| member.name.clone())
            .collect()
    }
}

impl Beat {
    /// Resolves when the loop is asked. Cancel safe. Answer with [`Beat::answer`].
    pub async fn asked(&mut self) {
        if self.asked.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Says that the loop is alive.
    pub fn answer(&mut self) {
        let round = *self.asked.borrow_and_update();
        self.member.answered.store(round, Ordering::Release);
        self.pulse.answered.notify_waiters();
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        // A loop that ended is not waited for.
        self.member.answered.store(u64::MAX, Ordering::Release);
        self.pulse.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_answer_is_named() {
        let pulse = Pulse::default();
        let mut alive = pulse.register("alive");
        let stuck = pulse.register("stuck");
        let answering = tokio::spawn(async move {
            loop {
                alive.asked().await;
                alive.answer();
            }
        });
        assert_eq!(pulse.ping(Duration::from_secs(2)).await, ["stuck"]);
        drop(stuck);
        assert!(pulse.ping(Duration::from_secs(2)).await.is_empty());
        answering.abort();
    }
}
