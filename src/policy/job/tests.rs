use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::{
    aws::{BoxFuture, CredentialsInfo, Page},
    model::{clock::SimulatedClock, policy::Mode, principal::Principal},
    policy::PULL,
};

const OURS: &str = "210987654321";
const ARN: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/";

type Answer = Result<Option<String>, Problem>;

/// A registry's answers, by repository, and how often each was asked.
#[derive(Default)]
struct Registry {
    policies: Mutex<BTreeMap<String, Vec<Answer>>>,
    names: Vec<String>,
    own: Option<String>,
    asked: Mutex<Vec<(tokio::time::Instant, String)>>,
}

impl Registry {
    fn set(&self, name: &str, answers: Vec<Answer>) {
        self.policies.lock().unwrap().insert(name.to_owned(), answers);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl PolicyReader for Registry {
    fn repository_policy<'a>(&'a self, repository: &'a str) -> BoxFuture<'a, Answer> {
        self.asked.lock().unwrap().push((tokio::time::Instant::now(), repository.to_owned()));
        let mut policies = self.policies.lock().unwrap();
        let answer = match policies.get_mut(repository) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => Ok(None),
        };
        Box::pin(async { answer })
    }

    fn repositories(&self, next: Option<String>) -> BoxFuture<'_, Result<Page, Problem>> {
        let from: usize = next.map_or(0, |at| at.parse().unwrap());
        let page: Vec<String> = self.names.iter().skip(from).take(1000).cloned().collect();
        let to = from + page.len();
        let next = (to < self.names.len()).then(|| to.to_string());
        Box::pin(async { Ok((page, next)) })
    }

    fn registry_policy(&self) -> BoxFuture<'_, Result<Option<String>, Problem>> {
        let text = self.own.clone();
        Box::pin(async { Ok(text) })
    }

    fn registry_scope(&self) -> BoxFuture<'_, Result<Option<String>, Problem>> {
        Box::pin(async { Ok(Some("V2".to_owned())) })
    }
}

struct Host;

impl Identity for Host {
    fn credentials(&self) -> BoxFuture<'_, Result<CredentialsInfo, Problem>> {
        Box::pin(async { Ok(CredentialsInfo { fingerprint: String::new(), expires: None }) })
    }

    fn principal(&self) -> BoxFuture<'_, Result<Principal, Problem>> {
        Box::pin(async {
            Ok(Principal {
                account: OURS.to_owned(),
                arn: format!("arn:aws:sts::{OURS}:assumed-role/host/i-0123"),
                unique_id: "AROAEXAMPLE:i-0123".to_owned(),
            })
        })
    }
}

#[derive(Default)]
struct Board(Mutex<BTreeMap<String, Report>>, Mutex<usize>);

impl Watcher for Board {
    fn checked(&self, _scope: &Scope, reports: &BTreeMap<String, Report>, whole: bool) {
        *self.0.lock().unwrap() = reports.clone();
        *self.1.lock().unwrap() += usize::from(whole);
    }
}

#[allow(clippy::unnecessary_wraps)] // as it is answered
fn allows(accounts: &[&str]) -> Answer {
    let text = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": accounts }, "Action": PULL },
    ] });
    Ok(Some(text.to_string()))
}

fn baseline(repositories: &[&str]) -> BaselineSpec {
    BaselineSpec {
        registry: "images".to_owned(),
        repositories: repositories.iter().map(|one| (*one).to_owned()).collect(),
        grants: Grants::Lists { pull: vec![OURS.to_owned()], push: Vec::new() },
        mode: Mode::AtLeast,
    }
}

struct Stage {
    registry: Arc<Registry>,
    board: Arc<Board>,
    job: PolicyJob,
}

fn stage(registry: Registry, baselines: Vec<BaselineSpec>, audited: bool) -> Stage {
    let (registry, board) = (Arc::new(registry), Arc::new(Board::default()));
    let scope = Scope {
        name: "images".to_owned(),
        hosts: Vec::new(),
        arn: ARN.to_owned(),
        names: Vec::new(),
        baselines,
        interval: Duration::from_secs(6 * 3600),
        place: 0.5,
    };
    let reader = Arc::clone(&registry) as Arc<dyn PolicyReader>;
    let tools = Tools {
        own: Arc::clone(&reader),
        audit: audited.then_some(reader),
        history: None,
        clock: Arc::new(SimulatedClock::starting(Timestamp::UNIX_EPOCH)),
        stop: CancellationToken::new(),
        identity: Arc::new(Host),
        watcher: Arc::clone(&board) as Arc<dyn Watcher>,
    };
    Stage { registry, board, job: PolicyJob::new(scope, tools) }
}

impl Stage {
    /// The job's runs until a round has ended; its last verdict.
    async fn round(&mut self) -> Verdict {
        let before = *self.board.1.lock().unwrap();
        loop {
            let outcome = self.job.run().await;
            let (Again::In(pause) | Again::BackOff(pause)) = outcome.again else {
                panic!("it waits for nothing")
            };
            if *self.board.1.lock().unwrap() > before {
                return outcome.verdict;
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn report(&self, name: &str) -> Report {
        self.board.0.lock().unwrap()[name].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_grant_is_told_with_what_was_lost_and_that_this_host_cannot_pull() {
    let registry = Registry::default();
    registry.set("app/web", vec![allows(&["111122223333"])]);
    registry.set("app/ok", vec![allows(&[OURS])]);
    let mut stage = stage(registry, vec![baseline(&["app/web", "app/ok"])], true);
    let verdict = stage.round().await;
    let problem = verdict.problem().unwrap();
    assert_eq!((verdict.word(), problem.reason), ("bad", Reason::PolicyPullDenied));
    assert!(problem.detail.starts_with("app/web: this host can't pull: ecr:"), "{problem}");
    assert_eq!(stage.report("app/web").standing.unwrap().class(), "narrower");
    assert_eq!(stage.report("app/ok").problem("app/ok"), None);
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_like_drift_for_a_moment_is_not_told() {
    let registry = Registry::default();
    registry.set("app/web", vec![allows(&["111122223333"]), allows(&[OURS])]);
    let mut stage = stage(registry, vec![baseline(&["app/web"])], true);
    assert_eq!(stage.round().await, Verdict::Ok);
    assert_eq!(stage.registry.asked(), 2, "it was looked at again");
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_wait_for_a_second_look() {
    let registry = Registry::default();
    registry.set("app/web", vec![allows(&["111122223333"])]);
    let mut stage = stage(registry, vec![baseline(&["app/web"])], true);
    let (began, stop) = (tokio::time::Instant::now(), stage.job.stop());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
    });
    let outcome = stage.job.run().await;
    assert_eq!((began.elapsed(), outcome.again), (Duration::from_secs(1), Again::OnSignal));
    assert!(stage.board.0.lock().unwrap().is_empty(), "nothing half looked at is told");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_may_not_be_read_is_unknown_and_never_no_drift() {
    let registry = Registry::default();
    let denied = Problem::new(Reason::PolicyUnreadable, "403 AccessDeniedException");
    registry.set("app/web", vec![Err(denied)]);
    let mut stage = stage(registry, vec![baseline(&["app/web"])], false);
    let verdict = stage.round().await;
    assert_eq!(verdict.word(), "unknown");
    assert_eq!(verdict.problem().unwrap().reason, Reason::PolicyUnreadable);
    let report = stage.report("app/web");
    assert_eq!((report.standing, report.pull.unwrap().access), (None, Access::Undecided));
}

#[tokio::test(start_paused = true)]
async fn without_an_auditor_a_grant_of_the_repository_is_said_to_hold_unless() {
    let registry = Registry::default();
    registry.set("app/web", vec![allows(&[OURS])]);
    let mut stage = stage(registry, vec![baseline(&["app/web"])], false);
    assert_eq!(stage.round().await, Verdict::Ok);
    let pull = stage.report("app/web").pull.unwrap();
    assert_eq!(pull.access, Access::Undecided);
    assert!(pull.because.contains("the registry policy, which can't be read, is against it"));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_repositories_are_spread_over_the_interval() {
    let names: Vec<String> = (0..10_000).map(|n| format!("app/{n}")).collect();
    let registry = Registry { names: names.clone(), ..Registry::default() };
    for name in &names {
        registry.set(name, vec![allows(&[OURS])]);
    }
    let mut stage = stage(registry, vec![baseline(&["app/*"])], true);
    let began = tokio::time::Instant::now();
    assert_eq!(stage.round().await, Verdict::Ok);
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(5 * 3600) && took < Duration::from_secs(7 * 3600),
        "{took:?}"
    );
    let asked = stage.registry.asked.lock().unwrap();
    assert_eq!(asked.len(), 10_000);
    // In no minute more than two batches.
    let mut minutes = BTreeMap::<u64, usize>::new();
    for (at, _) in asked.iter() {
        *minutes.entry(at.duration_since(began).as_secs() / 60).or_default() += 1;
    }
    assert!(minutes.values().all(|calls| *calls <= 2 * BATCH), "{:?}", minutes.values().max());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_hosts_ask_a_handful_of_times_a_second() {
    // Each host looks at the five repositories that it uses once in six hours, and starts its
    // rounds at its own place in a minute.
    let mut seconds = BTreeMap::<u64, usize>::new();
    let began = tokio::time::Instant::now();
    for host in 0..200_u32 {
        let names = ["a", "b", "c", "d", "e"];
        let registry = Registry::default();
        for name in names {
            registry.set(name, vec![allows(&[OURS])]);
        }
        let mut stage = stage(registry, vec![baseline(&names)], false);
        stage.job.scope.place = f64::from(host) / 200.0;
        let start = stage.job.first_run().as_secs();
        stage.job.run().await;
        *seconds.entry(start).or_default() += stage.registry.asked();
        assert_eq!(stage.registry.asked(), 5);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    // At their start: 1/60 of the hosts in a second; afterwards 5 calls in six hours each.
    assert!(seconds.values().all(|calls| *calls <= 5 * 200 / 60 + 5), "{seconds:?}");
    let steady = 10_000.0 * 5.0 / (6.0 * 3600.0);
    assert!(steady < 3.0, "{steady} calls a second of a fleet of 10,000");
}

#[tokio::test(start_paused = true)]
async fn the_registrys_own_policy_is_held_against_its_baseline() {
    let text = |account: &str| {
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
            "Principal": { "AWS": account }, "Action": PULL, "Resource": format!("{ARN}*") }] })
        .to_string()
    };
    for (account, bad) in [(OURS, false), ("111122223333", true)] {
        let registry = Registry { own: Some(text(account)), ..Registry::default() };
        let mut stage = stage(registry, vec![baseline(&[])], true);
        let verdict = stage.round().await;
        assert_eq!(verdict.word() == "bad", bad, "{verdict:?}");
        if bad {
            let detail = &verdict.problem().unwrap().detail;
            assert!(detail.starts_with("the registry's own policy: lost"), "{detail}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_names_an_earlier_incarnation_of_this_hosts_role_is_a_finding() {
    let registry = Registry::default();
    let text = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": [OURS, "AROADELETEDROLE1234"] }, "Action": PULL },
    ] });
    registry.set("app/web", vec![Ok(Some(text.to_string()))]);
    let mut stage = stage(registry, vec![baseline(&["app/web"])], true);
    let verdict = stage.round().await;
    let problem = verdict.problem().unwrap();
    assert_eq!(verdict.word(), "bad");
    assert!(problem.detail.contains("AROADELETEDROLE1234"), "{problem}");
    let report = stage.report("app/web");
    assert_eq!(report.matter("app/web").unwrap().0, Gravity::Finding);
    assert_eq!(report.pull.unwrap().access, Access::Allowed);
}
