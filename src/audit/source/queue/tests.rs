use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use proptest::prelude::*;

use super::*;
use crate::{audit::source::Body, aws::Listing};

/// A queue in which a message that was given out comes back until it is deleted, and the bucket that
/// it tells of.
#[derive(Default)]
struct World {
    waiting: Mutex<VecDeque<Message>>,
    given: Mutex<BTreeMap<String, Message>>,
}

impl World {
    fn with(messages: usize) -> Arc<Self> {
        let world = Self::default();
        for number in 0..messages {
            let body = json!({ "s3Bucket": "b", "s3ObjectKey": [format!("{number}.json.gz"), format!("{number}b.json.gz")] });
            let message = Message { receipt: number.to_string(), body: body.to_string() };
            world.waiting.lock().unwrap().push_back(message);
        }
        Arc::new(world)
    }

    /// The time is over in which messages belong to whom they were given.
    fn give_back(&self) {
        let given = std::mem::take(&mut *self.given.lock().unwrap());
        self.waiting.lock().unwrap().extend(given.into_values());
    }
}

impl Queue for World {
    fn receive(&self) -> crate::aws::BoxFuture<'_, Result<Vec<Message>, Problem>> {
        let mut waiting = self.waiting.lock().unwrap();
        let count = waiting.len().min(3);
        let batch: Vec<Message> = waiting.drain(..count).collect();
        let mut given = self.given.lock().unwrap();
        given.extend(batch.iter().map(|message| (message.receipt.clone(), message.clone())));
        Box::pin(async { Ok(batch) })
    }

    fn delete<'a>(&'a self, receipt: &'a str) -> crate::aws::BoxFuture<'a, Result<(), Problem>> {
        self.given.lock().unwrap().remove(receipt);
        Box::pin(async { Ok(()) })
    }
}

impl Bucket for World {
    fn list<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<&'a str>,
    ) -> crate::aws::BoxFuture<'a, Result<Listing, Problem>> {
        Box::pin(async { Ok(Listing::default()) })
    }

    fn get<'a>(
        &'a self,
        _: &'a str,
        key: &'a str,
    ) -> crate::aws::BoxFuture<'a, Result<Vec<u8>, Problem>> {
        Box::pin(async { Ok(key.as_bytes().to_vec()) })
    }
}

fn auditor(world: &Arc<World>) -> Queued {
    let (queue, objects) =
        (Arc::clone(world) as Arc<dyn Queue>, Arc::clone(world) as Arc<dyn Bucket>);
    Queued::new(queue, objects, "https://sqs/q", None)
}

proptest! {
    #[test]
    fn whichever_auditor_dies_whenever_every_object_is_read_by_one_that_says_so(
        messages in 1_usize..12,
        steps in prop::collection::vec((0_usize..2, 0_u8..12), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::with(messages);
            let mut auditors = [auditor(&world), auditor(&world)];
            let mut read = BTreeSet::new();
            let steps = steps.into_iter().chain((0..200).map(|step| (step % 2, 2)));
            for (step, (who, what)) in steps.enumerate() {
                if step % 7 == 0 {
                    world.give_back();
                }
                // Killed before it fetched, or between fetching and saying so.
                if what == 0 {
                    auditors[who] = auditor(&world);
                }
                if let Ok(Fetched::Parcel(parcel)) = auditors[who].fetch(Timestamp::UNIX_EPOCH).await {
                    if what == 1 {
                        auditors[who] = auditor(&world);
                        continue;
                    }
                    let Body::Bytes(bytes) = parcel.body else { panic!() };
                    read.insert(String::from_utf8(bytes).unwrap());
                    auditors[who].done(&parcel.receipt, None).await.unwrap();
                }
            }
            prop_assert_eq!(read.len(), 2 * messages);
            prop_assert!(world.waiting.lock().unwrap().is_empty());
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_message_of_another_kind_is_told_and_does_not_come_again() {
    let world = Arc::new(World::default());
    let message = Message { receipt: "x".into(), body: "hello".into() };
    world.waiting.lock().unwrap().push_back(message);
    let mut auditor = auditor(&world);
    let fetched = auditor.fetch(Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(
        matches!(&fetched, Fetched::Trouble { problem, .. } if problem.detail.ends_with("hello"))
    );
    auditor.done("", None).await.unwrap();
    assert!(world.given.lock().unwrap().is_empty());
    assert!(matches!(auditor.fetch(Timestamp::UNIX_EPOCH).await, Ok(Fetched::Nothing { .. })));
}

#[tokio::test]
async fn another_bucket_than_ours_is_not_read() {
    let world = World::with(1);
    let (queue, objects) =
        (Arc::clone(&world) as Arc<dyn Queue>, Arc::clone(&world) as Arc<dyn Bucket>);
    let mut auditor = Queued::new(queue, objects, "u", Some("ours"));
    let fetched = auditor.fetch(Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(matches!(fetched, Fetched::Trouble { .. }), "{fetched:?}");
}
