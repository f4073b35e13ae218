//! Which records are worth parsing, found by their bytes: a trail has the events of every service.
//! Pure.

use memchr::memmem::Finder;

/// What a record's bytes tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is of a service that no rule looks at.
    Nothing,
    /// It is to be parsed.
    Parsing,
}

/// The sieve.
pub struct Sift {
    key: Finder<'static>,
    ecr: Finder<'static>,
    /// The names of our own roles: the only ones of which it matters who assumes them.
    roles: Vec<Finder<'static>>,
}

impl Sift {
    /// A sieve that also lets through who assumes one of these roles, by a part of their names; an
    /// empty part is in every name.
    pub fn new(roles: &[String]) -> Self {
        let owned = |role: &String| Finder::new(role).into_owned();
        Self {
            key: Finder::new(b"\"eventSource\""),
            ecr: Finder::new(b"ecr"),
            roles: roles.iter().map(owned).collect(),
        }
    }

    /// Looks at every `"eventSource"` in the record, since nothing says at which depth one stands.
    /// A record without any is parsed: it may be another's wrapping, or no record at all.
    pub fn worth(&self, record: &[u8]) -> Worth {
        let mut found = false;
        for at in self.key.find_iter(record) {
            found = true;
            let rest = &record[at + self.key.needle().len()..];
            let Some(value) = text(rest) else { return Worth::Parsing };
            match value {
                b"ecr.amazonaws.com" => return Worth::Parsing,
                b"kms.amazonaws.com" if self.is_key_change(record) => return Worth::Parsing,
                b"sts.amazonaws.com" if self.is_ours(record) => return Worth::Parsing,
                // Escapes in it: not as CloudTrail writes, so it is looked at closely.
                _ if value.contains(&b'\\') => return Worth::Parsing,
                _ => {}
            }
        }
        if found { Worth::Nothing } else { Worth::Parsing }
    }

    fn is_ours(&self, record: &[u8]) -> bool {
        self.roles.iter().any(|role| role.find(record).is_some())
    }

    /// Decrypt and GenerateDataKey are most of KMS's events; they begin with other letters.
    fn is_key_change(&self, record: &[u8]) -> bool {
        let names: [&[u8]; 6] = [
            b"\"RevokeGrant\"",
            b"\"RetireGrant\"",
            b"\"DisableKey\"",
            b"\"ScheduleKeyDeletion\"",
            b"\"PutKeyPolicy\"",
            b"\"CreateGrant\"",
        ];
        names.iter().enumerate().any(|(index, name)| {
            memchr::memmem::find(record, name).is_some()
                // A grant is made for many services; only those for ECR tell of a key of ours.
                && (index < 5 || self.ecr.find(record).is_some())
        })
    }
}

/// The text behind a colon; `None` where there is none.
fn text(rest: &[u8]) -> Option<&[u8]> {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let rest = &rest[rest.iter().position(|byte| !space(byte))?..];
    let rest = rest.strip_prefix(b":")?;
    let rest = &rest[rest.iter().position(|byte| !space(byte))?..];
    let rest = rest.strip_prefix(b"\"")?;
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_services_are_left_out_and_nothing_that_may_be_ours_is() {
        let sift = Sift::new(&["host".to_owned()]);
        for (record, worth) in [
            (r#"{"eventSource":"ec2.amazonaws.com"}"#, Worth::Nothing),
            (r#"{"eventSource":"ecr.amazonaws.com"}"#, Worth::Parsing),
            ("{\"eventSource\" :\n \"ecr.amazonaws.com\"}", Worth::Parsing),
            (r#"{"r":{"eventSource":"x"},"eventSource":"ecr.amazonaws.com"}"#, Worth::Parsing),
            (r#"{"eventSource":"ecr\u002eamazonaws.com"}"#, Worth::Parsing),
            (
                r#"{"a":"\"eventSource\":\"ecr.amazonaws.com\"","eventSource":"s3.amazonaws.com"}"#,
                Worth::Nothing,
            ),
            (r#"{"EventId":"1","CloudTrailEvent":"{\"eventSource\":1}"}"#, Worth::Parsing),
            (r#"{"eventSource":7}"#, Worth::Parsing),
            (r#"{"eventSource":"kms.amazonaws.com","eventName":"Decrypt"}"#, Worth::Nothing),
            (r#"{"eventSource":"kms.amazonaws.com","eventName":"RevokeGrant"}"#, Worth::Parsing),
            (r#"{"eventSource":"sts.amazonaws.com","r":"role/other"}"#, Worth::Nothing),
            (r#"{"eventSource":"sts.amazonaws.com","r":"role/host"}"#, Worth::Parsing),
        ] {
            assert_eq!(sift.worth(record.as_bytes()), worth, "{record}");
        }
    }
}
