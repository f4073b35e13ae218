use std::{
    future::Future,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;

/// A job that does what its script says, run by run; the last line repeats.
struct Scripted {
    runs: Arc<AtomicUsize>,
    script: Vec<Act>,
}

#[derive(Clone, Copy)]
enum Act {
    Fine(u64),
    Fail(u64),
    Panic,
    Hang,
    Take(u64),
}

impl Job for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn run(&mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        Box::pin(async {
            let run = self.runs.fetch_add(1, Ordering::SeqCst);
            match self.script[run.min(self.script.len() - 1)] {
                Act::Fine(pause) => Outcome::ok(Again::In(Duration::from_secs(pause))),
                Act::Fail(cap) => Outcome::bad(
                    Problem::new(Reason::Throttled, ""),
                    Again::BackOff(Duration::from_secs(cap)),
                ),
                Act::Panic => panic!("told to"),
                Act::Hang => std::future::pending().await,
                Act::Take(long) => {
                    tokio::time::sleep(Duration::from_secs(long)).await;
                    Outcome::ok(Again::OnSignal)
                }
            }
        })
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<(String, u32)>>);

impl Recorder for Log {
    fn started(&self, _job: &str) {}
    fn ended(&self, run: &Run<'_>) {
        let word = run.verdict.problem().map_or("ok", |problem| problem.reason.code());
        self.0.lock().unwrap().push((word.to_owned(), run.failures));
    }
    fn forgotten(&self, _job: &str) {}
}

struct Bench {
    driver: Driver,
    log: Arc<Log>,
    jumps: watch::Sender<u64>,
    pulse: Pulse,
    runs: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        let log = Arc::new(Log::default());
        let jumps = watch::Sender::new(0);
        let pulse = Pulse::default();
        let driver = Driver::new(
            Arc::clone(&log) as Arc<dyn Recorder>,
            pulse.clone(),
            jumps.subscribe(),
            CancellationToken::new(),
        );
        Self { driver, log, jumps, pulse, runs: Arc::default() }
    }

    fn start(&self, script: &[Act]) -> Handle {
        let job = Scripted { runs: Arc::clone(&self.runs), script: script.to_vec() };
        self.driver.spawn(Box::new(job), Wake::default(), None)
    }

    async fn after(&self, seconds: u64) -> usize {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_at_once_and_then_as_it_asks() {
    let bench = Bench::new();
    let _job = bench.start(&[Act::Fine(60)]);
    assert_eq!(bench.after(1).await, 1);
    assert_eq!(bench.after(58).await, 1);
    assert_eq!(bench.after(2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_hang_are_outcomes_and_the_job_goes_on() {
    let bench = Bench::new();
    let _job = bench.start(&[Act::Panic, Act::Hang, Act::Fine(3600)]);
    bench.after(1000).await;
    let log = bench.log.0.lock().unwrap().clone();
    let expected = [("job_panicked", 1), ("job_timeout", 2), ("ok", 0)];
    assert_eq!(log, expected.map(|(word, failures)| (word.to_owned(), failures)));
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_back_off_instead_of_looping() {
    let bench = Bench::new();
    let _job = bench.start(&[Act::Fail(60)]);
    let runs = bench.after(3600).await;
    // Full jitter under a cap of a minute: 120 runs an hour on average, 7,200 if each pause were
    // the shortest.
    assert!((60..400).contains(&runs), "{runs}");
}

#[tokio::test(start_paused = true)]
async fn a_wake_during_a_run_makes_one_more_run_and_never_two_at_once() {
    let bench = Bench::new();
    let job = bench.start(&[Act::Take(10)]);
    bench.after(1).await;
    for _ in 0..5 {
        job.wake.wake();
    }
    assert_eq!(bench.after(8).await, 1);
    assert_eq!(bench.after(60).await, 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspend_or_a_clock_jump_every_job_looks_at_once() {
    let bench = Bench::new();
    let _job = bench.start(&[Act::Fine(43_200)]);
    assert_eq!(bench.after(1).await, 1);
    bench.jumps.send_modify(|jumps| *jumps += 1);
    assert_eq!(bench.after(1).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_loop_answers_the_pulse_also_while_its_job_waits() {
    let bench = Bench::new();
    let _job = bench.start(&[Act::Take(20)]);
    bench.after(1).await;
    assert!(bench.pulse.ping(Duration::from_secs(1)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_run_in_progress_end_and_starts_no_other() {
    let bench = Bench::new();
    let _job = bench.start(&[Act::Take(5)]);
    bench.after(1).await;
    assert!(!bench.driver.drain(Duration::from_secs(1)).await);
    assert!(bench.driver.drain(Duration::from_secs(10)).await);
    assert_eq!(bench.log.0.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watched_change_wakes_the_job() {
    let bench = Bench::new();
    let board = watch::Sender::new(0);
    let job = Scripted { runs: Arc::clone(&bench.runs), script: vec![Act::Fine(3600)] };
    let trigger: Box<dyn Trigger> = Box::new(board.subscribe());
    let _job = bench.driver.spawn(Box::new(job), Wake::default(), Some(trigger));
    assert_eq!(bench.after(1).await, 1);
    board.send_replace(1);
    assert_eq!(bench.after(1).await, 2);
}
