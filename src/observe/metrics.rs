//! Every metric, in one struct with a registry of its own.

mod probes;

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
    TextEncoder, core::Collector, process_collector::ProcessCollector,
};

pub use self::probes::ProbeRun;
use crate::model::{principal::Principal, reason::Reason};

const PREFIX: &str = "ecr_warden";

/// Seconds: from a local file to a call that nearly times out.
const BUCKETS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0];

/// The metrics. What is unknown is absent, never 0.
pub struct Metrics {
    registry: Registry,
    config_ok: Gauge,
    config_time: Gauge,
    token_expiry: GaugeVec,
    token_refreshes: IntCounterVec,
    token_success: GaugeVec,
    credentials_expiry: GaugeVec,
    identity_info: GaugeVec,
    clock_skew: GaugeVec,
    output_expiry: GaugeVec,
    output_in_sync: GaugeVec,
    output_writes: IntCounterVec,
    output_repairs: IntCounterVec,
    helper_requests: IntCounterVec,
    policy_drift: GaugeVec,
    policy_readable: GaugeVec,
    policy_access: GaugeVec,
    policy_check: GaugeVec,
    policy_agrees: GaugeVec,
    audit_events: IntCounterVec,
    audit_findings: IntCounterVec,
    audit_covered: GaugeVec,
    audit_lag: GaugeVec,
    job_runs: IntCounterVec,
    job_success: GaugeVec,
    job_duration: HistogramVec,
    api_requests: IntCounterVec,
    api_duration: HistogramVec,
    probes: probes::Probes,
}

/// Registers metrics and notes them for the reference.
struct Maker {
    registry: Registry,
}

impl Maker {
    fn add<C: Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let made = made?;
        self.registry.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.add(Gauge::with_opts(Opts::new(format!("{PREFIX}_{name}"), help)))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(format!("{PREFIX}_{name}"), help), labels))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(format!("{PREFIX}_{name}"), help), labels))
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let opts = HistogramOpts::new(format!("{PREFIX}_{name}"), help).buckets(BUCKETS.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }
}

impl Metrics {
    /// Makes and registers all of them; fails only on a defect (two of one name).
    pub fn new() -> prometheus::Result<Self> {
        let make = Maker { registry: Registry::new() };
        let build = make.gauges("build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        make.registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            config_ok: make.gauge("config_last_reload_successful", "Whether the configuration was valid when it was last read.")?,
            config_time: make.gauge("config_last_reload_success_timestamp_seconds", "When a valid configuration was last taken over.")?,
            token_expiry: make.gauges("token_expiry_timestamp_seconds", "When the published token dies; absent when there is none.", &["identity", "region"])?,
            token_refreshes: make.counters("token_refreshes_total", "Attempts to get a new token, by result (ok, failed) and reason.", &["identity", "region", "result", "reason"])?,
            token_success: make.gauges("token_last_refresh_success_timestamp_seconds", "When the last new token was published.", &["identity", "region"])?,
            credentials_expiry: make.gauges("identity_credentials_expiry_timestamp_seconds", "When the AWS credentials behind an identity expire; absent when they don't say.", &["identity"])?,
            identity_info: make.gauges("identity_info", "Whom STS says an identity is; always 1, absent when unknown.", &["identity", "account", "principal"])?,
            clock_skew: make.gauges("clock_skew_seconds", "How far this host's clock is ahead of AWS's, by the Date header of the last answer.", &[])?,
            output_expiry: make.gauges("output_expiry_timestamp_seconds", "When the credential dies that the consumer sees, read back from where it reads it; absent when it sees none of ours.", &["output", "registry"])?,
            output_in_sync: make.gauges("output_in_sync", "Whether the consumer sees the current token.", &["output", "registry"])?,
            output_writes: make.counters("output_writes_total", "Writes of an output, by result (ok, failed) and reason.", &["output", "result", "reason"])?,
            output_repairs: make.counters("output_repairs_total", "Entries of ours that were removed or changed by others and put back.", &["output"])?,
            helper_requests: make.counters("helper_requests_total", "Questions to the credentials socket, by result: given, lacking (a registry of ours without a credential), not_ours, refused.", &["result"])?,
            policy_drift: make.gauges("policy_drift", "1 for how a policy stands to its baseline, by class: equivalent, broader, narrower, incomparable, undecided. The registry's own policy has no repository.", &["registry", "repository", "class"])?,
            policy_readable: make.gauges("policy_readable", "Whether a policy can be read.", &["registry", "repository"])?,
            policy_access: make.gauges("policy_access", "Whether the primary account's policies let this host do it (pull, push); absent while that depends on what is not known.", &["registry", "repository", "operation"])?,
            policy_check: make.gauges("policy_last_check_timestamp_seconds", "When a registry's policies were last all looked at.", &["registry"])?,
            policy_agrees: make.gauges("policy_prediction_agrees", "Whether what the policies allow this host and what a test pull saw agree; absent while one of them says nothing.", &["probe"])?,
            audit_events: make.counters("audit_events_total", "Events of ECR that were read, by API name (other for rare ones) and outcome: ok, denied, failed. Own probes are left out.", &["event", "outcome"])?,
            audit_findings: make.counters("audit_findings_total", "Findings, by rule and severity.", &["rule", "severity"])?,
            audit_covered: make.gauges("audit_covered_until_timestamp_seconds", "Until when every event was looked at that the source has; absent while nothing was.", &[])?,
            audit_lag: make.gauges("audit_lag_seconds", "How far that was behind when the audit last looked.", &[])?,
            job_runs: make.counters("job_runs_total", "Runs of a job, by result (ok, bad, unknown).", &["name", "result"])?,
            job_success: make.gauges("job_last_success_timestamp_seconds", "When a job last ended well.", &["name"])?,
            job_duration: make.histograms("job_duration_seconds", "How long a job's run took.", &["name"])?,
            api_requests: make.counters("api_requests_total", "Calls to AWS, by result (ok or a reason).", &["service", "operation", "result"])?,
            api_duration: make.histograms("api_request_duration_seconds", "How long a call to AWS took.", &["service", "operation"])?,
            probes: probes::Probes::new(&make)?,
            registry: make.registry,
        }
        .with_zeros())
    }

    /// A counter that appears with its first count hides that count from `increase()`.
    fn with_zeros(self) -> Self {
        for result in ["given", "lacking", "not_ours", "refused"] {
            self.helper_requests.with_label_values(&[result]).inc_by(0);
        }
        self
    }

    /// The credentials socket was asked.
    pub fn helper_asked(&self, result: &str) {
        self.helper_requests.with_label_values(&[result]).inc();
    }

    /// The text format, version 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// A configuration was read.
    pub fn config_read(&self, valid: bool, now: Timestamp) {
        self.config_ok.set(f64::from(u8::from(valid)));
        if valid {
            self.config_time.set(seconds(now));
        }
    }

    /// The published token's death, or that there is none.
    pub fn token(&self, identity: &str, region: &str, expires: Option<Timestamp>) {
        set(&self.token_expiry, &[identity, region], expires.map(seconds));
    }

    /// A refresh was attempted.
    pub fn refreshed(
        &self,
        identity: &str,
        region: &str,
        result: Result<(), Reason>,
        now: Timestamp,
    ) {
        let (word, reason) = words(result);
        self.token_refreshes.with_label_values(&[identity, region, word, reason]).inc();
        if result.is_ok() {
            self.token_success.with_label_values(&[identity, region]).set(seconds(now));
        }
    }

    /// A token is no longer kept.
    pub fn forget_token(&self, identity: &str, region: &str) {
        let _ = self.token_expiry.remove_label_values(&[identity, region]);
        let _ = self.token_success.remove_label_values(&[identity, region]);
    }

    /// Who an identity is, and when its credentials expire.
    pub fn identity(
        &self,
        identity: &str,
        before: Option<&Principal>,
        now: Option<&Principal>,
        expires: Option<Timestamp>,
    ) {
        if let Some(before) = before.filter(|before| now != Some(before)) {
            let _ =
                self.identity_info.remove_label_values(&[identity, &before.account, &before.arn]);
        }
        if let Some(now) = now {
            self.identity_info.with_label_values(&[identity, &now.account, &now.arn]).set(1.0);
        }
        set(&self.credentials_expiry, &[identity], expires.map(seconds));
    }

    /// The measured clock.
    pub fn clock_skew(&self, ahead: f64) {
        self.clock_skew.with_label_values::<&str>(&[]).set(ahead);
    }

    /// What a consumer sees.
    pub fn output(
        &self,
        output: &str,
        registry: &str,
        expires: Option<Timestamp>,
        in_sync: Option<bool>,
    ) {
        set(&self.output_expiry, &[output, registry], expires.map(seconds));
        set(
            &self.output_in_sync,
            &[output, registry],
            in_sync.map(|in_sync| f64::from(u8::from(in_sync))),
        );
    }

    /// An output was written, or could not be.
    pub fn wrote(&self, output: &str, result: Result<(), Reason>) {
        let (word, reason) = words(result);
        self.output_writes.with_label_values(&[output, word, reason]).inc();
    }

    /// An entry was put back.
    pub fn repaired(&self, output: &str) {
        self.output_repairs.with_label_values(&[output]).inc();
    }

    /// A policy was looked at: its class if it has a baseline, whether it could be read, and whether
    /// this host can pull and push.
    pub fn policy(
        &self,
        registry: &str,
        repository: &str,
        classes: &[(&str, bool)],
        readable: Option<bool>,
        access: [Option<bool>; 2],
    ) {
        let number = |flag: bool| f64::from(u8::from(flag));
        for (class, is_it) in classes {
            let value = is_it.then_some(1.0);
            set(&self.policy_drift, &[registry, repository, class], value);
        }
        set(&self.policy_readable, &[registry, repository], readable.map(number));
        for (operation, can) in ["pull", "push"].into_iter().zip(access) {
            set(&self.policy_access, &[registry, repository, operation], can.map(number));
        }
    }

    /// Whether policies and a test pull agree.
    pub fn policy_agrees(&self, probe: &str, agrees: Option<bool>) {
        set(&self.policy_agrees, &[probe], agrees.map(|agrees| f64::from(u8::from(agrees))));
    }

    /// All of a registry's policies were looked at; `None`: they no longer are.
    pub fn policies_checked(&self, registry: &str, at: Option<Timestamp>) {
        set(&self.policy_check, &[registry], at.map(seconds));
    }

    /// Until when the audit has looked.
    pub fn audited(&self, covered: Option<Timestamp>, now: Timestamp) {
        set(&self.audit_covered, &[], covered.map(seconds));
        set(&self.audit_lag, &[], covered.map(|covered| seconds(now) - seconds(covered)));
    }

    /// Events of one kind were read.
    pub fn audit_event(&self, event: &str, outcome: &str, count: u64) {
        self.audit_events.with_label_values(&[event, outcome]).inc_by(count);
    }

    /// Findings of one kind were made.
    pub fn audit_finding(&self, rule: &str, severity: &str, count: u64) {
        self.audit_findings.with_label_values(&[rule, severity]).inc_by(count);
    }

    /// A job has run.
    pub fn job(&self, name: &str, word: &str, took: Duration, now: Timestamp) {
        self.job_runs.with_label_values(&[name, word]).inc();
        self.job_duration.with_label_values(&[name]).observe(took.as_secs_f64());
        if word == "ok" {
            self.job_success.with_label_values(&[name]).set(seconds(now));
        }
    }

    /// A job is gone.
    pub fn forget_job(&self, name: &str) {
        let _ = self.job_success.remove_label_values(&[name]);
        let _ = self.job_duration.remove_label_values(&[name]);
    }

    /// A test pull has run.
    pub fn probe(&self, probe: &str, run: &ProbeRun) {
        self.probes.ran(probe, run);
    }

    /// A test pull is no longer configured.
    pub fn forget_probe(&self, probe: &str) {
        set(&self.policy_agrees, &[probe], None);
        self.probes.forget(probe);
    }

    /// When pulls will first fail, as far as it is foreseen: the cause, of what, and in how many
    /// seconds.
    pub fn predicted(&self, found: Option<(&str, &str, f64)>) {
        self.probes.predicted(found);
    }

    /// A call to AWS has ended.
    pub fn api(&self, service: &str, operation: &str, result: &str, took: Duration) {
        self.api_requests.with_label_values(&[service, operation, result]).inc();
        self.api_duration.with_label_values(&[service, operation]).observe(took.as_secs_f64());
    }
}

fn set(gauge: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        None => {
            let _ = gauge.remove_label_values(labels);
        }
    }
}

fn words(result: Result<(), Reason>) -> (&'static str, &'static str) {
    match result {
        Ok(()) => ("ok", ""),
        Err(reason) => ("failed", reason.code()),
    }
}

fn seconds(at: Timestamp) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let seconds = at.as_millisecond() as f64 / 1000.0;
    seconds
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn filled() -> Metrics {
        let metrics = Metrics::new().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let who = Principal {
            account: "210987654321".into(),
            arn: "arn:aws:sts::210987654321:assumed-role/host/i-1".into(),
            unique_id: "AROA:i-1".into(),
        };
        metrics.config_read(true, now);
        metrics.token("default", "eu-west-1", Some(now));
        metrics.refreshed("default", "eu-west-1", Ok(()), now);
        metrics.refreshed("default", "eu-west-1", Err(Reason::Throttled), now);
        metrics.identity("default", None, Some(&who), Some(now));
        metrics.clock_skew(-3.0);
        metrics.output("docker", "images", Some(now), Some(true));
        metrics.wrote("docker", Ok(()));
        metrics.repaired("docker");
        metrics.job("token:default:eu-west-1", "ok", Duration::from_millis(30), now);
        metrics.policy("images", "app/web", &[("narrower", true)], Some(true), [Some(false), None]);
        metrics.policies_checked("images", Some(now));
        metrics.policy_agrees("web", Some(true));
        metrics.audited(Some(now), now + jiff::SignedDuration::from_mins(20));
        metrics.audit_event("BatchGetImage", "ok", 3);
        metrics.audit_finding("denied", "warning", 1);
        metrics.probe(
            "web",
            &ProbeRun {
                result: "bad",
                reason: Some(Reason::StorageDenied),
                alarm: Some(Reason::StorageDenied),
                phases: vec![("registry", "tls", 0.012), ("storage", "processing", 0.02)],
                bytes: 1200,
                requests: 6,
                throughput: [Some(4e8), Some(2e8)],
                certificates: vec![("registry", now)],
                slow: Some(("storage", "processing")),
                left: [19_000_000_000, 49_000],
                ..ProbeRun::default()
            },
        );
        metrics.probe(
            "web",
            &ProbeRun {
                result: "bad",
                reason: Some(Reason::StorageDenied),
                alarm: Some(Reason::StorageDenied),
                phases: vec![("storage", "processing", 0.02)],
                slow: Some(("storage", "processing")),
                left: [19_000_000_000, 49_000],
                ..ProbeRun::default()
            },
        );
        metrics.probe("canary", &ProbeRun { result: "ok", ended: now, ..ProbeRun::default() });
        metrics.predicted(Some(("certificate", "web registry", 86_400.0)));
        metrics.api("ecr", "GetAuthorizationToken", "ok", Duration::from_millis(30));
        metrics
    }

    /// The text without the process's own figures, which differ from run to run.
    fn stable(text: &str) -> String {
        let own = |line: &&str| !line.contains("process_");
        let version = env!("CARGO_PKG_VERSION");
        text.lines()
            .filter(own)
            .fold(String::new(), |all, line| all + &line.replace(version, "VERSION") + "\n")
    }

    /// `docs/metrics.md`, from the descriptions of a filled registry.
    fn reference(text: &str) -> String {
        let mut page = String::from(
            "# Metrics reference\n\nGenerated from `src/observe/metrics.rs`. The standard `process_*` metrics are there too.\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
        );
        let mut help = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').map_or("", |(_, help)| help);
            }
            if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                let sample = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
                let labels: Vec<&str> = sample
                    .split_once('{')
                    .map(|(_, rest)| {
                        rest.split("\",")
                            .filter_map(|pair| Some(pair.split_once("=\"")?.0))
                            .collect()
                    })
                    .unwrap_or_default();
                let labels: Vec<&str> = labels.into_iter().filter(|label| *label != "le").collect();
                let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
            }
        }
        page
    }

    fn golden(path: &str, text: &str) {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            text,
            "{path}: run with UPDATE_GOLDEN=1"
        );
    }

    #[test]
    fn the_whole_text_is_as_published_and_the_reference_is_not_stale() {
        let text = stable(&filled().render());
        golden("tests/golden/metrics.txt", &text);
        golden("docs/metrics.md", &reference(&text));
    }

    #[test]
    fn a_probe_that_recovers_or_goes_leaves_nothing_behind_that_is_no_longer_so() {
        let metrics = filled();
        metrics.probe("web", &ProbeRun { result: "ok", ..ProbeRun::default() });
        metrics.predicted(None);
        let text = metrics.render();
        for gone in [
            "probe_failure_reason{",
            "probe_slow{",
            "probe_duration_seconds{",
            "predicted_failure{",
        ] {
            assert!(!text.contains(gone), "{gone}");
        }
        assert!(text.contains("probe_success{probe=\"web\"} 1"), "{text}");
        metrics.probe("web", &ProbeRun { result: "unknown", ..ProbeRun::default() });
        assert!(!metrics.render().contains("probe_success{probe=\"web\"}"), "unknown is absent");
        metrics.forget_probe("web");
        let gauges: Vec<String> = metrics
            .render()
            .lines()
            .filter(|line| line.contains("probe=\"web\"") && !line.contains("_total"))
            .map(str::to_owned)
            .collect();
        assert_eq!(gauges, [""; 0]);
    }

    #[test]
    fn what_is_unknown_is_absent_and_never_zero() {
        let metrics = filled();
        metrics.token("default", "eu-west-1", None);
        metrics.output("docker", "images", None, None);
        let text = metrics.render();
        assert!(!text.contains("token_expiry_timestamp_seconds{"), "{text}");
        assert!(!text.contains("output_in_sync{"), "{text}");
    }
}
