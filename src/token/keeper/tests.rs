use std::{collections::VecDeque, path::Path};

use secrecy::SecretString;

use super::*;
use crate::{
    aws::{BoxFuture, MintedToken},
    model::{clock::SimulatedClock, host_id::HostId, token::AuthorizationToken},
    token::schedule::Check,
};

/// AWS and a registry, as a keeper sees them.
#[derive(Default)]
struct World {
    /// What GetAuthorizationToken answers next; empty: a good token of twelve hours.
    mints: VecDeque<Result<i64, Reason>>,
    minted: u32,
    /// What the registry says next; empty: accepted.
    checks: VecDeque<&'static str>,
    checked: u32,
    credentials: Option<Reason>,
    access_key: String,
    role: String,
    sts_down: bool,
    sts: u32,
    refreshed: Vec<Result<(), Reason>>,
    report: Report,
}

#[derive(Clone)]
struct Fake(Arc<Mutex<World>>, SimulatedClock);

impl Fake {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl Identity for Fake {
    fn credentials(&self) -> BoxFuture<'_, Result<CredentialsInfo, Problem>> {
        Box::pin(async {
            let world = self.world();
            match world.credentials {
                Some(reason) => Err(Problem::new(reason, "")),
                None => {
                    Ok(CredentialsInfo { fingerprint: world.access_key.clone(), expires: None })
                }
            }
        })
    }

    fn principal(&self) -> BoxFuture<'_, Result<Principal, Problem>> {
        Box::pin(async {
            let mut world = self.world();
            world.sts += 1;
            if world.sts_down {
                return Err(Problem::new(Reason::AwsUnreachable, "sts"));
            }
            Ok(Principal {
                account: "222222222222".into(),
                arn: "arn:aws:sts::222222222222:assumed-role/host/i-1".into(),
                unique_id: format!("{}:i-1", world.role),
            })
        })
    }
}

impl TokenMint for Fake {
    fn mint(&self) -> BoxFuture<'_, Result<MintedToken, Problem>> {
        Box::pin(async {
            let mut world = self.world();
            let life = match world.mints.pop_front().unwrap_or(Ok(43_200)) {
                Ok(life) => life,
                Err(reason) => return Err(Problem::new(reason, "")),
            };
            world.minted += 1;
            let secret = SecretString::from(format!("password-{}", world.minted));
            Ok(MintedToken {
                secret: AuthorizationToken::of("AWS", &secret),
                expires_at: Timestamp::from_second(self.1.now().as_second() + life).ok(),
            })
        })
    }
}

impl TokenCheck for Fake {
    fn check<'a>(&'a self, _: &'a str, _: &'a AuthorizationToken) -> BoxFuture<'a, Acceptance> {
        Box::pin(async {
            let mut world = self.world();
            world.checked += 1;
            match world.checks.pop_front() {
                None | Some("accepted") => Acceptance::Accepted,
                Some("refused") => Acceptance::Refused(Problem::new(Reason::TokenRefused, "403")),
                Some(_) => Acceptance::Unknown(Problem::new(Reason::RegistryUnreachable, "")),
            }
        })
    }
}

impl Watcher for Fake {
    fn report(&self, _: &KeeperKey, report: &Report) {
        self.world().report = report.clone();
    }

    fn refreshed(&self, _: &KeeperKey, result: Result<(), Reason>) {
        self.world().refreshed.push(result);
    }
}

fn fake() -> Fake {
    let world = World { access_key: "key-1".into(), role: "AROA1".into(), ..World::default() };
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    Fake(Arc::new(Mutex::new(world)), SimulatedClock::starting(start))
}

fn keeper(fake: &Fake, folder: &Path, identity: &str, shared: &Shared, siblings: bool) -> Keeper {
    let key = KeeperKey { identity: identity.into(), region: "eu-west-1".into(), public: false };
    let plan = Plan {
        at: 0.5,
        spread: 0.0,
        check: Check::Every(Duration::from_secs(900)),
        verify: true,
        place: 0.0,
    };
    let fake = Arc::new(fake.clone());
    let tools = Tools {
        identity: Arc::clone(&fake) as Arc<dyn Identity>,
        mint: Arc::clone(&fake) as Arc<dyn TokenMint>,
        check: Arc::clone(&fake) as Arc<dyn TokenCheck>,
        clock: Arc::new(fake.1),
        shared: shared.clone(),
        store: Store::new(folder, &HostId::new("i-1")),
        watcher: fake,
    };
    let scope = Scope { hosts: vec!["registry.test".into()], siblings };
    Keeper::new(key, plan, Arc::new(Mutex::new(scope)), tools)
}

struct Bench {
    fake: Fake,
    keeper: Keeper,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let (fake, folder) = (fake(), tempfile::tempdir().unwrap());
    let keeper = keeper(&fake, folder.path(), "default", &Shared::default(), false);
    Bench { fake, keeper, folder }
}

impl Bench {
    /// Looks until so many seconds have passed, as the driver would (without jitter).
    async fn live(&mut self, seconds: u64) {
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while tokio::time::Instant::now() < end {
            let pause = match self.keeper.look().await.again {
                Again::In(pause) | Again::BackOff(pause) => pause,
                Again::OnSignal => Duration::from_secs(seconds),
            };
            tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(end)).await;
        }
    }

    fn published(&self) -> Option<String> {
        use secrecy::ExposeSecret as _;
        let token = self.fake.world().report.token.clone()?;
        Some(token.secret.password().expose_secret().to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_tried_and_then_published() {
    let mut bench = bench();
    let outcome = bench.keeper.look().await;
    assert_eq!(outcome.verdict, Verdict::Ok);
    assert_eq!(bench.published().as_deref(), Some("password-1"));
    let world = bench.fake.world();
    assert_eq!((world.minted, world.checked), (1, 1));
    assert_eq!(world.refreshed, [Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn four_tokens_a_day_restarts_included() {
    let mut bench = bench();
    for hour in 0..24 {
        bench.live(3600).await;
        if hour % 3 == 0 {
            bench.keeper =
                keeper(&bench.fake, bench.folder.path(), "default", &Shared::default(), false);
        }
    }
    let world = bench.fake.world();
    assert_eq!(world.minted, 4);
    assert!((90..=110).contains(&world.checked), "{}", world.checked);
    assert_eq!(world.sts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_publishes_at_once_and_mints_nothing() {
    let mut bench = bench();
    bench.live(600).await;
    let again = keeper(&bench.fake, bench.folder.path(), "default", &Shared::default(), false);
    bench.keeper = again;
    bench.fake.world().report = Report::default();
    bench.fake.world().credentials = Some(Reason::CredentialsMissing);
    bench.fake.world().checks.push_back("down");
    bench.keeper.look().await;
    assert_eq!(bench.published().as_deref(), Some("password-1"));
    assert_eq!(bench.fake.world().minted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_working_token_until_it_expires_and_then_withdraws_it() {
    let mut bench = bench();
    bench.live(600).await;
    bench.fake.world().mints = std::iter::repeat_n(Err(Reason::Throttled), 100_000).collect();
    bench.live(42_000).await;
    assert_eq!(bench.published().as_deref(), Some("password-1"));
    let tries = bench.fake.world().refreshed.len();
    assert!((40..500).contains(&tries), "neither silence nor a hot loop: {tries}");
    bench.live(700).await;
    assert_eq!(bench.published(), None);
    let problem = bench.fake.world().report.problem.clone().unwrap();
    assert_eq!(problem.reason, Reason::Throttled);
    bench.fake.world().mints.clear();
    bench.live(120).await;
    assert_eq!(bench.published().as_deref(), Some("password-2"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_registry_refuses_is_replaced_at_once() {
    let mut bench = bench();
    bench.live(100).await;
    bench.fake.world().checks.push_back("refused");
    bench.live(1_000).await;
    assert_eq!(bench.published().as_deref(), Some("password-2"));
    assert_eq!(bench.fake.world().minted, 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_token_that_is_refused_never_replaces_one_that_works() {
    let mut bench = bench();
    bench.live(100).await;
    // Nine o'clock checks accept the old one; each new one is refused.
    bench.fake.world().checks = std::iter::repeat_n("accepted", 23).collect();
    bench.live(21_400).await;
    bench.fake.world().checks = ["refused"].into();
    bench.live(150).await;
    assert_eq!(bench.fake.world().minted, 2, "the refresh has come");
    assert_eq!(bench.published().as_deref(), Some("password-1"));
    let report = bench.fake.world().report.clone();
    assert_eq!(report.problem.unwrap().reason, Reason::TokenRefused);
}

#[tokio::test(start_paused = true)]
async fn rotated_credentials_have_the_token_tried_and_not_replaced() {
    let mut bench = bench();
    bench.live(100).await;
    bench.fake.world().access_key = "key-2".into();
    let before = bench.fake.world().checked;
    let outcome = bench.keeper.look().await;
    assert!(outcome.change.unwrap().contains("still works"));
    let world = bench.fake.world();
    assert_eq!((world.checked, world.minted), (before + 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_was_created_again_is_noticed_and_its_dead_token_replaced() {
    let mut bench = bench();
    bench.live(100).await;
    bench.fake.world().access_key = "key-2".into();
    bench.fake.world().role = "AROA2".into();
    bench.fake.world().checks.push_back("refused");
    let outcome = bench.keeper.look().await;
    let change = outcome.change.unwrap();
    assert!(change.contains("the principal changed") && change.contains("AROA2"), "{change}");
    assert_eq!(bench.published().as_deref(), Some("password-2"));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_does_not_wait_for_sts_and_lives_without_it() {
    let mut bench = bench();
    bench.fake.world().sts_down = true;
    let outcome = bench.keeper.look().await;
    assert_eq!(outcome.verdict, Verdict::Ok);
    assert_eq!(bench.published().as_deref(), Some("password-1"));
    let report = bench.fake.world().report.clone();
    assert_eq!(report.principal_problem.unwrap().reason, Reason::PrincipalUnknown);
}

#[tokio::test(start_paused = true)]
async fn an_impossible_expiry_is_reported_and_the_token_used_since_the_registry_takes_it() {
    for stated in [-60, 400_000] {
        let mut bench = bench();
        bench.fake.world().mints.push_back(Ok(stated));
        let outcome = bench.keeper.look().await;
        assert_eq!(outcome.verdict.problem().unwrap().reason, Reason::TokenExpiryImplausible);
        let token = bench.fake.world().report.token.clone().unwrap();
        assert_eq!(token.expires.duration_since(token.minted).as_hours(), 12);
        assert_eq!(outcome.again, Again::In(Duration::from_secs(901)), "and no mint loop");
    }
}

#[tokio::test(start_paused = true)]
async fn two_identities_of_one_principal_share_a_token() {
    let (fake, folder, shared) = (fake(), tempfile::tempdir().unwrap(), Shared::default());
    let mut first = keeper(&fake, folder.path(), "default", &shared, true);
    let mut second = keeper(&fake, folder.path(), "other", &shared, true);
    tokio::join!(first.look(), second.look());
    assert_eq!(fake.world().minted, 1);
    assert!(fake.world().report.token.is_some());
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_are_named_and_tried_again() {
    let mut bench = bench();
    bench.fake.world().credentials = Some(Reason::CredentialsMissing);
    let outcome = bench.keeper.look().await;
    assert_eq!(outcome.verdict.problem().unwrap().reason, Reason::CredentialsMissing);
    assert_eq!(bench.fake.world().refreshed, [Err(Reason::CredentialsMissing)]);
    bench.fake.world().credentials = None;
    bench.live(61).await;
    assert_eq!(bench.published().as_deref(), Some("password-1"));
}

#[tokio::test(start_paused = true)]
async fn an_untried_token_is_better_than_none_and_is_tried_until_the_answer_is_known() {
    let mut bench = bench();
    bench.fake.world().checks = ["down", "down"].into();
    let outcome = bench.keeper.look().await;
    assert_eq!(bench.published().as_deref(), Some("password-1"));
    assert!(
        matches!(outcome.verdict, Verdict::Unknown(ref p) if p.reason == Reason::RegistryUnreachable)
    );
    bench.live(1_500).await;
    assert_eq!(bench.fake.world().minted, 1);
    assert_eq!(bench.fake.world().report.problem, None);
}
