//! The daemon's view of itself: written by the jobs' glue, read by `status`, `/status`, `/readyz`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::prediction::{self, Prediction};
use crate::model::outcome::Problem;

/// A foreseen failure that is further away is no news.
const SOON: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// A problem as it stands in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable code.
    pub code: String,
    /// What is the matter.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// What was observed.
    #[serde(default)]
    pub detail: String,
}

impl From<&Problem> for Reason {
    fn from(problem: &Problem) -> Self {
        let reason = problem.reason;
        Self {
            code: reason.code().into(),
            text: reason.text().into(),
            remedy: reason.remedy().into(),
            detail: problem.detail.clone(),
        }
    }
}

/// The whole, version 1. Times are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this shape: 1.
    pub version: u32,
    /// The first thing that is not fine, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// `ok`, `bad` or `unknown`.
    pub verdict: String,
    /// The program's version.
    pub program: String,
    /// When the daemon started.
    pub started: Option<Timestamp>,
    /// The configuration.
    pub config: Config,
    /// The tokens.
    pub tokens: Vec<Token>,
    /// The outputs.
    pub outputs: Vec<Output>,
    /// The policies that are checked, by registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policies>,
    /// The audit, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// The test pulls.
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// The first failure that is foreseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Prediction>,
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// The policies of one registry. What is the matter with them is the reason of their job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Policies {
    /// The registry's name.
    pub registry: String,
    /// Repositories that were looked at.
    pub repositories: usize,
    /// Of them, those in which this host can pull, as far as the primary account decides it.
    pub can_pull: usize,
    /// Policies that could not be read.
    pub unreadable: usize,
    /// When all of them were last looked at.
    pub checked: Option<Timestamp>,
    /// What is the matter, the first twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Reason>,
}

/// The audit of CloudTrail. Findings are no failure of the daemon's: they don't change the verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Until when every event was looked at; absent while none was.
    pub covered: Option<Timestamp>,
    /// Events of ECR since the start.
    pub events: u64,
    /// Findings since the start.
    pub findings: u64,
    /// The worst of the last run that had any.
    pub last_finding: Option<String>,
    /// When that was found.
    pub last_finding_at: Option<Timestamp>,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Its files.
    pub files: Vec<String>,
    /// When it was taken over.
    pub loaded: Option<Timestamp>,
    /// Why a newer one is not in force.
    pub mistakes: Vec<String>,
    /// Changed keys that wait for a restart.
    pub needs_restart: Vec<String>,
}

/// One token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// The identity's name.
    pub identity: String,
    /// The region, or `public`.
    pub region: String,
    /// Whom STS says it is.
    pub principal: Option<String>,
    /// When it arrived.
    pub minted: Option<Timestamp>,
    /// When it dies; absent when there is none.
    pub expires: Option<Timestamp>,
    /// When it is to be replaced.
    pub next_refresh: Option<Timestamp>,
    /// When the AWS credentials expire that it is minted with, if they say so.
    #[serde(default)]
    pub credentials_expire: Option<Timestamp>,
    /// What is the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why the principal is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_reason: Option<Reason>,
}

/// One output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its path, as configured.
    pub path: String,
    /// What the consumer sees, by registry host.
    pub hosts: BTreeMap<String, Host>,
    /// Whether it was looked at since the start.
    pub looked: bool,
    /// What is the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What should be looked at although it works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Reason>,
}

/// What a consumer sees for one registry host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// When the credential dies that it sees; absent when it sees none of ours.
    pub expires: Option<Timestamp>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// One test pull.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// What is pulled.
    pub image: String,
    /// How far down, as configured.
    pub depth: String,
    /// How far down the last run came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<String>,
    /// What the last runs come to: `ok`, `bad`, `unknown`; absent before the first.
    pub verdict: Option<String>,
    /// When the last run began.
    pub last: Option<Timestamp>,
    /// When a run was last fine.
    pub last_success: Option<Timestamp>,
    /// Since when it fails, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Runs in a row that were not fine; they count after `failures_to_alarm`.
    pub failures: u32,
    /// Seconds that the last run took.
    pub took: f64,
    /// Requests of the last run.
    pub requests: u64,
    /// Bytes of the last run.
    pub bytes: u64,
    /// When the certificate of a hop expires.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, Timestamp>,
    /// What was slow in the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
    /// What was the matter with the last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// One job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Since when it runs, if it does.
    pub running_since: Option<Timestamp>,
    /// The last run's verdict: `ok`, `bad`, `unknown`; absent before the first.
    pub verdict: Option<String>,
    /// When the last run ended.
    pub last: Option<Timestamp>,
    /// When a run last ended well.
    pub last_success: Option<Timestamp>,
    /// When it runs next, signals aside.
    pub next: Option<Timestamp>,
    /// Runs in a row that were not fine.
    pub failures: u32,
    /// What is the matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Where the status is kept.
#[derive(Debug, Default)]
pub struct Board(Mutex<Status>);

impl Board {
    /// The board of a daemon that starts now.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Status {
            version: 1,
            program: env!("CARGO_PKG_VERSION").into(),
            started: Some(now),
            ..Status::default()
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the configuration's part.
    pub fn config(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.lock().config);
    }

    /// Changes one token's line, or adds it.
    pub fn token(&self, identity: &str, region: &str, change: impl FnOnce(&mut Token)) {
        let mut status = self.lock();
        let at = status
            .tokens
            .iter()
            .position(|token| token.identity == identity && token.region == region);
        let at = at.unwrap_or_else(|| {
            status.tokens.push(Token {
                identity: identity.into(),
                region: region.into(),
                ..Token::default()
            });
            status.tokens.len() - 1
        });
        change(&mut status.tokens[at]);
    }

    /// Changes one output's line, or adds it.
    pub fn output(&self, name: &str, change: impl FnOnce(&mut Output)) {
        let mut status = self.lock();
        let at = status.outputs.iter().position(|output| output.name == name);
        let at = at.unwrap_or_else(|| {
            status.outputs.push(Output { name: name.into(), ..Output::default() });
            status.outputs.len() - 1
        });
        change(&mut status.outputs[at]);
    }

    /// Replaces one registry's line of policies; `None` takes it away.
    pub fn policies(&self, registry: &str, line: Option<Policies>) {
        let mut status = self.lock();
        status.policies.retain(|one| one.registry != registry);
        status.policies.extend(line);
        status.policies.sort_by(|a, b| a.registry.cmp(&b.registry));
    }

    /// Changes the audit's line, or adds it.
    pub fn audit(&self, change: impl FnOnce(&mut Audit)) {
        change(self.lock().audit.get_or_insert_default());
    }

    /// Takes the audit's line away.
    pub fn forget_audit(&self) {
        self.lock().audit = None;
    }

    /// Changes one test pull's line, or adds it.
    pub fn probe(&self, name: &str, change: impl FnOnce(&mut Probe)) {
        let mut status = self.lock();
        let at = status.probes.iter().position(|probe| probe.name == name);
        let at = at.unwrap_or_else(|| {
            status.probes.push(Probe { name: name.into(), ..Probe::default() });
            status.probes.len() - 1
        });
        change(&mut status.probes[at]);
    }

    /// Takes a test pull's line away.
    pub fn forget_probe(&self, name: &str) {
        self.lock().probes.retain(|probe| probe.name != name);
    }

    /// Changes one job's line, or adds it.
    pub fn job(&self, name: &str, change: impl FnOnce(&mut Job)) {
        let mut status = self.lock();
        let at = status.jobs.iter().position(|job| job.name == name);
        let at = at.unwrap_or_else(|| {
            status.jobs.push(Job { name: name.into(), ..Job::default() });
            status.jobs.len() - 1
        });
        change(&mut status.jobs[at]);
    }

    /// Takes lines away.
    pub fn retain(&self, tokens: impl Fn(&Token) -> bool, outputs: impl Fn(&Output) -> bool) {
        let mut status = self.lock();
        status.tokens.retain(tokens);
        status.outputs.retain(outputs);
    }

    /// Takes a job's line away.
    pub fn forget_job(&self, name: &str) {
        self.lock().jobs.retain(|job| job.name != name);
    }

    /// The status of now, with its verdict.
    pub fn snapshot(&self, now: Timestamp) -> Status {
        let mut status = self.lock().clone();
        let (verdict, reason) = judge(&status, now);
        status.verdict = verdict.to_owned();
        status.reason = reason;
        status.predicted = prediction::predict(&status, now);
        status
    }
}

/// The overall verdict and its reason. Pure.
fn judge(status: &Status, now: Timestamp) -> (&'static str, Option<Reason>) {
    let bad = |job: &&Job| job.verdict.as_deref() == Some("bad");
    let token = status.tokens.iter().find_map(|token| token.reason.clone());
    let token =
        token.filter(|_| status.jobs.iter().any(|job| bad(&job) && job.name.contains("token:")));
    let job = status.jobs.iter().find(bad).and_then(|job| job.reason.clone());
    if let Some(reason) = token.or(job) {
        return ("bad", Some(reason));
    }
    if let Some((_, reason)) = unready(status, now).into_iter().next() {
        let word = if reason.code == "starting" { "unknown" } else { "bad" };
        return (word, Some(reason));
    }
    if let Some(mistake) = status.config.mistakes.first() {
        let reason = Problem::new(crate::model::reason::Reason::ConfigInvalid, mistake.clone());
        return ("bad", Some(Reason::from(&reason)));
    }
    let unknown = status.jobs.iter().find(|job| job.verdict.as_deref() == Some("unknown"));
    match unknown {
        Some(job) => ("unknown", job.reason.clone()),
        None => ("ok", None),
    }
}

/// Every configured output that holds no unexpired credential for a host, with why: `/readyz`.
pub fn unready(status: &Status, now: Timestamp) -> Vec<(String, Reason)> {
    let mut lacking = Vec::new();
    for output in &status.outputs {
        if !output.looked {
            lacking.push((output.name.clone(), output.reason.clone().unwrap_or_else(starting)));
            continue;
        }
        for (host, seen) in &output.hosts {
            if seen.expires.is_none_or(|expires| expires <= now) {
                let why = seen.reason.clone().or_else(|| output.reason.clone());
                let token = || status.tokens.iter().find_map(|token| token.reason.clone());
                let why = why.filter(|why| why.code != "output_no_token").or_else(token);
                lacking.push((format!("{} {host}", output.name), why.unwrap_or_else(starting)));
            }
        }
    }
    lacking
}

fn starting() -> Reason {
    Reason {
        code: "starting".into(),
        text: "it has not been looked at yet".into(),
        remedy: "wait a moment".into(),
        detail: String::new(),
    }
}

/// How long from `now` to `at`, as people say it.
fn distance(now: Timestamp, at: Timestamp) -> String {
    let (from, to, past) = if at >= now { (now, at, false) } else { (at, now, true) };
    let text = humanised(Duration::try_from(to.duration_since(from)).unwrap_or_default());
    if past { format!("{text} ago") } else { format!("in {text}") }
}

fn humanised(long: Duration) -> String {
    let seconds = long.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// For people: the verdict first, then what is wrong and what to do, then the parts.
pub fn render(status: &Status, now: Timestamp) -> String {
    let mut text = String::new();
    let counted =
        |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let next = status.tokens.iter().filter_map(|token| token.next_refresh).min();
    let head = match status.verdict.as_str() {
        "ok" => "ecr-warden is fine",
        "unknown" => "ecr-warden does not know whether all is fine",
        _ => "ecr-warden: something is not fine",
    };
    let _ = write!(
        text,
        "{head}: {}, {}",
        counted(status.tokens.len(), "token"),
        counted(status.outputs.len(), "output")
    );
    if let Some(next) = next {
        let due = if next >= now { "next refresh" } else { "refresh due" };
        let _ = write!(text, ", {due} {}", distance(now, next));
    }
    text.push('\n');
    if let Some(reason) = &status.reason {
        tell(&mut text, "", reason);
    }
    text.push('\n');
    for token in &status.tokens {
        let life = match token.expires {
            Some(expires) if expires > now => format!("dies {}", distance(now, expires)),
            _ => "none".to_owned(),
        };
        let who = token.principal.as_deref().unwrap_or("principal unknown");
        let _ = writeln!(text, "token   {} {:<18} {life:<22} {who}", token.identity, token.region);
        for reason in [&token.reason, &token.principal_reason].into_iter().flatten() {
            tell(&mut text, "        ", reason);
        }
    }
    for output in &status.outputs {
        let good = output
            .hosts
            .values()
            .filter(|host| host.expires.is_some_and(|expires| expires > now))
            .count();
        let first = output.hosts.values().filter_map(|host| host.expires).min();
        let life =
            first.map(|first| format!(", first dies {}", distance(now, first))).unwrap_or_default();
        let _ = writeln!(
            text,
            "output  {} ({} of {} registry hosts{life})",
            output.name,
            good,
            output.hosts.len()
        );
        let hosts = output.hosts.values().filter_map(|host| host.reason.as_ref());
        let mut told: Vec<&Reason> = Vec::new();
        for reason in output.reason.iter().chain(hosts).chain(&output.warnings) {
            if !told.contains(&reason) {
                tell(&mut text, "        ", reason);
                told.push(reason);
            }
        }
    }
    for policies in &status.policies {
        let looked = policies
            .checked
            .map_or_else(|| "not all looked at yet".to_owned(), |at| distance(now, at));
        let _ = writeln!(
            text,
            "policy  {} (this host can pull from {} of {} repositories{}, {looked})",
            policies.registry,
            policies.can_pull,
            policies.repositories,
            if policies.unreadable > 0 {
                format!(", {} unreadable", policies.unreadable)
            } else {
                String::new()
            }
        );
        for reason in &policies.findings {
            tell(&mut text, "        ", reason);
        }
    }
    if let Some(audit) = &status.audit {
        let covered = match audit.covered {
            Some(covered) => {
                format!("all that is known was looked at until {}", distance(now, covered))
            }
            None => "nothing was looked at yet".to_owned(),
        };
        let findings = usize::try_from(audit.findings).unwrap_or(usize::MAX);
        let _ =
            writeln!(text, "audit   {covered}; {} since the start", counted(findings, "finding"));
        if let (Some(last), Some(at)) = (&audit.last_finding, audit.last_finding_at) {
            let last: String = last.chars().filter(|c| !c.is_control()).collect();
            let _ = writeln!(text, "          {last} ({})", distance(now, at));
        }
    }
    for probe in &status.probes {
        let _ = writeln!(text, "probe   {} {}", probe.name, said_of(probe, now));
        if let Some(reason) = &probe.reason {
            tell(&mut text, "        ", reason);
        }
        if let Some(slow) = &probe.slow {
            let _ = writeln!(text, "          slow: {slow} [probe_slow]");
        }
    }
    if let Some(soon) = status.predicted.as_ref().filter(|soon| soon.at < now + SOON) {
        let _ = writeln!(
            text,
            "soon    pulls fail {}: {} of {}",
            distance(now, soon.at),
            soon.cause,
            soon.subject
        );
    }
    for job in &status.jobs {
        let state = match (&job.running_since, &job.verdict) {
            (Some(since), _) => format!("running, started {}", distance(now, *since)),
            (None, Some(verdict)) => {
                let last =
                    job.last.map(|last| format!(" {}", distance(now, last))).unwrap_or_default();
                let failures = if job.failures > 1 {
                    format!(", {} in a row", job.failures)
                } else {
                    String::new()
                };
                format!("{verdict}{last}{failures}")
            }
            (None, None) => "has not run yet".to_owned(),
        };
        let next =
            job.next.map(|next| format!(", next {}", distance(now, next))).unwrap_or_default();
        let _ = writeln!(text, "job     {} {state}{next}", job.name);
    }
    for mistake in &status.config.mistakes {
        let _ = writeln!(text, "config  not in force: {mistake}");
    }
    if !status.config.needs_restart.is_empty() {
        let _ = writeln!(
            text,
            "config  waits for a restart: {}",
            status.config.needs_restart.join(", ")
        );
    }
    text
}

/// A test pull in one line.
fn said_of(probe: &Probe, now: Timestamp) -> String {
    let (Some(verdict), Some(last)) = (&probe.verdict, probe.last) else {
        return "has not run yet".to_owned();
    };
    let mut line = format!("{verdict} {}", distance(now, last));
    match &probe.reached {
        Some(reached) => {
            let _ = write!(line, ", down to {reached}");
            if *reached != probe.depth {
                let _ = write!(line, " instead of {}", probe.depth);
            }
        }
        None => line.push_str(", reached nothing"),
    }
    let _ = write!(line, " in {:.2} s with {} requests", probe.took, probe.requests);
    if probe.failures > 0 {
        let _ = write!(line, ", failed {} times in a row", probe.failures);
    }
    if let Some(success) = probe.last_success.filter(|_| probe.failures > 0) {
        let _ = write!(line, ", last fine {}", distance(now, success));
    }
    line
}

fn tell(text: &mut String, indent: &str, reason: &Reason) {
    let colon = if reason.detail.is_empty() { "" } else { ": " };
    let _ = writeln!(text, "{indent}  {}{colon}{} [{}]", reason.text, reason.detail, reason.code);
    let _ = writeln!(text, "{indent}  -> {}", reason.remedy);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reason::Reason as Code;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn board() -> Board {
        let board = Board::new(at(0));
        board.token("default", "eu-west-1", |token| {
            token.expires = Some(at(43_200));
            token.next_refresh = Some(at(18_720));
            token.principal = Some("arn:aws:sts::210987654321:assumed-role/host/i-1".into());
        });
        board.output("docker-config:/root/.docker/config.json", |output| {
            output.looked = true;
            let host = Host { expires: Some(at(43_200)), reason: None };
            output.hosts.insert("123456789012.dkr.ecr.eu-west-1.amazonaws.com".into(), host);
        });
        board.job("token:default:eu-west-1", |job| {
            job.verdict = Some("ok".into());
            job.last = Some(at(0));
            job.next = Some(at(900));
        });
        board
    }

    fn golden(name: &str, text: &str) {
        let path = format!("tests/golden/status-{name}.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "{path}: run with UPDATE_GOLDEN=1"
        );
    }

    #[test]
    fn the_first_line_is_the_verdict() {
        let status = board().snapshot(at(0));
        assert_eq!(status.verdict, "ok");
        golden("fine", &render(&status, at(0)));
    }

    #[test]
    fn what_is_wrong_comes_with_its_reason_and_remedy() {
        let board = board();
        let problem = Problem::new(
            Code::Throttled,
            "ecr GetAuthorizationToken: 400 ThrottlingException: Rate exceeded (request id 1)",
        );
        board.token("default", "eu-west-1", |token| token.reason = Some((&problem).into()));
        board.job("token:default:eu-west-1", |job| {
            job.verdict = Some("bad".into());
            job.failures = 3;
            job.reason = Some((&problem).into());
        });
        let status = board.snapshot(at(40_000));
        assert_eq!(status.reason.as_ref().unwrap().code, "throttled");
        golden("throttled", &render(&status, at(40_000)));
    }

    #[test]
    fn an_expired_credential_is_not_ready_and_not_fine() {
        let status = board().snapshot(at(43_200));
        assert_eq!(unready(&status, at(43_200)).len(), 1);
        assert_eq!(status.verdict, "unknown");
        assert!(unready(&status, at(43_199)).is_empty());
    }

    #[test]
    fn the_json_reads_back_as_it_was() {
        let status = board().snapshot(at(0));
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }
}
