//! What is known of a request: the keys that conditions and policy variables ask for.

use std::collections::BTreeMap;

use super::principal::{Caller, Who};

/// What is known of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// Nothing is known.
    Unknown,
    /// The request does not have it.
    Absent,
    /// The request has these values.
    Values(&'a [String]),
}

/// The request's context, by key in lower case. What is in none of its keys is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    known: BTreeMap<String, Option<Vec<String>>>,
    /// Whether a key that is not named is absent rather than unknown.
    complete: bool,
    /// Whether it is a request that carries no tags.
    tagless: bool,
}

/// Keys that a request of a role or user of IAM, sent by itself over HTTPS, never has.
const NEVER: &[&str] = &[
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:principalservicename",
    "aws:principalservicenameslist",
];

impl Facts {
    /// A context in which every key that is not set is absent.
    pub fn complete() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Sets a key's values; none means that the request does not have the key.
    pub fn set(&mut self, key: &str, values: Option<Vec<String>>) {
        self.known.insert(key.to_ascii_lowercase(), values);
    }

    /// Sets a key's only value, unless something is known of it.
    pub fn presume(&mut self, key: &str, value: Option<&str>) {
        let value = value.map(|value| vec![value.to_owned()]);
        self.known.entry(key.to_ascii_lowercase()).or_insert(value);
    }

    /// Adds a value of a key; an empty one says that the request does not have the key.
    pub fn add(&mut self, key: &str, value: &str) {
        let values = self.known.entry(key.to_ascii_lowercase()).or_default();
        if value.is_empty() {
            *values = None;
        } else {
            values.get_or_insert_default().push(value.to_owned());
        }
    }

    /// Adds what follows from what is asked: keys that are set already stay as they are.
    pub(super) fn presume_request(&mut self, action: &str, resource: &str) {
        let name = action.split_once(':').map_or(action, |(_, name)| name).to_ascii_lowercase();
        // Only these carry tags in the request (service authorization reference).
        self.tagless = !matches!(
            name.as_str(),
            "createrepository" | "tagresource" | "untagresource" | "listtagsforresource"
        );
        let parts: Vec<&str> = resource.split(':').collect();
        if let ["arn", _, _, region, account, ..] = parts.as_slice() {
            self.presume("aws:RequestedRegion", Some(region));
            self.presume("aws:ResourceAccount", Some(account));
        }
    }

    /// What is known of a key in lower case.
    pub(super) fn of(&self, key: &str) -> Fact<'_> {
        match self.known.get(key) {
            Some(Some(values)) => Fact::Values(values),
            Some(None) => Fact::Absent,
            None if self.complete => Fact::Absent,
            None if self.tagless
                && (key == "aws:tagkeys" || key.starts_with("aws:requesttag/")) =>
            {
                Fact::Absent
            }
            None => Fact::Unknown,
        }
    }

    /// Adds what follows from who calls: keys that are set already stay as they are.
    pub fn presume_caller(&mut self, caller: &Caller) {
        self.presume("aws:SecureTransport", Some("true"));
        self.presume("aws:ViaAWSService", Some("false"));
        let service = match &caller.other {
            Some(Who::Service(name)) => Some(name.as_str()),
            _ => None,
        };
        let is = if service.is_some() { "true" } else { "false" };
        self.presume("aws:PrincipalIsAWSService", Some(is));
        if caller.other.is_some() {
            self.presume("aws:PrincipalServiceName", service);
            for key in ["aws:PrincipalArn", "aws:PrincipalAccount", "aws:PrincipalOrgID"] {
                self.presume(key, None);
            }
            return;
        }
        for key in NEVER {
            self.presume(key, None);
        }
        let Some(arn) = caller.parts() else {
            self.presume("aws:PrincipalType", Some("Anonymous"));
            for key in [
                "aws:PrincipalArn",
                "aws:PrincipalAccount",
                "aws:PrincipalOrgID",
                "aws:userid",
                "aws:username",
            ] {
                self.presume(key, None);
            }
            return;
        };
        self.presume("aws:PrincipalAccount", Some(arn.account));
        if let Some(own) = caller.principal_arn() {
            self.presume("aws:PrincipalArn", Some(own));
        }
        let kind = match arn.kind {
            "root" => "Account",
            "user" => "User",
            "federated-user" => "FederatedUser",
            _ => "AssumedRole",
        };
        self.presume("aws:PrincipalType", Some(kind));
        self.presume("aws:username", (arn.kind == "user").then(|| arn.name()));
        match (&caller.unique_id, &caller.session) {
            (Some(id), Some(session)) if caller.session_of_role() => {
                self.presume("aws:userid", Some(&format!("{id}:{session}")));
            }
            (Some(id), _) if !caller.session_of_role() => self.presume("aws:userid", Some(id)),
            _ => {}
        }
    }
}
