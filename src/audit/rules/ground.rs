//! What the rules go by, out of the configuration. Pure.

use jiff::Timestamp;
use wildmatch::WildMatch;

use super::{Rule, expect::Expect};
use crate::model::audit::AuditSpec;

/// What the rules go by.
#[derive(Clone, Debug)]
pub struct Ground {
    /// What is normal.
    pub expect: Vec<Expect>,
    /// Rules that are switched off.
    pub off: Vec<Rule>,
    /// The accounts that may pull; empty when that is not said.
    pub accounts: Vec<String>,
    /// Our own roles, by ARN or name.
    pub roles: Vec<WildMatch>,
    /// What the role sessions of our hosts are called.
    pub hosts: Vec<WildMatch>,
    /// The repositories that only our own probes pull from.
    pub probes: Vec<WildMatch>,
    /// KMS keys that repositories are encrypted with, by ARN or id.
    pub keys: Vec<WildMatch>,
    /// First times before this are learned without a word; `None`: first times are not told.
    pub learned: Option<Timestamp>,
}

impl Ground {
    /// The configuration's; first times are told of calls after `learned`.
    pub fn of(spec: &AuditSpec, learned: Option<Timestamp>) -> Self {
        let expect = spec.expect.iter().map(|one| Expect {
            principals: patterns(&one.principals),
            actions: patterns(&one.actions),
            repositories: patterns(&one.repositories),
        });
        Self {
            expect: expect.collect(),
            off: spec.rules_off.iter().filter_map(|name| Rule::of(name)).collect(),
            accounts: spec.accounts.clone(),
            roles: patterns(&spec.roles),
            hosts: patterns(&spec.hosts),
            probes: patterns(&spec.probe_repositories),
            keys: patterns(&spec.kms_keys),
            learned,
        }
    }
}

impl Default for Ground {
    fn default() -> Self {
        Self::of(&AuditSpec::default(), None)
    }
}

fn patterns(texts: &[String]) -> Vec<WildMatch> {
    texts.iter().map(|text| WildMatch::new(text)).collect()
}
