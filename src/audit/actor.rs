//! Who made a call, out of `userIdentity`. Pure.
//!
//! On Docker's path `sourceIPAddress` and `userAgent` say `AWS Internal`, so the caller's host is
//! known only by the name of its role session: for an instance role that is the instance id.

use std::borrow::Cow;

use serde::Deserialize;

use super::record::cut;

/// Who made a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// `AssumedRole`, `IAMUser`, `AWSAccount`, `AWSService` and so on, as `CloudTrail` says it.
    pub kind: String,
    /// The principal without its session: a role's or user's ARN, an account, a service.
    pub name: String,
    /// The 12-digit account; empty for a service.
    pub account: String,
    /// The unique id without the session's name: `AROA...`, `AIDA...`.
    pub unique_id: String,
    /// The role session's name; empty when it is no role session.
    pub session: String,
    /// The access key id: which credentials, never the secret.
    pub access_key: String,
    /// The AWS service on whose behalf it happened.
    pub invoked_by: String,
}

/// `userIdentity` as it is written. What has an unexpected type counts as absent.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Identity<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    principal_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    account_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    access_key_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    invoked_by: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session_context: Option<SessionContext<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SessionContext<'a> {
    #[serde(borrow)]
    session_issuer: Option<Issuer<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Issuer<'a> {
    #[serde(borrow)]
    arn: Option<Cow<'a, str>>,
    #[serde(borrow)]
    account_id: Option<Cow<'a, str>>,
}

impl Actor {
    pub(super) fn of(identity: Identity<'_>) -> Self {
        let text = |value: &Option<Cow<'_, str>>| cut(value.as_deref().unwrap_or_default(), 256);
        let kind = text(&identity.kind);
        let arn = text(&identity.arn);
        let invoked_by = text(&identity.invoked_by);
        let principal = text(&identity.principal_id);
        let (unique_id, mut session) = match principal.split_once(':') {
            Some((id, session)) => (id.to_owned(), session.to_owned()),
            None => (principal.clone(), String::new()),
        };
        let issuer = identity.session_context.and_then(|context| context.session_issuer);
        let (issuer_arn, issuer_account) =
            issuer.map(|it| (text(&it.arn), text(&it.account_id))).unwrap_or_default();
        let mut account = text(&identity.account_id);
        if account.is_empty() {
            account = issuer_account;
        }
        let role = assumed(&arn);
        if let (Some((_, named)), true) = (&role, session.is_empty()) {
            session.clone_from(named);
        }
        let name = if !issuer_arn.is_empty() {
            issuer_arn
        } else if let Some((role, _)) = role {
            role
        } else if !arn.is_empty() {
            arn
        } else if kind == "AWSService" && !invoked_by.is_empty() {
            invoked_by.clone()
        } else {
            // The owner's copy of another account's call may say no more than this.
            match (account.is_empty(), unique_id.is_empty()) {
                (false, false) => format!("{account} {unique_id}"),
                (false, true) => account.clone(),
                (true, false) => unique_id.clone(),
                (true, true) if invoked_by.is_empty() => "unknown".to_owned(),
                (true, true) => invoked_by.clone(),
            }
        };
        let access_key = text(&identity.access_key_id);
        Self { kind, name, account, unique_id, session, access_key, invoked_by }
    }

    /// The EC2 instance that the session's name tells of.
    pub fn instance(&self) -> Option<&str> {
        let id = self.session.strip_prefix("ecr-warden-").unwrap_or(&self.session);
        let hex = id.strip_prefix("i-")?;
        let fine = (8..=17).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
        fine.then_some(id)
    }

    /// The name as a table shows it: `role/host`, `user/ci`, with the account behind it.
    pub fn short(&self) -> String {
        let tail = match self.name.strip_prefix("arn:") {
            Some(arn) => arn.splitn(5, ':').nth(4).unwrap_or(arn),
            None => &self.name,
        };
        if self.account.is_empty() || tail.contains(&self.account) {
            tail.to_owned()
        } else {
            format!("{tail} ({})", self.account)
        }
    }
}

/// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION` as the role's ARN (without its path, which is
/// not told) and the session's name.
fn assumed(arn: &str) -> Option<(String, String)> {
    let mut parts = arn.splitn(6, ':');
    let (_, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let (_, account, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (role, session) = rest.strip_prefix("assumed-role/")?.rsplit_once('/')?;
    (service == "sts")
        .then(|| (format!("arn:{partition}:iam::{account}:role/{role}"), session.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(json: &str) -> Actor {
        Actor::of(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_host_behind_aws_internal_is_known_by_its_sessions_name() {
        let host = actor(
            r#"{"type":"AssumedRole","principalId":"AROAEXAMPLE:i-0abc1234def567890",
                "arn":"arn:aws:sts::210987654321:assumed-role/host/i-0abc1234def567890",
                "accountId":"210987654321","invokedBy":"AWS Internal",
                "sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::210987654321:role/path/host"}}}"#,
        );
        assert_eq!(host.instance(), Some("i-0abc1234def567890"));
        assert_eq!(host.name, "arn:aws:iam::210987654321:role/path/host");
        assert_eq!(host.short(), "role/path/host (210987654321)");
        let warden = actor(r#"{"principalId":"AROAEXAMPLE:ecr-warden-i-0abc1234def567890"}"#);
        assert_eq!(warden.instance(), Some("i-0abc1234def567890"));
    }

    #[test]
    fn every_kind_of_caller_has_a_name_even_where_little_is_told() {
        for (json, name) in [
            (
                r#"{"type":"AWSAccount","principalId":"AIDA1","accountId":"123456789012"}"#,
                "123456789012 AIDA1",
            ),
            (
                r#"{"type":"AWSAccount","principalId":"AROA1:s","accountId":"123456789012"}"#,
                "123456789012 AROA1",
            ),
            (r#"{"type":"AWSService","invokedBy":"ecs.amazonaws.com"}"#, "ecs.amazonaws.com"),
            (r#"{"invokedBy":"AWS Internal"}"#, "AWS Internal"),
            (
                r#"{"type":"Root","arn":"arn:aws:iam::123456789012:root"}"#,
                "arn:aws:iam::123456789012:root",
            ),
            (
                r#"{"arn":"arn:aws-cn:sts::123456789012:assumed-role/a/b"}"#,
                "arn:aws-cn:iam::123456789012:role/a",
            ),
            ("{}", "unknown"),
        ] {
            assert_eq!(actor(json).name, name, "{json}");
        }
    }
}
