//! What the configured test pulls will take in a day, and what is dangerous about them: for `check`.
//! Pure.

use super::report::amount;
use crate::model::{
    probe::{Depth, ProbeSpec, Probing},
    schedule::Schedule,
};

/// Manifests and a configuration are seldom larger than this together.
const METADATA: u64 = 50_000;

const DAYS_OF_A_MONTH: f64 = 30.0;

/// What one probe takes in a day while it is fine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Estimate {
    /// The probe.
    pub probe: String,
    /// Runs; absent for a cron expression.
    pub runs: Option<u64>,
    /// Requests at the most; of a full pull without those for its layers, two for each.
    pub requests: Option<u64>,
    /// Bytes, about; absent for a full pull, since the configuration does not tell the image's size.
    pub bytes: Option<u64>,
}

impl Estimate {
    /// Of one probe.
    pub fn of(spec: &ProbeSpec) -> Self {
        let runs = match &spec.schedule {
            Schedule::Every(interval) => {
                let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
                Some(86_400_000_u64.div_ceil(millis))
            }
            Schedule::Cron(_) => None,
        };
        let most = spec.requests(0);
        let bytes = runs.map(|runs| runs * METADATA).filter(|_| spec.depth != Depth::Full);
        Self { probe: spec.name.clone(), runs, requests: runs.map(|runs| runs * most), bytes }
    }

    fn told(&self) -> String {
        let (Some(runs), Some(requests)) = (self.runs, self.requests) else {
            return format!("{}: as often as its cron expression fires", self.probe);
        };
        let name = &self.probe;
        match self.bytes {
            Some(bytes) => format!(
                "{name}: {runs} runs a day, at most {requests} requests, about {}",
                amount(bytes)
            ),
            None => format!(
                "{name}: {runs} runs a day, at most {requests} requests and two for each layer, the whole image each time"
            ),
        }
    }
}

/// The most that all of them can cost in a month, in US dollars: the budget ends it.
pub fn most_a_month(probes: &[ProbeSpec], probing: &Probing) -> f64 {
    let estimates: Vec<Option<u64>> =
        probes.iter().map(|probe| Estimate::of(probe).bytes).collect();
    let known: u64 = estimates.iter().flatten().sum();
    let open = estimates.iter().any(Option::is_none);
    let bytes = if open { probing.bytes_per_day } else { known.min(probing.bytes_per_day) };
    #[allow(clippy::cast_precision_loss)]
    let gigabytes = bytes as f64 / 1e9;
    gigabytes * DAYS_OF_A_MONTH * probing.price_per_gb
}

/// The estimate in lines; none without probes.
pub fn estimates(probes: &[ProbeSpec], probing: &Probing) -> Vec<String> {
    if probes.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> = probes.iter().map(|probe| Estimate::of(probe).told()).collect();
    lines.push(format!(
        "at most {:.2} USD a month for this host at {} USD a GB (price_per_gb); the budget ends it at {} and {} requests a day",
        most_a_month(probes, probing),
        probing.price_per_gb,
        amount(probing.bytes_per_day),
        probing.requests_per_day
    ));
    lines
}

/// What is dangerous. `shared` tells whether an identity also mints for the outputs.
pub fn warnings(
    probes: &[ProbeSpec],
    probing: &Probing,
    shared: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    let own = |probe: &ProbeSpec| probe.identity.as_deref().is_some_and(|name| !shared(name));
    let counted: Vec<&str> = probes
        .iter()
        .filter(|probe| !probe.canary && !own(probe))
        .map(|probe| probe.name.as_str())
        .collect();
    if !counted.is_empty() {
        lines.push(format!(
            "ECR counts the test pulls of {} as pulls of their images, so a lifecycle rule by last pull never archives them. Pull a small image that nobody runs and say canary = true, or give the probe an identity of its own and exempt its role (aws ecr register-pull-time-update-exclusion, in the primary account)",
            counted.join(", ")
        ));
        lines.push(
            "never exempt a role that workloads share from ECR's record of last pulls: images in use would look unused and be archived, and pulls of them then fail"
                .to_owned(),
        );
    }
    let requests: u64 = probes.iter().filter_map(|probe| Estimate::of(probe).requests).sum();
    if requests > probing.requests_per_day {
        lines.push(format!(
            "the probes want {requests} requests a day and requests_per_day allows {}: the rest will be unknown [probe_budget_spent]",
            probing.requests_per_day
        ));
    }
    for probe in probes {
        if let Schedule::Every(interval) = &probe.schedule
            && *interval < probe.timeout
        {
            lines.push(format!(
                "{}: it may take {} s and has its turn every {} s; turns that come meanwhile are left out",
                probe.name,
                probe.timeout.as_secs(),
                interval.as_secs()
            ));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::image::ImageRef;

    fn probe(depth: Depth, minutes: u64) -> ProbeSpec {
        ProbeSpec {
            name: "web".into(),
            image: ImageRef::parse("h.example/app:1").unwrap(),
            depth,
            engine: None,
            socket: None,
            push: None,
            platform: None,
            schedule: Schedule::Every(Duration::from_secs(minutes * 60)),
            timeout: Duration::from_secs(30),
            failures_to_alarm: 2,
            identity: None,
            canary: false,
        }
    }

    #[test]
    fn a_day_is_counted_and_the_budget_ends_what_can_not_be_known() {
        let probing = Probing::default();
        let shallow = Estimate::of(&probe(Depth::FirstByte, 15));
        assert_eq!((shallow.runs, shallow.requests), (Some(96), Some(576)));
        assert!(most_a_month(&[probe(Depth::FirstByte, 15)], &probing) < 0.01);
        let most = most_a_month(&[probe(Depth::Full, 60)], &probing);
        assert!((most - 27.0).abs() < 1e-6, "{most}");
    }

    #[test]
    fn the_danger_of_keeping_images_alive_is_told_unless_it_was_seen_to() {
        let probing = Probing::default();
        let told = |spec: &ProbeSpec, own: bool| {
            warnings(std::slice::from_ref(spec), &probing, |_| !own).join("\n")
        };
        let mut spec = probe(Depth::FirstByte, 15);
        assert!(told(&spec, false).contains("never archives them"));
        assert!(told(&spec, false).contains("never exempt a role that workloads share"));
        spec.identity = Some("default".into());
        assert!(told(&spec, false).contains("never exempt"), "it mints for workloads, too");
        assert_eq!(told(&spec, true), "", "a role of its own can be exempted");
        spec.canary = true;
        assert_eq!(told(&spec, false), "");
    }

    #[test]
    fn more_than_the_budget_allows_is_told_before_it_is_spent() {
        let mut spec = probe(Depth::Manifest, 1);
        spec.canary = true;
        let probing = Probing { requests_per_day: 100, ..Probing::default() };
        let told = warnings(std::slice::from_ref(&spec), &probing, |_| true).join("\n");
        assert!(
            told.contains("want 5760 requests a day and requests_per_day allows 100"),
            "{told}"
        );
    }
}
