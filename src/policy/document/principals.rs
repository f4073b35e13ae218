//! The element Principal.

use super::{
    super::{
        json::{Value, What},
        principal::Who,
    },
    Spelling,
    parse::Reading,
};

const TYPES: &[&str] = &["AWS", "Service", "Federated", "CanonicalUser"];

/// `"*"`, or lists by type; sorted, each once.
pub(super) fn read(
    reading: &mut Reading<'_>,
    value: &Value<'_>,
    spelling: &mut Vec<Spelling>,
) -> Vec<Who> {
    let members = match &value.what {
        What::Text(text) if text == "*" => {
            spelling.push(Spelling::Star);
            return vec![Who::Everyone];
        }
        What::Object(members) => members,
        What::Text(text) => {
            reading.mistake(
                value.at,
                format!("Principal is \"*\" or an object such as {{\"AWS\": {text:?}}}, not the bare string {text:?}"),
            );
            return Vec::new();
        }
        other => {
            reading.mistake(
                value.at,
                format!(
                    "Principal is \"*\" or an object such as {{\"AWS\": ...}}, not {}",
                    other.noun()
                ),
            );
            return Vec::new();
        }
    };
    reading.names(members, TYPES, "Principal");
    if members.is_empty() {
        reading.mistake(value.at, "Principal names nobody");
    }
    let mut found = Vec::new();
    for member in members {
        let value = &member.value;
        match member.name.as_ref() {
            "AWS" => {
                let who = reading.list(value, "Principal.AWS", spelling, |text| {
                    Ok((Who::aws(text)?, text.bytes().all(|b| b.is_ascii_digit())))
                });
                for (who, digits) in who {
                    if digits {
                        spelling.push(Spelling::Digits(who.clone()));
                    }
                    found.push(who);
                }
            }
            "Service" => found.extend(reading.list(value, "Principal.Service", spelling, |text| {
                if text.contains('.') {
                    Ok(Who::Service(text.to_ascii_lowercase()))
                } else {
                    Err(format!(
                        "{text:?} is no service: a name such as \"replication.ecr.amazonaws.com\""
                    ))
                }
            })),
            "Federated" => {
                found.extend(reading.list(value, "Principal.Federated", spelling, |text| {
                    Ok(Who::Federated(text.to_owned()))
                }));
            }
            "CanonicalUser" => {
                found.extend(reading.list(value, "Principal.CanonicalUser", spelling, |text| {
                    Ok(Who::Canonical(text.to_owned()))
                }));
            }
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}
