//! The audit's job, and where what it tells goes.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Daemon, hub::Hub};
use crate::{
    audit::{
        job::{AuditJob, Tally, Tools, Watcher},
        rules::{Rule, Severity},
        source::{
            Source,
            bucket::Listed,
            files::Files,
            lookup::{Lookup, Turn},
            queue::Queued,
            slot,
        },
    },
    model::{
        audit::{AuditSource, AuditSpec},
        identity::IdentitySpec,
    },
    schedule::{driver::Handle, wake::Wake},
};

/// Makes the source.
type Make = Box<dyn Fn() -> Box<dyn Source> + Send>;

/// The job with what it was built on.
pub(super) struct RunningAudit {
    spec: AuditSpec,
    identity: Option<IdentitySpec>,
    stop: CancellationToken,
    handle: Handle,
}

impl Daemon {
    /// Starts, stops or replaces the audit, when its settings say so.
    pub(super) async fn apply_audit(&mut self) {
        let spec = self.settings.audit.clone();
        let identity = self.settings.identities.get(&spec.identity).cloned();
        let same = |running: &RunningAudit| running.spec == spec && running.identity == identity;
        if self.audit.as_ref().is_some_and(same) {
            return;
        }
        if let Some(running) = self.audit.take() {
            running.stop.cancel();
            running.handle.stop().await;
            self.hub.forget_audit();
        }
        let Some(source) = self.audit_source(&spec, identity.as_ref()) else { return };
        let stop = CancellationToken::new();
        let tools = Tools {
            source,
            state: self.settings.daemon.state_directory.clone(),
            clock: Arc::clone(&self.hub.clock),
            watcher: Arc::clone(&self.hub) as Arc<dyn Watcher>,
            stop: stop.clone(),
        };
        // Born at zero, so that the first finding is an increase.
        for rule in Rule::ALL {
            self.hub.metrics.audit_finding(rule.name(), rule.severity().word(), 0);
        }
        self.hub.metrics.audit_finding(Rule::Denied.name(), Severity::Notice.word(), 0);
        let job = AuditJob::new(spec.clone(), tools);
        let handle = self.driver.spawn(Box::new(job), Wake::default(), None);
        self.audit = Some(RunningAudit { spec, identity, stop, handle });
    }

    fn audit_source(&self, spec: &AuditSpec, identity: Option<&IdentitySpec>) -> Option<Make> {
        let source = spec.source?;
        if source == AuditSource::Files {
            let folder = spec.folder.clone()?;
            return Some(Box::new(move || Box::new(Files::new(&folder))));
        }
        let (identity, region) = (identity?.clone(), spec.region.clone()?);
        let (aws, spec, host) = (Arc::clone(&self.aws), spec.clone(), self.host.clone());
        Some(Box::new(move || match (source, &spec.queue) {
            (AuditSource::LookupEvents, _) => {
                let own = spec.own_events.then(|| aws.identity(&identity, &region));
                let turn = if spec.own_events {
                    let period = slot::period(spec.fleet, spec.interval);
                    Turn::Slot { place: host.spread("lookup-events"), period }
                } else {
                    Turn::Alone
                };
                let history = aws.history(&identity, &region);
                Box::new(Lookup::new(history, own, &region, turn, spec.back))
            }
            (_, Some(url)) => {
                let queue = aws.queue(&identity, &region, url);
                let objects = aws.bucket(&identity, &region);
                Box::new(Queued::new(queue, objects, url, spec.bucket.as_deref()))
            }
            (_, None) => {
                let bucket = spec.bucket.as_deref().unwrap_or_default();
                let objects = aws.bucket(&identity, &region);
                Box::new(Listed::new(objects, bucket, &spec.prefix, spec.back))
            }
        }))
    }
}

impl Watcher for Hub {
    fn audited(&self, tally: &Tally, covered: Option<Timestamp>) {
        let now = self.clock.now();
        self.metrics.audited(covered, now);
        for ((event, outcome), count) in &tally.events {
            self.metrics.audit_event(event, outcome, *count);
        }
        for ((rule, severity), count) in &tally.findings {
            self.metrics.audit_finding(rule, severity, *count);
        }
        self.status.audit(|audit| {
            audit.covered = covered;
            audit.events += tally.events.values().sum::<u64>();
            audit.findings += tally.findings.values().sum::<u64>();
            if let Some((severity, what)) = &tally.worst {
                audit.last_finding = Some(format!("{}: {what}", severity.word()));
                audit.last_finding_at = Some(now);
            }
        });
    }
}

impl Hub {
    fn forget_audit(&self) {
        self.metrics.audited(None, self.clock.now());
        self.status.forget_audit();
    }
}
