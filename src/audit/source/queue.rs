//! A trail's bucket by a queue of its notifications: any number of auditors share the work, and a
//! message whose auditor dies goes to another one.

use std::{collections::VecDeque, path::Path, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    BoxFuture, Fetched, Source,
    bucket::{DELAY, take},
    notice,
};
use crate::{
    audit::walk::is_log,
    aws::{Bucket, Message, Queue},
    model::{outcome::Problem, reason::Reason},
};

/// The queue.
pub struct Queued {
    queue: Arc<dyn Queue>,
    objects: Arc<dyn Bucket>,
    url: String,
    /// The only bucket that is read, where one is named.
    bucket: Option<String>,
    waiting: VecDeque<Message>,
    /// The message that is being worked on, and its objects that are left.
    open: Option<(Message, VecDeque<notice::Object>)>,
    covered: Option<Timestamp>,
}

impl Queued {
    /// A queue that tells of objects of `bucket`, or of any.
    pub fn new(
        queue: Arc<dyn Queue>,
        objects: Arc<dyn Bucket>,
        url: &str,
        bucket: Option<&str>,
    ) -> Self {
        Self {
            queue,
            objects,
            url: url.to_owned(),
            bucket: bucket.map(str::to_owned),
            waiting: VecDeque::new(),
            open: None,
            covered: None,
        }
    }

    async fn next(&mut self, now: Timestamp) -> Result<Fetched, Problem> {
        loop {
            if let Some((message, objects)) = &mut self.open {
                let Some((bucket, key)) = objects.front().cloned() else {
                    self.queue.delete(&message.receipt).await?;
                    self.open = None;
                    continue;
                };
                if !is_log(Path::new(&key)) {
                    objects.pop_front();
                    continue;
                }
                if self.bucket.as_ref().is_some_and(|ours| *ours != bucket) {
                    let detail = "the queue names another bucket than audit.bucket".to_owned();
                    return Ok(Fetched::Trouble {
                        name: format!("s3://{bucket}/{key}"),
                        problem: Problem::new(Reason::AuditUnreadable, detail),
                        receipt: String::new(),
                    });
                }
                let taken = take(self.objects.as_ref(), &bucket, key, String::new()).await;
                if taken.is_err() {
                    // It is not ours for ever: the queue gives it out again.
                    self.open = None;
                    self.waiting.clear();
                }
                return taken;
            }
            if let Some(message) = self.waiting.pop_front() {
                match notice::objects(&message.body) {
                    Some(objects) => self.open = Some((message, objects.into())),
                    None => return Ok(self.stray(message)),
                }
                continue;
            }
            self.waiting = self.queue.receive().await?.into();
            if self.waiting.is_empty() {
                self.covered = self.covered.max(now.checked_sub(DELAY).ok());
                return Ok(Fetched::Nothing { pause: None });
            }
        }
    }

    /// A message that tells of no object: told with its beginning, then deleted, since it would come
    /// again for ever.
    fn stray(&mut self, message: Message) -> Fetched {
        let beginning: String = message.body.chars().take(200).collect();
        let detail = format!("a message of the queue tells of no object: {beginning}");
        self.open = Some((message, VecDeque::new()));
        Fetched::Trouble {
            name: self.url.clone(),
            problem: Problem::new(Reason::AuditUnreadable, detail),
            receipt: String::new(),
        }
    }
}

impl Source for Queued {
    fn name(&self) -> String {
        format!("sqs:{}", self.url)
    }

    fn fetch(&mut self, now: Timestamp) -> BoxFuture<'_, Result<Fetched, Problem>> {
        Box::pin(self.next(now))
    }

    fn done<'a>(
        &'a mut self,
        _: &'a str,
        _: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async {
            let Some((message, objects)) = &mut self.open else { return Ok(()) };
            objects.pop_front();
            if objects.is_empty() {
                self.queue.delete(&message.receipt).await?;
                self.open = None;
            }
            Ok(())
        })
    }

    /// When the queue was last found empty: what other auditors work on is not known here.
    fn covered(&self) -> Option<Timestamp> {
        self.covered
    }

    fn place(&self) -> Value {
        json!({ "covered": self.covered })
    }

    fn go_to(&mut self, place: &Value) {
        self.covered = place["covered"].as_str().and_then(|covered| covered.parse().ok());
    }
}

#[cfg(test)]
mod tests;
