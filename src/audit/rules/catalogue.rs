//! Every rule as data: its name, severity, reason, and whose trail can show it. Pure.

use serde::Serialize;

use crate::model::reason::Reason;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// Whose trail can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vantage {
    /// The trail of the account that owns the registry.
    Owner,
    /// The trail of the account that calls.
    Caller,
    /// Either.
    Either,
}

macro_rules! rules {
    ($($variant:ident $name:literal $severity:ident $vantage:ident $reason:ident;)+) => {
        /// A rule.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum Rule { $($variant,)+ }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The names, for the configuration.
            pub const NAMES: &'static [&'static str] = &[$($name,)+];

            /// Its name in the configuration, in metrics and in the journal.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// How bad it is as a rule.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }

            /// Whose trail can show it.
            pub const fn vantage(self) -> Vantage {
                match self { $(Self::$variant => Vantage::$vantage,)+ }
            }

            /// Its reason: text, remedy, section of the runbook.
            pub const fn reason(self) -> Reason {
                match self { $(Self::$variant => Reason::$reason,)+ }
            }
        }
    };
}

rules! {
    Denied "denied" Warning Either AuditDenied;
    Unexpected "unexpected" Warning Either AuditUnexpected;
    NewPrincipal "new_principal" Notice Either AuditNewPrincipal;
    NewAccount "new_account" Warning Owner AuditNewAccount;
    NewRegion "new_region" Warning Either AuditNewRegion;
    NewRepository "new_repository" Notice Either AuditNewRepository;
    Push "push" Warning Owner AuditPush;
    TagOverwrite "tag_overwrite" Warning Owner AuditTagOverwrite;
    Delete "delete" Warning Owner AuditDelete;
    PolicyChange "policy_change" Critical Owner AuditPolicyChange;
    SettingChange "setting_change" Warning Owner AuditSettingChange;
    TemplateChange "template_change" Warning Owner AuditTemplateChange;
    Lifecycle "lifecycle" Notice Owner AuditLifecycle;
    ReplicationChange "replication_change" Warning Owner AuditReplicationChange;
    ScanningChange "scanning_change" Notice Owner AuditScanningChange;
    KeyChange "key_change" Critical Owner AuditKeyChange;
    ForeignPull "foreign_pull" Critical Owner AuditForeignPull;
    UnknownSession "unknown_session" Critical Either AuditUnknownSession;
    Unreadable "unreadable" Warning Either AuditUnreadable;
    RecordUnread "record_unread" Warning Either AuditRecordUnread;
    Gap "gap" Warning Either AuditGap;
}

impl Rule {
    /// The rule of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|rule| rule.name() == name).copied()
    }
}

impl Severity {
    /// The word in tables, JSON and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Vantage {
    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Caller => "caller",
            Self::Either => "either",
        }
    }
}
