//! The audit's job, and where what it tells goes.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Daemon, hub::Hub};
use crate::{
    audit::{
        job::{AuditJob, Tally, Tools, Watcher},
        source::{Source, files::Files},
    },
    model::{
        audit::{AuditSource, AuditSpec},
        identity::IdentitySpec,
    },
    schedule::{driver::Handle, wake::Wake},
};

/// The job with what it was built on.
pub(super) struct RunningAudit {
    spec: AuditSpec,
    identity: Option<IdentitySpec>,
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
            running.handle.stop().await;
            self.hub.forget_audit();
        }
        let Some(source) = Self::audit_source(&spec) else { return };
        let tools = Tools {
            source,
            state: self.settings.daemon.state_directory.clone(),
            clock: Arc::clone(&self.hub.clock),
            watcher: Arc::clone(&self.hub) as Arc<dyn Watcher>,
        };
        let job = AuditJob::new(spec.clone(), tools);
        let handle = self.driver.spawn(Box::new(job), Wake::default(), None);
        self.audit = Some(RunningAudit { spec, identity, handle });
    }

    fn audit_source(spec: &AuditSpec) -> Option<Box<dyn Fn() -> Box<dyn Source> + Send>> {
        match spec.source? {
            AuditSource::Files => {
                let folder = spec.folder.clone()?;
                Some(Box::new(move || Box::new(Files::new(&folder))))
            }
            AuditSource::S3 | AuditSource::LookupEvents => None,
        }
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
