use std::sync::Mutex;

use super::*;
use crate::{
    aws::{CredentialsInfo, HistoryPage},
    model::principal::Principal,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A history with an event every so many seconds, which shows each of them ten minutes later.
struct Busy {
    every: i64,
    now: Mutex<Timestamp>,
    calls: Mutex<Vec<(Timestamp, HistoryQuery)>>,
    throttled: Mutex<u32>,
}

impl Busy {
    fn new(every: i64) -> Arc<Self> {
        let (calls, throttled) = (Mutex::default(), Mutex::default());
        Arc::new(Self { every, now: Mutex::new(at(0)), calls, throttled })
    }
}

impl EventHistory for Busy {
    fn page<'a>(
        &'a self,
        query: &'a HistoryQuery,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Result<HistoryPage, Problem>> {
        let now = *self.now.lock().unwrap();
        self.calls.lock().unwrap().push((now, query.clone()));
        let mut throttled = self.throttled.lock().unwrap();
        if *throttled > 0 {
            *throttled -= 1;
            return Box::pin(async { Err(Problem::new(Reason::Throttled, "Rate exceeded")) });
        }
        let visible = minus(now, SignedDuration::from_mins(10)).as_second();
        let (from, until) = (query.from.as_second(), query.until.as_second().min(visible));
        let ids: Vec<i64> = (from / self.every..=until / self.every).rev().collect();
        let start: usize = next.map_or(0, |next| next.parse().unwrap());
        let records = ids.iter().skip(start).take(50).map(ToString::to_string).collect();
        let next = (start + 50 < ids.len()).then(|| (start + 50).to_string());
        Box::pin(async { Ok(HistoryPage { records, next }) })
    }
}

struct Me;

impl Identity for Me {
    fn credentials(&self) -> BoxFuture<'_, Result<CredentialsInfo, Problem>> {
        Box::pin(async { Err(Problem::new(Reason::CredentialsMissing, "")) })
    }

    fn principal(&self) -> BoxFuture<'_, Result<Principal, Problem>> {
        let arn = "arn:aws:sts::210987654321:assumed-role/host/i-1".to_owned();
        let me = Principal { account: "210987654321".into(), arn, unique_id: "AROA:i-1".into() };
        Box::pin(async { Ok(me) })
    }
}

/// Runs the source as the job does, from one second to another; the ids seen, and the worst lag of
/// all rounds in seconds.
async fn follow(busy: &Busy, lookup: &mut Lookup, from: i64, until: i64) -> (Vec<i64>, i64) {
    let (mut seen, mut worst, mut second) = (Vec::new(), 0, from);
    while second < until {
        let now = at(second);
        *busy.now.lock().unwrap() = now;
        match lookup.fetch(now).await {
            Ok(Fetched::Parcel(parcel)) => {
                let Body::Bytes(bytes) = &parcel.body else { panic!() };
                let text = String::from_utf8(bytes.clone()).unwrap();
                seen.extend(text.lines().map(|id| id.parse::<i64>().unwrap()));
                lookup.done(&parcel.receipt, None).await.unwrap();
            }
            Ok(Fetched::Nothing { pause }) => {
                let wait = pause.unwrap_or(Duration::from_secs(300)).as_secs();
                second += i64::try_from(wait.max(1)).unwrap();
                if let Some(covered) = lookup.covered() {
                    worst = worst.max(at(second).duration_since(covered).as_secs());
                }
            }
            Ok(Fetched::Trouble { receipt, .. }) => lookup.done(&receipt, None).await.unwrap(),
            Err(_) => second += 60,
        }
    }
    (seen, worst)
}

fn alone(busy: &Arc<Busy>) -> Lookup {
    let history = Arc::clone(busy) as Arc<dyn EventHistory>;
    Lookup::new(history, None, "eu-west-1", Turn::Alone, Duration::from_secs(3600))
}

#[tokio::test]
async fn one_auditor_of_a_busy_account_misses_nothing_and_stays_a_tenth_below_the_quota() {
    // One a second: as many as a busy account has in its ECR.
    let busy = Busy::new(1);
    let mut lookup = alone(&busy);
    // It catches up with an hour first.
    let (mut seen, _) = follow(&busy, &mut lookup, 0, 3600).await;
    let (more, worst) = follow(&busy, &mut lookup, 3600, 6 * 3600).await;
    seen.extend(more);
    let covered = lookup.covered().unwrap().as_second();
    seen.sort_unstable();
    seen.dedup();
    let first = at(-3600).as_second();
    let expected: Vec<i64> = (first..=covered).collect();
    let seen: Vec<i64> = seen.into_iter().filter(|id| (first..=covered).contains(id)).collect();
    assert_eq!(seen, expected);
    let calls = busy.calls.lock().unwrap();
    for pair in calls.windows(2) {
        assert!(pair[1].0.duration_since(pair[0].0) >= PACE, "{pair:?}");
    }
    // CloudTrail's own delay is ten minutes here.
    assert!(worst <= (10 + 20) * 60, "{worst}");
}

#[tokio::test]
async fn a_host_of_a_fleet_asks_once_in_its_slot_for_its_own_events_whatever_wakes_it() {
    let busy = Busy::new(3600);
    let period = Duration::from_secs(4083);
    let history = Arc::clone(&busy) as Arc<dyn EventHistory>;
    let turn = Turn::Slot { place: 0.25, period };
    let back = Duration::from_secs(86_400);
    let mut lookup = Lookup::new(history, Some(Arc::new(Me)), "eu-west-1", turn, back);
    follow(&busy, &mut lookup, 0, 86_400).await;
    let calls = busy.calls.lock().unwrap();
    assert_eq!(calls.len(), 21);
    assert!(calls.iter().all(|(time, _)| (time.as_second() - 1020).rem_euclid(4083) == 0));
    assert_eq!(calls[0].1.filter, HistoryFilter::Username("i-1".into()));
}

#[tokio::test]
async fn when_aws_throttles_the_pause_grows_and_the_page_is_not_lost() {
    let busy = Busy::new(60);
    *busy.throttled.lock().unwrap() = 3;
    let mut lookup = alone(&busy);
    let (seen, _) = follow(&busy, &mut lookup, 0, 3600).await;
    assert!(seen.len() > 50);
    let calls = busy.calls.lock().unwrap();
    assert_eq!(calls[0].1, calls[3].1);
    assert!(calls[3].0.duration_since(calls[2].0) >= SignedDuration::from_secs(20));
}

#[tokio::test]
async fn a_time_that_the_history_does_not_reach_is_a_gap_and_not_silence() {
    let busy = Busy::new(3600);
    let mut lookup = alone(&busy);
    lookup.go_to(&json!({ "covered": minus(at(0), REACH + SignedDuration::from_hours(24)) }));
    let fetched = lookup.fetch(at(0)).await.unwrap();
    let Fetched::Trouble { problem, receipt, .. } = fetched else { panic!("{fetched:?}") };
    assert_eq!(problem.reason, Reason::AuditGap);
    lookup.done(&receipt, None).await.unwrap();
    assert!(matches!(lookup.fetch(at(0)).await, Ok(Fetched::Parcel(_))));
}
