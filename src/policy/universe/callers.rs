//! Who could ask: the callers that documents tell apart.

use std::collections::BTreeSet;

use super::{
    super::{
        condition::{Condition, Test},
        document::{Document, Effect, Named},
        facts::Facts,
        glob::{Glob, Style},
        pattern::Pattern,
        principal::{Caller, PrincipalArn, Who},
        witness::{Budget, witnesses},
    },
    partition, statements,
};

/// More callers than a policy of 10 KB can name.
const MAX_CALLERS: usize = 1024;
/// A service that no policy names.
pub(in super::super) const OTHER_SERVICE: &str = "any-other.amazonaws.com";
/// An account that nobody has.
pub(in super::super) const OTHER_ACCOUNT: &str = "999999999999";

/// A caller, for whom it stands, and its context.
#[derive(Clone, Debug)]
pub(in super::super) struct Witness {
    pub(in super::super) caller: Caller,
    /// Whom it stands for.
    pub(in super::super) who: Who,
    /// Whether it is any other principal of the account `who`, or of an account not named.
    pub(in super::super) general: bool,
    /// Whether it is an example of what a wildcard stands for.
    pub(in super::super) example: bool,
    pub(in super::super) facts: Facts,
}

/// Whether a key follows from who calls, so that it is no dimension of its own.
pub(super) fn follows_from_caller(documents: &[&Document], key: &str) -> bool {
    matches!(key, "aws:principalarn" | "aws:principalaccount")
        && conditions(documents).filter(|one| one.key == key).all(|one| match &one.test {
            Test::Text(patterns) => patterns.iter().all(|pattern| pattern.fixed().is_some()),
            Test::Null(_) => true,
            _ => false,
        })
}

pub(super) fn conditions<'a>(documents: &[&'a Document]) -> impl Iterator<Item = &'a Condition> {
    statements(documents).flat_map(|statement| &statement.conditions)
}

fn patterns_of<'a>(documents: &[&'a Document], key: &str) -> Vec<&'a Glob> {
    if !follows_from_caller(documents, key) {
        return Vec::new();
    }
    conditions(documents)
        .filter(|one| one.key == key)
        .filter_map(|one| match &one.test {
            Test::Text(patterns) => Some(patterns),
            _ => None,
        })
        .flatten()
        .filter_map(Pattern::fixed)
        .collect()
}

pub(super) fn witnesses_of(
    documents: &[&Document],
    budget: &Budget,
) -> Result<Vec<Witness>, String> {
    let too_many = || "the principals combine in too many ways to be enumerated".to_owned();
    let named: BTreeSet<&Who> = statements(documents)
        .filter_map(|statement| statement.principals.as_ref())
        .flat_map(Named::listed)
        .collect();
    let arns = patterns_of(documents, "aws:principalarn");
    let partition = partition(documents);
    let mut found: Vec<Witness> = Vec::new();
    for account in accounts(documents, &named, &arns, budget)? {
        if found.len() > MAX_CALLERS {
            return Err(too_many());
        }
        members(&account, partition, &named, &arns, budget, &mut found)?;
    }
    let general = found.len();
    // Somebody anonymous, and what is no role or user.
    let mut add = |other: Option<Who>, who: &Who| {
        let caller = Caller { other, ..Caller::default() };
        found.push(witness(caller, who.clone(), false, false));
    };
    add(None, &Who::Everyone);
    let other_service = Who::Service(OTHER_SERVICE.to_owned());
    for who in named.iter().copied().chain([&other_service]) {
        if matches!(who, Who::Service(_) | Who::Federated(_) | Who::Canonical(_)) {
            add(Some(who.clone()), who);
        }
    }
    let by_account = patterns_of(documents, "aws:principalaccount");
    let mut together = !arns.is_empty() || !by_account.is_empty();
    together |= statements(documents).any(|statement| {
        statement.effect == Effect::Deny
            || statement.principals.as_ref().is_some_and(Named::is_all_but)
    });
    unique_ids(together, &named, general, &mut found);
    if found.len() > MAX_CALLERS {
        return Err(too_many());
    }
    Ok(found)
}

/// The accounts that are told apart, and one that is not named.
fn accounts(
    documents: &[&Document],
    named: &BTreeSet<&Who>,
    arns: &[&Glob],
    budget: &Budget,
) -> Result<BTreeSet<String>, String> {
    let mut accounts: BTreeSet<String> =
        named.iter().filter_map(|who| who.account()).map(str::to_owned).collect();
    for glob in arns {
        if let Some(account) = glob.exact().and_then(|text| text.split(':').nth(4)) {
            accounts.insert(account.to_owned());
        } else {
            // The account's segment, where it has no wildcard.
            let text: String = glob
                .tokens()
                .iter()
                .map(|token| match token {
                    super::super::glob::Token::Char(c) => *c,
                    _ => '*',
                })
                .collect();
            let account = text.split(':').nth(4).filter(|account| !account.contains('*'));
            accounts.extend(account.map(str::to_owned));
        }
    }
    let keys = patterns_of(documents, "aws:principalaccount");
    if !keys.is_empty() {
        accounts.extend(
            witnesses(&keys, &Glob::new("*", Style::Wild), budget)
                .ok_or("the accounts' wildcards combine in too many ways to be enumerated")?,
        );
    }
    accounts.insert(OTHER_ACCOUNT.to_owned());
    Ok(accounts)
}

/// The callers of one account: those named, those that patterns tell apart, and any other.
fn members(
    account: &str,
    partition: &str,
    named: &BTreeSet<&Who>,
    arns: &[&Glob],
    budget: &Budget,
    found: &mut Vec<Witness>,
) -> Result<(), String> {
    let mut texts: BTreeSet<String> = BTreeSet::new();
    let mut sessions: Vec<(&str, PrincipalArn<'_>)> = Vec::new();
    for who in named {
        let Who::Arn(text) = who else { continue };
        let Some(arn) = PrincipalArn::parse(text).filter(|arn| arn.account == account) else {
            continue;
        };
        if arn.kind == "assumed-role" {
            sessions.push((text, arn));
            let role = format!("arn:{}:iam::{account}:role/{}", arn.partition, arn.name());
            texts.insert(role);
        } else {
            texts.insert(text.clone());
        }
    }
    let general = format!("arn:{partition}:iam::{account}:role/any-other");
    if !arns.is_empty() {
        let exact: Vec<Glob> = texts.iter().map(|text| Glob::new(text, Style::Exact)).collect();
        let patterns: Vec<&Glob> = arns.iter().copied().chain(&exact).collect();
        for kind in ["role/?*", "user/?*", "root"] {
            let within = Glob::new(&format!("arn:{partition}:iam::{account}:{kind}"), Style::Wild);
            texts.extend(witnesses(&patterns, &within, budget).ok_or(
                "the wildcards of aws:PrincipalArn combine in too many ways to be enumerated",
            )?);
        }
    }
    let who = Who::Account(account.to_owned());
    let mut add = |arn: &str, session: Option<&str>, who: Who, general: bool| {
        let caller = Caller {
            account: Some(account.to_owned()),
            arn: Some(arn.to_owned()),
            session: Some(session.unwrap_or("any-other").to_owned()),
            unique_id: Some(String::new()),
            other: None,
        };
        let example =
            matches!(&who, Who::Arn(arn) if !arn.ends_with(":root")) && !named.contains(&who);
        found.push(witness(caller, who, general, example));
    };
    add(&general, None, who, true);
    // The root user has no name but the account's, which matters where names are excepted.
    texts.insert(format!("arn:{partition}:iam::{account}:root"));
    for text in &texts {
        add(text, None, Who::Arn(text.clone()), false);
        for (session_arn, session) in &sessions {
            if PrincipalArn::parse(text)
                .is_some_and(|arn| arn.kind == "role" && arn.name() == session.name())
            {
                let name = session.rest.rsplit('/').next();
                add(text, name, Who::Arn((*session_arn).to_owned()), false);
            }
        }
    }
    Ok(())
}

fn witness(caller: Caller, who: Who, general: bool, example: bool) -> Witness {
    // The keys that follow from who calls; others are dimensions.
    let mut facts = Facts::complete();
    if caller.account.is_some() {
        facts.presume("aws:PrincipalArn", caller.principal_arn());
        facts.presume("aws:PrincipalAccount", caller.account.as_deref());
    }
    Witness { caller, who, general, example, facts }
}

/// Holders of the unique ids that are named: of no account in particular, and where something is
/// said of several names of one caller `together` (a denial, an exception, a condition on the ARN),
/// each of the callers too.
fn unique_ids(together: bool, named: &BTreeSet<&Who>, general: usize, found: &mut Vec<Witness>) {
    for who in named {
        let Who::UniqueId(id) = who else { continue };
        for at in 0..general {
            let base = &found[at];
            let other = base.general && base.caller.account.as_deref() == Some(OTHER_ACCOUNT);
            if (together || other) && found.len() <= MAX_CALLERS {
                let mut one = base.clone();
                one.caller.unique_id = Some(id.clone());
                one.who = (*who).clone();
                one.general = false;
                found.push(one);
            }
        }
    }
}

impl Witness {
    /// Whether it stands for everybody who is not named.
    pub(in super::super) fn is_outsider(&self) -> bool {
        self.general && self.caller.account.as_deref() == Some(OTHER_ACCOUNT)
    }
}
