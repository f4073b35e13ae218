//! A policy document as AWS means it: one shape for every way of writing it.

mod conditions;
mod names;
mod parse;
mod principals;
#[cfg(test)]
mod tests;

use std::fmt;

use super::{condition::Condition, glob::Glob, pattern::Pattern, principal::Who};

pub use parse::parse;

/// The most characters that ECR takes in a policy (`RepositoryPolicyText`, `RegistryPolicyText`).
pub const ECR_POLICY_CHARACTERS: usize = 10_240;

/// Where a policy is attached: what it must and may not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A repository's.
    Repository,
    /// A registry's.
    Registry,
    /// A role's or user's, managed or inline.
    Identity,
    /// A permissions boundary.
    Boundary,
    /// Passed when a role is assumed.
    Session,
    /// A service control policy.
    Scp,
    /// A resource control policy.
    Rcp,
    /// A VPC endpoint's.
    Endpoint,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Repository,
        Self::Registry,
        Self::Identity,
        Self::Boundary,
        Self::Session,
        Self::Scp,
        Self::Rcp,
        Self::Endpoint,
    ];

    /// The word for it on the command line and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Registry => "registry",
            Self::Identity => "identity",
            Self::Boundary => "boundary",
            Self::Session => "session",
            Self::Scp => "scp",
            Self::Rcp => "rcp",
            Self::Endpoint => "endpoint",
        }
    }

    /// What it is called in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Repository => "the repository policy",
            Self::Registry => "the registry policy",
            Self::Identity => "the identity policy",
            Self::Boundary => "the permissions boundary",
            Self::Session => "the session policy",
            Self::Scp => "the service control policy",
            Self::Rcp => "the resource control policy",
            Self::Endpoint => "the VPC endpoint policy",
        }
    }

    /// Whether its statements say to whom they apply.
    pub(super) fn has_principals(self) -> bool {
        matches!(self, Self::Repository | Self::Registry | Self::Rcp | Self::Endpoint)
    }
}

/// Which version of the policy language a document is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// 2008-10-17, and where none is given: `${...}` is plain text.
    V2008,
    /// 2012-10-17.
    V2012,
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
}

/// Some, or all but some (`NotAction` and its kin).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named<T> {
    /// These.
    These(Vec<T>),
    /// All but these.
    AllBut(Vec<T>),
}

impl<T> Named<T> {
    /// What is listed, whichever way.
    pub fn listed(&self) -> &[T] {
        match self {
            Self::These(list) | Self::AllBut(list) => list,
        }
    }

    /// Whether the list is of those that are not meant.
    pub fn is_all_but(&self) -> bool {
        matches!(self, Self::AllBut(_))
    }
}

/// An action as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Action {
    pub(super) glob: Glob,
    /// As it was written.
    pub text: String,
}

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its place in the document, from 1.
    pub index: usize,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Its Sid.
    pub sid: Option<String>,
    /// Allow or deny.
    pub effect: Effect,
    /// To whom it applies; `None` in a policy that is its holder's.
    pub principals: Option<Named<Who>>,
    /// To which actions.
    pub actions: Named<Action>,
    /// To which resources; `None` where it says nothing.
    pub(super) resources: Option<Named<Pattern>>,
    /// Under which conditions, all of them.
    pub conditions: Vec<Condition>,
    /// How it is written, for the report of what is different and means the same.
    pub(super) spelling: Vec<Spelling>,
}

/// A way of writing of which there is another that means the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spelling {
    /// One value of this element, in no list.
    Single(&'static str),
    /// An account as digits.
    Digits(Who),
    /// `"*"` for `{"AWS": "*"}`.
    Star,
}

impl fmt::Display for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(name) => write!(f, "{name} is a single string, not a list"),
            Self::Digits(who) => {
                write!(f, "{who} is written as digits, not as the ARN of its root")
            }
            Self::Star => f.write_str("Principal is \"*\", not {\"AWS\": \"*\"}"),
        }
    }
}

/// A policy.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it is attached.
    pub kind: Kind,
    /// The language's version.
    pub version: Version,
    /// Whether the version is written down.
    pub(super) states_version: bool,
    /// Its Id.
    pub id: Option<String>,
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// Whether it has something like a variable in it that its version takes for plain text.
    pub(super) literal_variables: bool,
    /// How many characters its text has.
    pub characters: usize,
}

impl Document {
    /// What stands where there is no policy: it grants and denies nothing.
    pub fn empty(kind: Kind) -> Self {
        Self {
            kind,
            version: Version::V2012,
            states_version: true,
            id: None,
            statements: Vec::new(),
            literal_variables: false,
            characters: 0,
        }
    }
}

impl fmt::Display for Statement {
    /// `statement 2 (AllowPull), line 14`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.index)?;
        if let Some(sid) = &self.sid {
            write!(f, " ({sid})")?;
        }
        write!(f, ", line {}", self.line)
    }
}

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What, and what to do about it.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}
