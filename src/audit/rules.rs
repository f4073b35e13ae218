//! What somebody should look at: rules over records. Pure.
//!
//! Without `[[audit.expect]]` the built-in rules fire alone. An expectation that fits a call
//! silences every rule that asks who did what; a denial, and a first time, are told all the same.

pub mod catalogue;
pub mod expect;
pub mod ground;
pub mod memory;

use wildmatch::WildMatch;

pub use self::{
    catalogue::{Rule, Severity},
    ground::Ground,
    memory::Memory,
};
use super::{
    action::Operation,
    record::{Answer, Image, Record},
    seen::{Recent, mark},
};

/// So many first times are remembered.
const FIRSTS: usize = 20_000;

/// So many tags are remembered with their digests.
const TAGS: usize = 5_000;

/// One thing that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How bad; a denial that was seen before is less.
    pub severity: Severity,
    /// What was seen, in one line.
    pub detail: String,
    /// The first of its kind that is remembered.
    pub first: bool,
}

/// What the rules make of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It is about no registry.
    Beside,
    /// It is our own probe's.
    Probe,
    /// It counts, with what there is to say of it.
    Counts(Vec<Finding>),
}

/// The rules with what they remember.
#[derive(Debug)]
pub struct Rules {
    ground: Ground,
    /// First times, by kind and name.
    firsts: Recent<u64, ()>,
    /// First denials: apart, so that nobody can make the others forgotten by being denied.
    denials: Recent<u64, ()>,
    /// The digest of each tag, and who pushed it.
    tags: Recent<u64, (String, String)>,
    /// KMS keys that ECR was given grants on.
    keys: Recent<String, ()>,
}

impl Rules {
    /// Rules that remember nothing yet.
    pub fn new(ground: Ground) -> Self {
        Self {
            ground,
            firsts: Recent::new(FIRSTS),
            denials: Recent::new(FIRSTS),
            tags: Recent::new(TAGS),
            keys: Recent::new(1000),
        }
    }

    /// What the names of our own roles have in them, without `*` and `?`.
    pub fn role_names(&self) -> Vec<String> {
        let longest = |role: &WildMatch| {
            let pattern = role.to_string();
            let name = pattern.rsplit('/').next().unwrap_or_default();
            let pieces = name.split(['*', '?']);
            pieces.max_by_key(|piece| piece.len()).unwrap_or_default().to_owned()
        };
        self.ground.roles.iter().map(longest).collect()
    }

    /// What there is to say of a record.
    pub fn judge(&mut self, record: &Record) -> Opinion {
        if !self.concerns(record) {
            return Opinion::Beside;
        }
        if self.is_probe(record) {
            return Opinion::Probe;
        }
        let mut findings = Vec::new();
        self.denied(record, &mut findings);
        self.first_times(record, &mut findings);
        if record.answer == Answer::Done {
            self.tag_overwrite(record, &mut findings);
            let expected = self.ground.expect.iter().any(|expect| expect.fits(record));
            if expected {
                findings.retain(|finding| finding.rule != Rule::TagOverwrite);
            } else {
                self.who_did_what(record, &mut findings);
            }
        }
        findings.retain(|finding| !self.ground.off.contains(&finding.rule));
        Opinion::Counts(findings)
    }

    /// KMS and STS have more to do than ECR's part.
    fn concerns(&mut self, record: &Record) -> bool {
        match record.operation {
            Operation::Kms => {
                let for_ecr = [&record.actor.invoked_by, &record.grantee];
                if record.name == "CreateGrant" {
                    let ours = for_ecr.iter().any(|who| who.starts_with("ecr."));
                    if ours && !record.object.is_empty() {
                        self.keys.put(record.object.clone(), ());
                    }
                    return ours;
                }
                self.keys.get(&record.object).is_some() || any(&self.ground.keys, &record.object)
            }
            Operation::Assume => self.is_our_role(&record.object),
            _ => record.source == "ecr.amazonaws.com",
        }
    }

    fn is_probe(&self, record: &Record) -> bool {
        record.operation == Operation::Pull
            && record.answer == Answer::Done
            && any(&self.ground.probes, &record.repository)
    }

    fn is_our_role(&self, arn: &str) -> bool {
        let name = arn.rsplit('/').next().unwrap_or_default();
        !arn.is_empty() && (any(&self.ground.roles, arn) || any(&self.ground.roles, name))
    }

    fn denied(&mut self, record: &Record, findings: &mut Vec<Finding>) {
        let Answer::Denied(denial) = record.answer else { return };
        let layer = format!("{:?}", denial.layer);
        let key = mark(&["denied", &record.actor.name, &record.name, record.subject(), &layer]);
        let first = self.denials.put(key, ()).is_none();
        let how = if denial.explicit { "forbidden by" } else { "not allowed by" };
        findings.push(Finding {
            rule: Rule::Denied,
            severity: if first { Rule::Denied.severity() } else { Severity::Notice },
            detail: format!("{how} {}", denial.layer.words()),
            first,
        });
    }

    fn first_times(&mut self, record: &Record, findings: &mut Vec<Finding>) {
        let Some(learned) = self.ground.learned else { return };
        let kinds = [
            (Rule::NewAccount, &record.actor.account),
            (Rule::NewPrincipal, &record.actor.name),
            (Rule::NewRegion, &record.region),
            (Rule::NewRepository, &record.repository),
        ];
        for (rule, what) in kinds {
            if what.is_empty() {
                continue;
            }
            let new = self.firsts.put(mark(&[rule.name(), what]), ()).is_none();
            // A new account is a new principal too: told once, by the stronger of the two.
            let told = rule == Rule::NewPrincipal
                && findings.iter().any(|finding| finding.rule == Rule::NewAccount);
            if new && !told && record.time >= learned {
                let detail = format!("{what} for the first time");
                findings.push(finding(rule, detail));
            }
        }
    }

    fn tag_overwrite(&mut self, record: &Record, findings: &mut Vec<Finding>) {
        if record.name != "PutImage" {
            return;
        }
        for image in &record.images {
            if image.image_tag.is_empty() || image.image_digest.is_empty() {
                continue;
            }
            let tag =
                mark(&[&record.registry, &record.region, &record.repository, &image.image_tag]);
            let now = (image.image_digest.clone(), record.actor.short());
            if let Some((digest, who)) = self.tags.put(tag, now)
                && digest != image.image_digest
            {
                let detail = format!(
                    "{}:{} was {} of {who} and is {} now",
                    record.repository,
                    image.image_tag,
                    short(&digest),
                    short(&image.image_digest)
                );
                findings.push(finding(Rule::TagOverwrite, detail));
            }
        }
    }

    /// The rules that an expectation silences.
    fn who_did_what(&self, record: &Record, findings: &mut Vec<Finding>) {
        let before = findings.len();
        let strange = !record.actor.account.is_empty() && record.actor.account != record.registry;
        let rule = match record.operation {
            Operation::Push if record.name == "PutImage" && strange => Some(Rule::Push),
            Operation::Delete if !record.by_aws => Some(Rule::Delete),
            Operation::Policy => Some(Rule::PolicyChange),
            Operation::Setting => Some(Rule::SettingChange),
            Operation::Template | Operation::PullThrough => Some(Rule::TemplateChange),
            Operation::Lifecycle => Some(Rule::Lifecycle),
            Operation::Replication => Some(Rule::ReplicationChange),
            Operation::Scanning => Some(Rule::ScanningChange),
            Operation::Kms
                if record.name != "CreateGrant" && !record.actor.invoked_by.starts_with("ecr.") =>
            {
                Some(Rule::KeyChange)
            }
            Operation::Pull if strange && self.is_foreign(&record.actor.account) => {
                Some(Rule::ForeignPull)
            }
            _ => None,
        };
        if let Some(rule) = rule {
            findings.push(finding(rule, what(record)));
        }
        let (used, session) = match record.operation {
            Operation::Assume => (&record.object, &record.session),
            _ => (&record.actor.name, &record.actor.session),
        };
        if !session.is_empty() && self.is_our_role(used) && !any(&self.ground.hosts, session) {
            let from =
                if record.address.is_empty() { "an unknown address" } else { &record.address };
            let detail = format!("{} as session {session} from {from}", record.name);
            findings.push(finding(Rule::UnknownSession, detail));
        }
        if findings.len() == before && !self.ground.expect.is_empty() && !record.by_aws {
            findings.push(finding(Rule::Unexpected, what(record)));
        }
    }

    fn is_foreign(&self, account: &str) -> bool {
        let known = &self.ground.accounts;
        !known.is_empty() && !known.iter().any(|one| one == account)
    }
}

fn finding(rule: Rule, detail: String) -> Finding {
    Finding { rule, severity: rule.severity(), detail, first: false }
}

fn any(patterns: &[WildMatch], text: &str) -> bool {
    !text.is_empty() && patterns.iter().any(|pattern| pattern.matches(text))
}

/// What was done to what: with tag and digest where they are told.
fn what(record: &Record) -> String {
    let on = if record.subject().is_empty() { &record.registry } else { record.subject() };
    let image = |image: &Image| {
        let (tag, digest) = (&image.image_tag, short(&image.image_digest));
        match (tag.is_empty(), digest.is_empty()) {
            (false, false) => format!("{on}:{tag} ({digest})"),
            (false, true) => format!("{on}:{tag}"),
            _ => format!("{on}@{digest}"),
        }
    };
    match record.images.as_slice() {
        [] => format!("{} on {on}", record.name),
        [one] => format!("{} {}", record.name, image(one)),
        [first, rest @ ..] => format!("{} {} and {} more", record.name, image(first), rest.len()),
    }
}

/// `sha256:` and twelve digits.
fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

#[cfg(test)]
mod tests;
