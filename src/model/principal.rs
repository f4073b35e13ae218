//! Whom STS says an identity is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer of GetCallerIdentity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The 12-digit account.
    pub account: String,
    /// The caller's ARN; for a role, the session's.
    pub arn: String,
    /// `UserId` as STS gives it: `AIDA...`, or `AROA...:session` for a role.
    pub unique_id: String,
}

impl Principal {
    /// What a token is bound to: the role's or user's unique id, without the session's name.
    /// A role that was deleted and created again under the same name has another one.
    pub fn key(&self) -> &str {
        self.unique_id.split_once(':').map_or(self.unique_id.as_str(), |(id, _)| id)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}
