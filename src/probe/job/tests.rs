//! Days of test pulls in no time.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::*;
use crate::{
    model::{clock::SimulatedClock, host_id::HostId, image::ImageRef, probe::Depth},
    observe::pulse::Pulse,
    probe::{
        capsule::Stop,
        diagnosis::tests::{capsule, exchange},
    },
    schedule::{
        driver::{Driver, Recorder, Run},
        wake::Wake,
    },
};

/// A registry that takes its time, and is down between two moments.
struct Fake {
    takes: Duration,
    down: Mutex<Option<(Timestamp, Timestamp)>>,
    running: Mutex<(usize, usize)>,
    began: Mutex<BTreeMap<String, Vec<Timestamp>>>,
}

impl Puller for Fake {
    fn pull<'a>(
        &'a self,
        plan: &'a Plan,
        started: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Tried> + Send + 'a>> {
        Box::pin(async move {
            {
                let mut running = self.running.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            self.began.lock().unwrap().entry(plan.image.to_string()).or_default().push(started);
            tokio::time::sleep(self.takes).await;
            self.running.lock().unwrap().0 -= 1;
            let down = self.down.lock().unwrap();
            let down = down.is_some_and(|(from, to)| (from..to).contains(&started));
            let mut one = exchange(
                crate::oci::phases::Hop::Registry,
                crate::oci::trace::Step::Manifest,
                None,
            );
            if down {
                one.failure = Some(crate::oci::error::Failure::Connect {
                    why: crate::oci::error::Unconnected::Refused,
                    words: "refused".into(),
                });
            }
            let mut capsule = capsule(one);
            capsule.stop = if down { Stop::Exchange(0) } else { Stop::Complete };
            capsule.reached = Some(plan.depth);
            capsule.into()
        })
    }
}

#[derive(Default)]
struct Log {
    ran: Mutex<Vec<(Timestamp, String, u32)>>,
    ended: Mutex<Vec<&'static str>>,
}

impl Watcher for Log {
    fn ran(&self, _probe: &ProbeSpec, run: &Ran<'_>) {
        let code = run.diagnosis.verdict.problem().map_or("ok", |problem| problem.reason.code());
        self.ran.lock().unwrap().push((run.started, code.to_owned(), run.state.failures));
    }
}

impl Recorder for Log {
    fn started(&self, _job: &str) {}
    fn ended(&self, run: &Run<'_>) {
        self.ended.lock().unwrap().push(run.verdict.word());
    }
    fn forgotten(&self, _job: &str) {}
}

struct Bench {
    fake: Arc<Fake>,
    log: Arc<Log>,
    clock: Arc<SimulatedClock>,
    driver: Driver,
    _jumps: watch::Sender<u64>,
    start: Timestamp,
}

impl Bench {
    fn new(takes: Duration) -> Self {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let log = Arc::new(Log::default());
        let jumps = watch::Sender::new(0);
        Self {
            fake: Arc::new(Fake {
                takes,
                down: Mutex::default(),
                running: Mutex::default(),
                began: Mutex::default(),
            }),
            clock: Arc::new(SimulatedClock::starting(start)),
            driver: Driver::new(
                Arc::clone(&log) as Arc<dyn Recorder>,
                Pulse::default(),
                jumps.subscribe(),
                CancellationToken::new(),
            ),
            log,
            _jumps: jumps,
            start,
        }
    }

    fn spawn(&self, host: &str, count: usize, every: u64, budget: &Budget) {
        let places = Arc::new(Semaphore::new(10));
        let budget = Arc::new(Mutex::new(budget.clone()));
        let host = HostId::new(host);
        for number in 0..count {
            let spec = self.spec(number, every);
            let place = host.spread(&spec.name);
            let shared = Tools {
                places: Arc::clone(&places),
                budget: Arc::clone(&budget),
                ..self.tools(&plenty())
            };
            let job = ProbeJob::new(spec, place, shared);
            self.driver.spawn_after(job.first(), Box::new(job), Wake::default(), None);
        }
    }

    #[allow(clippy::unused_self)]
    fn spec(&self, number: usize, every: u64) -> ProbeSpec {
        ProbeSpec {
            name: format!("p{number}"),
            image: ImageRef::parse(&format!("h.example/app{number}:1")).unwrap(),
            engine: None,
            socket: None,
            push: None,
            depth: Depth::Manifest,
            platform: None,
            schedule: Schedule::Every(Duration::from_secs(every)),
            timeout: Duration::from_secs(30),
            failures_to_alarm: 2,
            identity: None,
            canary: true,
        }
    }

    fn tools(&self, budget: &Budget) -> Tools {
        Tools {
            puller: Arc::clone(&self.fake) as Arc<dyn Puller>,
            places: Arc::new(Semaphore::new(10)),
            budget: Arc::new(Mutex::new(budget.clone())),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            watcher: Arc::clone(&self.log) as Arc<dyn Watcher>,
            stop: CancellationToken::new(),
        }
    }
}

fn plenty() -> Budget {
    Budget::new(&crate::model::probe::Probing::default())
}

/// 200 probes of one host with the same schedule, each pull taking two seconds.
#[tokio::test(start_paused = true)]
async fn two_hundred_probes_of_one_minute_run_ten_at_a_time_and_none_misses_a_turn() {
    let bench = Bench::new(Duration::from_secs(2));
    bench.spawn(
        "i-1",
        200,
        60,
        &Budget::new(&crate::model::probe::Probing {
            requests_per_day: u64::MAX,
            ..crate::model::probe::Probing::default()
        }),
    );
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(bench.fake.running.lock().unwrap().1 <= 10, "ten at a time");
    let began = bench.fake.began.lock().unwrap();
    assert_eq!(began.len(), 200);
    for (image, times) in began.iter() {
        assert!((58..=62).contains(&times.len()), "{image} ran {} times", times.len());
        for pair in times.windows(2).skip(1) {
            let apart = pair[1].duration_since(pair[0]).as_secs();
            assert!(apart <= 70, "{image}: {apart} s without a run");
        }
    }
    // Spread over the minute: no second of it sees many of them begin.
    let mut seconds = [0_u32; 60];
    for time in began.values().filter_map(|times| times.get(30)) {
        seconds[usize::try_from(time.as_second().rem_euclid(60)).unwrap()] += 1;
    }
    assert!(seconds.iter().all(|count| *count <= 12), "{seconds:?}");
}

/// A thousand hosts that start together.
#[test]
fn a_fleet_that_starts_together_does_not_pull_together() {
    let mut seconds = [0_u32; 60];
    for host in 0..6000 {
        let place = HostId::new(format!("i-{host}")).spread("canary");
        let first = turn::first(Duration::from_secs(900), place);
        seconds[usize::try_from(first.as_secs()).unwrap()] += 1;
    }
    assert!(seconds.iter().all(|count| (60..=140).contains(count)), "{seconds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_soon_counts_after_two_and_is_over_at_once() {
    let bench = Bench::new(Duration::from_secs(1));
    let from = bench.start + Duration::from_secs(1000);
    *bench.fake.down.lock().unwrap() = Some((from, from + Duration::from_secs(1200)));
    bench.spawn("i-1", 1, 900, &plenty());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let ran = bench.log.ran.lock().unwrap().clone();
    let words = bench.log.ended.lock().unwrap().clone();
    let first = ran.iter().position(|(_, code, _)| code == "connection_refused").unwrap();
    assert_eq!(words[first], "ok", "once is none");
    assert_eq!(words[first + 1], "bad");
    let apart = ran[first + 1].0.duration_since(ran[first].0).as_secs();
    assert!((5..=12).contains(&apart), "tried again after {apart} s");
    let bad = ran.iter().filter(|(_, code, _)| code != "ok").count();
    assert!((5..20).contains(&bad), "{bad} attempts in twenty minutes");
    let last = ran.iter().rposition(|(_, code, _)| code != "ok").unwrap();
    assert_eq!(words[last + 1], "ok", "one success ends it");
    let noticed = ran[last + 1].0.duration_since(from + Duration::from_secs(1200)).as_secs();
    assert!(noticed <= 310, "noticed {noticed} s after it was over");
}

#[tokio::test(start_paused = true)]
async fn a_cron_expression_that_fires_everywhere_at_once_is_spread_over_the_fleet() {
    let bench = Bench::new(Duration::from_secs(1));
    let mut wakes = Vec::new();
    for host in 0..50 {
        let mut spec = bench.spec(host, 60);
        spec.schedule = Schedule::Cron("0 17 3 * * *".into());
        let place = HostId::new(format!("i-{host}")).spread("web");
        let job = ProbeJob::new(spec, place, bench.tools(&plenty()));
        let handle = bench.driver.spawn_after(job.first(), Box::new(job), Wake::default(), None);
        wakes.push(handle);
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(bench.fake.began.lock().unwrap().is_empty(), "it has not fired");
    let fired = bench.clock.now();
    for handle in &wakes {
        handle.wake.wake();
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let began = bench.fake.began.lock().unwrap();
    let mut minutes = [0; 10];
    for times in began.values() {
        assert_eq!(times.len(), 1, "once for each time that it fires");
        let minute = times[0].duration_since(fired).as_secs() / 60;
        minutes[usize::try_from(minute).unwrap()] += 1;
    }
    assert_eq!(began.len(), 50);
    assert!(minutes.iter().all(|count| *count <= 12), "{minutes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_is_unknown_and_asks_nothing() {
    let probing = crate::model::probe::Probing { requests_per_day: 6, ..Default::default() };
    let bench = Bench::new(Duration::from_secs(1));
    bench.spawn("i-1", 1, 60, &Budget::new(&probing));
    tokio::time::sleep(Duration::from_secs(1800)).await;
    let ran = bench.log.ran.lock().unwrap().clone();
    let asked = bench.fake.began.lock().unwrap().values().map(Vec::len).sum::<usize>();
    assert_eq!(asked, 3, "one request each, and four must be left for another");
    assert!(ran.iter().skip(3).all(|(_, code, _)| code == "probe_budget_spent"), "{ran:?}");
    assert_eq!(bench.log.ended.lock().unwrap().last(), Some(&"unknown"));
}
