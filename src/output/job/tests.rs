use std::path::Path;

use super::{
    super::tests::{HOST, built, spec},
    *,
};
use crate::model::clock::SimulatedClock;

#[derive(Default)]
struct Watcher {
    repairs: Mutex<u32>,
    report: Mutex<OutputReport>,
}

impl OutputWatcher for Watcher {
    fn report(&self, _output: &str, report: &OutputReport) {
        *self.report.lock().unwrap() = report.clone();
    }

    fn wrote(&self, _output: &str, _result: Result<(), Reason>) {}

    fn repaired(&self, _output: &str) {
        *self.repairs.lock().unwrap() += 1;
    }
}

struct Stage {
    root: tempfile::TempDir,
    job: OutputJob,
    board: watch::Sender<Board>,
    watcher: Arc<Watcher>,
}

/// An output on a host of its own, and a token for it that lives for twelve hours from now.
fn stage(kind: OutputKind, path: &str) -> Stage {
    let root = tempfile::tempdir().unwrap();
    let spec = spec(kind, path);
    let (ledger, _) = Ledger::load(&root.path().join("state"));
    let board = watch::Sender::new(Board::from([(HOST.to_owned(), token("p", 12 * 3600))]));
    let watcher = Arc::<Watcher>::default();
    let tools = Tools {
        output: Arc::from(built(&spec, root.path())),
        ledger: Arc::new(Mutex::new(ledger)),
        board: board.subscribe(),
        clock: Arc::new(SimulatedClock::starting(Timestamp::UNIX_EPOCH)),
        watcher: Arc::clone(&watcher) as Arc<dyn OutputWatcher>,
        check: Duration::from_secs(900),
    };
    let job = OutputJob::new(spec, Arc::new(Mutex::new(vec![HOST.to_owned()])), tools);
    Stage { root, job, board, watcher }
}

fn token(password: &str, life: i64) -> Token {
    let expires = Timestamp::from_second(life).unwrap();
    Token { expires, ..super::super::tests::token(password) }
}

impl Stage {
    fn file(&self, path: &str) -> String {
        let path = self.root.path().join(path.trim_start_matches('/'));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn overwrite(&self, path: &str, text: &str) {
        std::fs::write(self.root.path().join(Path::new(path)), text).unwrap();
    }

    /// Runs the job once. A thread does the work, and time that stands still would not wait for it.
    async fn run(&mut self) -> Outcome {
        tokio::time::resume();
        let outcome = self.job.run().await;
        tokio::time::pause();
        outcome
    }

    /// Runs the job when it wants to run, until so long has passed.
    async fn until(&mut self, passed: u64) {
        let end = tokio::time::Instant::now() + Duration::from_secs(passed);
        while tokio::time::Instant::now() < end {
            let pause = match self.run().await.again {
                Again::In(pause) | Again::BackOff(pause) => pause,
                Again::OnSignal => Duration::MAX,
            };
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + pause)).await;
        }
    }
}

const NOON: u64 = 12 * 3600;

#[tokio::test(start_paused = true)]
async fn a_credential_stays_until_it_dies_and_not_a_minute_longer() {
    let mut stage = stage(OutputKind::DockerConfig, "/config.json");
    stage.until(NOON - 5).await;
    assert!(stage.file("/config.json").contains(HOST));
    stage.until(60).await;
    assert!(!stage.file("/config.json").contains(HOST));
    let problem = stage.watcher.report.lock().unwrap().problem.clone().unwrap();
    assert_eq!(problem.reason, Reason::OutputNoToken);
}

#[tokio::test(start_paused = true)]
async fn a_first_token_is_waited_for_without_a_word_whatever_wakes_the_output() {
    for (kind, path) in [(OutputKind::DockerConfig, "/config.json"), (OutputKind::Socket, "/sock")]
    {
        let mut stage = stage(kind, path);
        stage.board.send_replace(Board::new());
        for _ in 0..3 {
            let outcome = stage.run().await;
            assert_eq!(outcome.verdict, Verdict::Ok, "{kind:?}");
            assert!(matches!(outcome.again, Again::In(pause) if pause <= FIRST_TOKEN));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::advance(FIRST_TOKEN).await;
        let problem = stage.run().await.verdict.problem().cloned();
        assert_eq!(problem.unwrap().reason, Reason::OutputNoToken, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn containerds_header_is_gone_before_it_dies() {
    let file = format!("/certs.d/{HOST}/hosts.toml");
    let mut stage = stage(OutputKind::ContainerdHosts, "/certs.d");
    stage.until(NOON - 40).await;
    assert!(stage.file(&file).contains("Basic"));
    stage.until(20).await;
    assert!(!stage.file(&file).contains("Basic"), "{}", stage.file(&file));
}

#[tokio::test(start_paused = true)]
async fn a_short_life_is_not_eaten_up_by_the_margin() {
    let file = format!("/certs.d/{HOST}/hosts.toml");
    let mut stage = stage(OutputKind::ContainerdHosts, "/certs.d");
    stage.board.send_replace(Board::from([(HOST.to_owned(), token("p", 20))]));
    stage.until(17).await;
    assert!(stage.file(&file).contains("Basic"));
    stage.until(3).await;
    assert!(!stage.file(&file).contains("Basic"));
}

#[tokio::test(start_paused = true)]
async fn a_fight_is_named_and_left_until_there_is_a_new_token() {
    let mut stage = stage(OutputKind::DockerConfig, "/config.json");
    let _ = stage.run().await;
    for round in 1..=FIGHT {
        stage.overwrite("config.json", "{}");
        let outcome = stage.run().await;
        assert!(stage.file("/config.json").contains(HOST), "round {round}");
        let change = outcome.change.unwrap();
        assert!(change.contains("which somebody had removed"), "{change}");
    }
    assert_eq!(*stage.watcher.repairs.lock().unwrap() as usize, FIGHT);
    stage.overwrite("config.json", "{}");
    let outcome = stage.run().await;
    assert_eq!(outcome.verdict.problem().unwrap().reason, Reason::OutputFight);
    assert!(!stage.file("/config.json").contains(HOST), "it went on fighting");
    // A new token is published in the middle of the truce, and after it the old peace is back.
    stage.board.send_replace(Board::from([(HOST.to_owned(), token("q", 24 * 3600))]));
    let _ = stage.run().await;
    assert!(stage.file("/config.json").contains(HOST));
    tokio::time::sleep(TRUCE).await;
    assert_eq!(stage.run().await.verdict, Verdict::Ok);
}
