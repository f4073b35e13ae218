//! The metrics of test pulls.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use prometheus::{GaugeVec, IntCounterVec};

use super::{Maker, seconds, set};
use crate::model::reason::Reason;

/// The metrics. What a run did not show is absent.
pub(super) struct Probes {
    success: GaugeVec,
    failure_reason: GaugeVec,
    duration: GaugeVec,
    last_success: GaugeVec,
    bytes: IntCounterVec,
    requests: IntCounterVec,
    runs: IntCounterVec,
    throughput: GaugeVec,
    certificates: GaugeVec,
    slow: GaugeVec,
    left: GaugeVec,
    predicted: GaugeVec,
    shown: Mutex<Shown>,
}

/// What stands there now and must go when it is no longer so.
#[derive(Default)]
struct Shown {
    reasons: BTreeMap<String, &'static str>,
    phases: BTreeMap<String, Vec<[&'static str; 2]>>,
    slow: BTreeMap<String, [&'static str; 2]>,
    certificates: BTreeMap<String, Vec<&'static str>>,
    predicted: Option<[String; 2]>,
}

/// One run.
#[derive(Clone, Debug, Default)]
pub struct ProbeRun {
    /// `ok`, `bad` or `unknown`.
    pub result: &'static str,
    /// The run's reason.
    pub reason: Option<Reason>,
    /// What it counts as after `failures_to_alarm`.
    pub alarm: Option<Reason>,
    /// When it ended.
    pub ended: Timestamp,
    /// Hop, phase, seconds.
    pub phases: Vec<(&'static str, &'static str, f64)>,
    /// Bytes.
    pub bytes: u64,
    /// Requests.
    pub requests: u64,
    /// Bytes a second of all streams, and of one alone.
    pub throughput: [Option<f64>; 2],
    /// When the certificate of a hop expires, as far as one was shown.
    pub certificates: Vec<(&'static str, Timestamp)>,
    /// Hop and phase that were slow.
    pub slow: Option<(&'static str, &'static str)>,
    /// What is left of the budget: bytes, requests.
    pub left: [u64; 2],
}

impl Probes {
    pub(super) fn new(make: &Maker) -> prometheus::Result<Self> {
        Ok(Self {
            success: make.gauges("probe_success", "Whether the last run of a test pull was fine; absent when it could not be told.", &["probe"])?,
            failure_reason: make.gauges("probe_failure_reason", "The reason of a test pull that failed failures_to_alarm times in a row; always 1, absent while it counts as fine.", &["probe", "reason"])?,
            duration: make.gauges("probe_duration_seconds", "Seconds in each phase of the last run, added up over its requests, at the registry and at its storage.", &["probe", "hop", "phase"])?,
            last_success: make.gauges("probe_last_success_timestamp_seconds", "When a test pull was last fine.", &["probe"])?,
            bytes: make.counters("probe_transferred_bytes_total", "Bytes that a test pull received.", &["probe"])?,
            requests: make.counters("probe_requests_total", "Requests that a test pull made.", &["probe"])?,
            runs: make.counters("probe_runs_total", "Runs of a test pull, by result (ok, bad, unknown) and reason.", &["probe", "result", "reason"])?,
            throughput: make.gauges("probe_throughput_bytes_per_second", "Bytes a second of the last full pull: all streams together, and one alone.", &["probe", "streams"])?,
            certificates: make.gauges("probe_certificate_expiry_timestamp_seconds", "When the first certificate of the chain expires that a test pull was shown.", &["probe", "hop"])?,
            slow: make.gauges("probe_slow", "The phase of a test pull that took several times what it usually takes; always 1, absent otherwise.", &["probe", "hop", "phase"])?,
            left: make.gauges("probe_budget_left", "What is left of the day's budget for all test pulls of this host.", &["unit"])?,
            predicted: make.gauges("seconds_until_first_predicted_failure", "How long until pulls fail first, as far as it is foreseen, by its cause; not above 0 when they fail already, absent when nothing is foreseen.", &["cause", "subject"])?,
            shown: Mutex::default(),
        })
    }

    pub(super) fn ran(&self, probe: &str, run: &ProbeRun) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = run.reason.map_or("", Reason::code);
        self.runs.with_label_values(&[probe, run.result, reason]).inc();
        self.bytes.with_label_values(&[probe]).inc_by(run.bytes);
        self.requests.with_label_values(&[probe]).inc_by(run.requests);
        let success = match run.result {
            "ok" => Some(1.0),
            "bad" => Some(0.0),
            _ => None,
        };
        set(&self.success, &[probe], success);
        if run.result == "ok" {
            self.last_success.with_label_values(&[probe]).set(seconds(run.ended));
        }
        if let Some(before) = shown.reasons.remove(probe) {
            set(&self.failure_reason, &[probe, before], None);
        }
        if let Some(alarm) = run.alarm {
            set(&self.failure_reason, &[probe, alarm.code()], Some(1.0));
            shown.reasons.insert(probe.to_owned(), alarm.code());
        }
        for [hop, phase] in shown.phases.remove(probe).unwrap_or_default() {
            set(&self.duration, &[probe, hop, phase], None);
        }
        for (hop, phase, took) in &run.phases {
            set(&self.duration, &[probe, hop, phase], Some(*took));
            shown.phases.entry(probe.to_owned()).or_default().push([hop, phase]);
        }
        if let Some([hop, phase]) = shown.slow.remove(probe) {
            set(&self.slow, &[probe, hop, phase], None);
        }
        if let Some((hop, phase)) = run.slow {
            set(&self.slow, &[probe, hop, phase], Some(1.0));
            shown.slow.insert(probe.to_owned(), [hop, phase]);
        }
        for (streams, speed) in ["all", "one"].into_iter().zip(run.throughput) {
            if speed.is_some() {
                set(&self.throughput, &[probe, streams], speed);
            }
        }
        for (hop, until) in &run.certificates {
            set(&self.certificates, &[probe, hop], Some(seconds(*until)));
            let hops = shown.certificates.entry(probe.to_owned()).or_default();
            if !hops.contains(hop) {
                hops.push(hop);
            }
        }
        for (unit, left) in ["bytes", "requests"].into_iter().zip(run.left) {
            #[allow(clippy::cast_precision_loss)]
            set(&self.left, &[unit], Some(left as f64));
        }
    }

    /// A probe is gone; its counters stay, as counters do.
    pub(super) fn forget(&self, probe: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gauge in [&self.success, &self.last_success] {
            set(gauge, &[probe], None);
        }
        if let Some(before) = shown.reasons.remove(probe) {
            set(&self.failure_reason, &[probe, before], None);
        }
        for [hop, phase] in shown.phases.remove(probe).unwrap_or_default() {
            set(&self.duration, &[probe, hop, phase], None);
        }
        if let Some([hop, phase]) = shown.slow.remove(probe) {
            set(&self.slow, &[probe, hop, phase], None);
        }
        for hop in shown.certificates.remove(probe).unwrap_or_default() {
            set(&self.certificates, &[probe, hop], None);
        }
        for streams in ["all", "one"] {
            set(&self.throughput, &[probe, streams], None);
        }
    }

    /// What is foreseen now.
    pub(super) fn predicted(&self, found: Option<(&str, &str, f64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some([cause, subject]) = shown.predicted.take() {
            set(&self.predicted, &[&cause, &subject], None);
        }
        if let Some((cause, subject, left)) = found {
            set(&self.predicted, &[cause, subject], Some(left));
            shown.predicted = Some([cause.to_owned(), subject.to_owned()]);
        }
    }
}
