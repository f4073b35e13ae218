//! A trail's bucket by listing its days: for one auditor.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Body, BoxFuture, Fetched, Parcel, Source};
use crate::{
    audit::{
        seen::{Recent, mark},
        walk::is_log,
    },
    aws::Bucket,
    model::{outcome::Problem, reason::Reason},
};

/// So many objects are known to be done: of two days in one region of a hundred accounts.
const DONE: usize = 100_000;

/// A file is in the bucket so long after its events.
pub(super) const DELAY: SignedDuration = SignedDuration::from_mins(15);

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The bucket.
pub struct Listed {
    objects: Arc<dyn Bucket>,
    bucket: String,
    prefix: String,
    back: SignedDuration,
    done: Recent<u64, ()>,
    covered: Option<Timestamp>,
    round: Option<Round>,
}

/// One time through all days that may have news.
struct Round {
    began: Timestamp,
    /// Prefixes of days that are still to be listed.
    days: VecDeque<String>,
    /// The day that is being listed, and its next page.
    page: Option<(String, Option<String>)>,
    keys: VecDeque<String>,
}

impl Listed {
    /// What is below the prefix, which goes down to the region.
    pub fn new(objects: Arc<dyn Bucket>, bucket: &str, prefix: &str, back: Duration) -> Self {
        Self {
            objects,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            back: SignedDuration::try_from(back).unwrap_or(DAY),
            done: Recent::new(DONE),
            covered: None,
            round: None,
        }
    }

    fn begin(&self, now: Timestamp) -> Round {
        // Files of yesterday may still come, whatever is covered.
        let from = match self.covered {
            Some(covered) => covered.checked_sub(DAY),
            None => now.checked_sub(self.back),
        };
        let mut day = from.unwrap_or(now).min(now);
        let mut days = VecDeque::new();
        loop {
            days.push_back(format!("{}{}", self.prefix, day.strftime("%Y/%m/%d/")));
            if day.strftime("%F").to_string() == now.strftime("%F").to_string() {
                break;
            }
            day = day.checked_add(DAY).unwrap_or(now).min(now);
        }
        Round { began: now, days, page: None, keys: VecDeque::new() }
    }

    async fn next(&mut self, now: Timestamp) -> Result<Fetched, Problem> {
        let mut round = match self.round.take() {
            Some(round) => round,
            None => self.begin(now),
        };
        let fetched = self.on(&mut round).await;
        match &fetched {
            // Only a round that came through all days says that nothing is missing.
            Ok(Fetched::Nothing { .. }) => {
                self.covered = self.covered.max(round.began.checked_sub(DELAY).ok());
            }
            Ok(_) => self.round = Some(round),
            Err(_) => {}
        }
        fetched
    }

    async fn on(&mut self, round: &mut Round) -> Result<Fetched, Problem> {
        loop {
            while let Some(key) = round.keys.pop_front() {
                if !is_log(Path::new(&key)) || self.done.get(&mark(&[&key])).is_some() {
                    continue;
                }
                return take(self.objects.as_ref(), &self.bucket, key.clone(), key).await;
            }
            let (day, next) = match round.page.take() {
                Some(page) => page,
                None => match round.days.pop_front() {
                    Some(day) => (day, None),
                    None => return Ok(Fetched::Nothing { pause: None }),
                },
            };
            let listing = self.objects.list(&self.bucket, &day, next.as_deref()).await?;
            round.keys.extend(listing.keys);
            round.page = listing.next.map(|next| (day, Some(next)));
        }
    }
}

/// Fetches an object; one that is not there, or far too large, is no reason to stop.
pub(super) async fn take(
    objects: &dyn Bucket,
    bucket: &str,
    key: String,
    receipt: String,
) -> Result<Fetched, Problem> {
    let name = format!("s3://{bucket}/{key}");
    match objects.get(bucket, &key).await {
        Ok(bytes) => Ok(Fetched::Parcel(Parcel { name, body: Body::Bytes(bytes), receipt })),
        Err(problem) if problem.reason == Reason::AuditUnreadable => {
            Ok(Fetched::Trouble { name, problem, receipt })
        }
        Err(problem) => Err(problem),
    }
}

impl Source for Listed {
    fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    fn fetch(&mut self, now: Timestamp) -> BoxFuture<'_, Result<Fetched, Problem>> {
        Box::pin(self.next(now))
    }

    fn done<'a>(
        &'a mut self,
        receipt: &'a str,
        _: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        self.done.put(mark(&[receipt]), ());
        Box::pin(async { Ok(()) })
    }

    fn covered(&self) -> Option<Timestamp> {
        self.covered
    }

    fn place(&self) -> Value {
        let done: Vec<u64> = self.done.iter().map(|(mark, ())| *mark).collect();
        json!({ "done": done, "covered": self.covered })
    }

    fn go_to(&mut self, place: &Value) {
        for mark in place["done"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
            self.done.put(mark, ());
        }
        self.covered = place["covered"].as_str().and_then(|covered| covered.parse().ok());
    }
}
