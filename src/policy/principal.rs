//! Who a policy names, and who asks.

use std::fmt;

use super::glob::has_wildcard;
use crate::model::registry::is_account;

/// One principal as a policy names it, however it is spelled there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// `"*"`, or `{"AWS": "*"}`.
    Everyone,
    /// An account: twelve digits, or the ARN of its root, which AWS writes in their place.
    Account(String),
    /// The ARN of a role, a user, or a session.
    Arn(String),
    /// A unique id (`AROA...`): what AWS shows in place of a principal that was deleted.
    UniqueId(String),
    /// A service of AWS.
    Service(String),
    /// An identity provider.
    Federated(String),
    /// A canonical user id.
    Canonical(String),
}

/// What the ids of principals begin with, and what they are (user guide, "IAM identifiers").
const ID_PREFIXES: &[(&str, &str)] = &[
    ("AROA", "role"),
    ("AIDA", "user"),
    ("AGPA", "group"),
    ("ANPA", "managed policy"),
    ("AIPA", "instance profile"),
];

impl Who {
    /// Reads a value of `"AWS"`. The error says what is wrong with it.
    pub(super) fn aws(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Everyone);
        }
        if is_account(text) {
            return Ok(Self::Account(text.to_owned()));
        }
        if unique_id_kind(text).is_some() {
            return Ok(Self::UniqueId(text.to_owned()));
        }
        if has_wildcard(text) {
            return Err(format!(
                "{text:?} has a wildcard: a principal is named in full, or is \"*\" alone (match many with aws:PrincipalArn in Condition)"
            ));
        }
        let Some(arn) = PrincipalArn::parse(text) else {
            return Err(format!(
                "{text:?} is no principal: twelve digits, arn:aws:iam::ACCOUNT:root, or the ARN of a role or user"
            ));
        };
        Ok(if arn.kind == "root" {
            Self::Account(arn.account.to_owned())
        } else {
            Self::Arn(text.to_owned())
        })
    }

    /// The account that the principal is in, where its name says so.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Account(id) => Some(id),
            Self::Arn(arn) => PrincipalArn::parse(arn).map(|arn| arn.account),
            _ => None,
        }
    }

    /// Whether the caller is meant; `None` where too little is known of the caller.
    pub(super) fn covers(&self, caller: &Caller) -> Option<bool> {
        match self {
            Self::Everyone => Some(true),
            Self::Account(id) => Some(caller.account.as_ref() == Some(id)),
            Self::UniqueId(id) => caller.has_id(id),
            Self::Service(_) | Self::Federated(_) | Self::Canonical(_) => {
                Some(caller.other.as_ref() == Some(self))
            }
            Self::Arn(text) => caller.is(text),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Account(id) => write!(f, "account {id}"),
            Self::Arn(arn) => f.write_str(arn),
            Self::UniqueId(id) => {
                write!(f, "the deleted {} {id}", unique_id_kind(id).unwrap_or("principal"))
            }
            Self::Service(name) => write!(f, "service {name}"),
            Self::Federated(name) => write!(f, "identity provider {name}"),
            Self::Canonical(id) => write!(f, "canonical user {id}"),
        }
    }
}

/// What a unique id is of, by its prefix.
pub fn unique_id_kind(text: &str) -> Option<&'static str> {
    let plausible = (16..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    ID_PREFIXES
        .iter()
        .find(|(prefix, _)| plausible && text.starts_with(prefix))
        .map(|(_, kind)| *kind)
}

/// The parts of a principal's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrincipalArn<'a> {
    pub(super) partition: &'a str,
    pub(super) account: &'a str,
    /// `root`, `role`, `user`, `assumed-role`, `federated-user`.
    pub(super) kind: &'a str,
    /// What follows the kind: path and name, or role and session.
    pub(super) rest: &'a str,
}

impl<'a> PrincipalArn<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        let (arn, partition, service) = (next()?, next()?, next()?);
        let (region, account, resource) = (next()?, next()?, next()?);
        let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let whole = arn == "arn"
            && partition.starts_with("aws")
            && region.is_empty()
            && is_account(account)
            && match (service, kind) {
                ("iam", "root") => rest.is_empty() && resource == "root",
                ("iam", "role" | "user") | ("sts", "federated-user") => !rest.is_empty(),
                ("sts", "assumed-role") => rest.split_once('/').is_some_and(|(role, session)| {
                    !role.is_empty() && !session.is_empty() && !session.contains('/')
                }),
                _ => false,
            };
        whole.then_some(Self { partition, account, kind, rest })
    }

    /// The role's or user's name, without its path and without a session.
    pub(super) fn name(&self) -> &'a str {
        match self.kind {
            "assumed-role" => self.rest.split('/').next().unwrap_or_default(),
            _ => self.rest.rsplit('/').next().unwrap_or_default(),
        }
    }
}

/// Who asks, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The account; `None` for a service of AWS or somebody anonymous.
    pub account: Option<String>,
    /// The ARN as it was given: of a role, a role's session, a user, an account's root.
    pub arn: Option<String>,
    /// The session's name, where the caller is a role and it is known.
    pub session: Option<String>,
    /// The role's or user's unique id, without a session's name; `None`: not known.
    pub unique_id: Option<String>,
    /// A service of AWS, or whatever else is no role or user.
    pub other: Option<Who>,
}

impl Caller {
    /// Reads an ARN, an account, a service (`x.amazonaws.com`), or `*` for somebody anonymous.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::default());
        }
        if is_account(text) {
            return Self::parse(&format!("arn:aws:iam::{text}:root"));
        }
        if !text.contains(':') && text.contains(".amazonaws.") {
            return Ok(Self {
                other: Some(Who::Service(text.to_ascii_lowercase())),
                ..Self::default()
            });
        }
        let arn = PrincipalArn::parse(text).ok_or_else(|| {
            format!(
                "{text:?} is nobody who could ask: give the ARN of a role (arn:aws:iam::ACCOUNT:role/NAME), of a session (arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION) or of a user"
            )
        })?;
        let session = (arn.kind == "assumed-role")
            .then(|| arn.rest.rsplit('/').next().unwrap_or_default().to_owned());
        Ok(Self {
            account: Some(arn.account.to_owned()),
            arn: Some(text.to_owned()),
            session,
            ..Self::default()
        })
    }

    /// With the unique id that STS gives (`AROA...:session` or `AIDA...`).
    #[must_use]
    pub fn with_unique_id(mut self, id: &str) -> Self {
        let (id, session) = id.split_once(':').unwrap_or((id, ""));
        self.unique_id = Some(id.to_owned());
        if !session.is_empty() {
            self.session = Some(session.to_owned());
        }
        self
    }

    pub(super) fn parts(&self) -> Option<PrincipalArn<'_>> {
        self.arn.as_deref().and_then(PrincipalArn::parse)
    }

    /// Whether it is a session of a role (a role itself calls only so).
    pub(super) fn session_of_role(&self) -> bool {
        self.parts().is_some_and(|arn| matches!(arn.kind, "role" | "assumed-role"))
    }

    /// Whether it is an account's root user.
    pub(super) fn is_root(&self) -> bool {
        self.parts().is_some_and(|arn| arn.kind == "root")
    }

    /// What aws:PrincipalArn is: the role's ARN for a session. `None` for a session, whose ARN
    /// does not show the role's path.
    pub(super) fn principal_arn(&self) -> Option<&str> {
        let arn = self.parts()?;
        (arn.kind != "assumed-role").then_some(self.arn.as_deref()).flatten()
    }

    /// Whether its unique id is this one.
    fn has_id(&self, id: &str) -> Option<bool> {
        if let Some(own) = &self.unique_id {
            return Some(own == id);
        }
        let kind = if self.session_of_role() { "role" } else { "user" };
        let possible = self.account.is_some() && unique_id_kind(id) == Some(kind);
        if possible { None } else { Some(false) }
    }

    /// Whether this ARN in a policy means the caller.
    fn is(&self, text: &str) -> Option<bool> {
        // Most of what a policy names is of another account: that is seen without parsing.
        if !self.account.as_ref().is_some_and(|account| text.contains(account.as_str())) {
            return Some(false);
        }
        let (Some(own), Some(named)) = (self.parts(), PrincipalArn::parse(text)) else {
            return Some(false);
        };
        if self.arn.as_deref() == Some(text) {
            return Some(true);
        }
        if own.account != named.account {
            return Some(false);
        }
        match (own.kind, named.kind) {
            // A name is a role's alone in its account, whatever the path, and AWS refuses a
            // policy that names a role which does not exist.
            ("assumed-role", "role") => Some(own.name() == named.name()),
            ("role", "assumed-role") if own.name() == named.name() => {
                let session = named.rest.rsplit('/').next();
                self.session.as_deref().map(|own| Some(own) == session)
            }
            _ => Some(false),
        }
    }
}
