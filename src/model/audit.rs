//! What the configuration says of the audit.

use std::{path::PathBuf, time::Duration};

/// Where records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditSource {
    /// A folder of log files.
    Files,
    /// A trail's bucket: by listing, or by a queue of its notifications.
    S3,
    /// The account's event history.
    LookupEvents,
}

/// Where findings go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalTo {
    /// A file of its own, rotated.
    File,
    /// Standard output.
    Stdout,
    /// The log, which is the journal under systemd.
    Log,
}

/// `[[audit.expect]]`: what is normal. Patterns with `*` and `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectSpec {
    /// Who: ARNs, accounts or unique ids.
    pub principals: Vec<String>,
    /// What: operations or API names.
    pub actions: Vec<String>,
    /// Where; empty for everywhere.
    pub repositories: Vec<String>,
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSpec {
    /// Where records come from; `None`: the daemon does not audit.
    pub source: Option<AuditSource>,
    /// The identity that asks AWS.
    pub identity: String,
    /// The region that is asked; `None` when no registry names one.
    pub region: Option<String>,
    /// How often.
    pub interval: Duration,
    /// How far back the first run looks.
    pub back: Duration,
    /// Files: the folder.
    pub folder: Option<PathBuf>,
    /// S3: the bucket.
    pub bucket: Option<String>,
    /// S3: what the keys begin with, down to the region.
    pub prefix: String,
    /// S3: the queue of notifications.
    pub queue: Option<String>,
    /// Lookup: only what this host's own role session did.
    pub own_events: bool,
    /// Lookup: how many hosts of the account do the same.
    pub fleet: u32,
    /// Where findings go.
    pub journal: JournalTo,
    /// The journal's file; `None` is below the state directory.
    pub journal_file: Option<PathBuf>,
    /// Its size when it is rotated.
    pub journal_bytes: u64,
    /// How many old ones are kept.
    pub journal_keep: u32,
    /// Whether every event is written, not only findings.
    pub journal_events: bool,
    /// Whether fields are named as the Elastic Common Schema does.
    pub journal_ecs: bool,
    /// How long first times are learned silently.
    pub learn: Duration,
    /// Rules that are switched off.
    pub rules_off: Vec<String>,
    /// Accounts that may pull.
    pub accounts: Vec<String>,
    /// Our own roles.
    pub roles: Vec<String>,
    /// What our hosts' role sessions are called.
    pub hosts: Vec<String>,
    /// Repositories that only probes pull from.
    pub probe_repositories: Vec<String>,
    /// KMS keys of repositories.
    pub kms_keys: Vec<String>,
    /// What is normal.
    pub expect: Vec<ExpectSpec>,
}

/// The rules' names, as the configuration knows them; a test compares them with the rules.
pub const RULES: &[&str] = &[
    "denied",
    "unexpected",
    "new_principal",
    "new_account",
    "new_region",
    "new_repository",
    "push",
    "tag_overwrite",
    "delete",
    "policy_change",
    "setting_change",
    "template_change",
    "lifecycle",
    "replication_change",
    "scanning_change",
    "key_change",
    "foreign_pull",
    "unknown_session",
    "unreadable",
    "record_unread",
    "gap",
];

impl Default for AuditSpec {
    fn default() -> Self {
        Self {
            source: None,
            identity: "default".to_owned(),
            region: None,
            interval: Duration::from_secs(300),
            back: Duration::from_secs(86_400),
            folder: None,
            bucket: None,
            prefix: String::new(),
            queue: None,
            own_events: true,
            fleet: 100,
            journal: JournalTo::File,
            journal_file: None,
            journal_bytes: 64 << 20,
            journal_keep: 8,
            journal_events: false,
            journal_ecs: false,
            learn: Duration::from_secs(7 * 86_400),
            rules_off: Vec::new(),
            accounts: Vec::new(),
            roles: Vec::new(),
            hosts: vec!["i-*".to_owned(), "ecr-warden-*".to_owned()],
            probe_repositories: Vec::new(),
            kms_keys: Vec::new(),
            expect: Vec::new(),
        }
    }
}
