//! The configuration shown: in force with its origins, as JSON Schema, as reference.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::{
    fragment::{Section, Value},
    keys::{Kind, Shape, TABLES, Table},
    settings::Loaded,
};

/// The configuration in force as TOML, each value with the file and line that it came from.
/// Passwords in URLs are not shown.
pub fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    for table in TABLES {
        let sections: Vec<&Section> =
            loaded.merged.iter().filter(|section| section.table.name == table.name).collect();
        match table.shape {
            Shape::Single => section_text(
                &mut text,
                table,
                &format!("[{}]", table.name),
                sections.first().copied(),
            ),
            Shape::Named => {
                for section in &sections {
                    let name = section.name.as_deref().unwrap_or("default");
                    section_text(
                        &mut text,
                        table,
                        &format!("[{}.{name}]", table.name),
                        Some(section),
                    );
                }
            }
            Shape::List => {
                for section in &sections {
                    section_text(&mut text, table, &format!("[[{}]]", table.name), Some(section));
                }
            }
        }
    }
    text
}

fn section_text(text: &mut String, table: &Table, title: &str, section: Option<&Section>) {
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{title}");
    for key in table.keys {
        match section.and_then(|section| section.keys.get(key.name)) {
            Some(given) => {
                let line = format!("{} = {}", key.name, shown(key.kind, &given.value));
                let _ = writeln!(text, "{line:<50} # {}", given.place);
            }
            None if key.name == "name" && section.is_some_and(|section| section.name.is_some()) => {
                let name = section.and_then(|section| section.name.clone()).unwrap_or_default();
                let line = format!("name = {name:?}");
                let _ = writeln!(text, "{line:<50} # default");
            }
            None => {
                let line = format!("# {} = {}", key.name, key.default);
                let _ = writeln!(text, "{line:<50} # default");
            }
        }
    }
}

fn shown(kind: Kind, value: &Value) -> String {
    match value {
        Value::Text(text) if kind == Kind::Url => format!("{:?}", redacted(text)),
        Value::Text(text) => format!("{text:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::List(list) => format!("{list:?}"),
    }
}

/// A URL without the password in it.
fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://REDACTED@{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}

/// The JSON Schema (draft 2020-12) of the configuration as a whole, after merging.
pub fn schema() -> Json {
    let mut properties = serde_json::Map::new();
    for table in TABLES {
        let keys: serde_json::Map<String, Json> = table
            .keys
            .iter()
            .map(|key| (key.name.to_owned(), kind_schema(key.kind, key.doc)))
            .collect();
        let object = json!({
            "type": "object",
            "description": table.doc,
            "properties": keys,
            "additionalProperties": false,
        });
        let shaped = match table.shape {
            Shape::Single => object,
            Shape::Named => json!({ "type": "object", "additionalProperties": object }),
            Shape::List => json!({ "type": "array", "items": object }),
        };
        match table.name.split_once('.') {
            // A table in a table stands behind it in the list.
            Some((outer, inner)) => properties[outer]["properties"][inner] = shaped,
            None => {
                properties.insert(table.name.to_owned(), shaped);
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ecr-warden configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn kind_schema(kind: Kind, doc: &str) -> Json {
    const NAME: &str = "^[\\w.:@/+-]{1,128}$";
    const HOST: &str = "^([A-Za-z0-9_-]+|[A-Za-z0-9_*-]+([.][A-Za-z0-9_*-]+)*([.][A-Za-z0-9_-]+){2}|[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+)(:[0-9]{1,5})?$";
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let mut schema = match kind {
        Kind::Text => text("\\S"),
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Fraction(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
        Kind::Count(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Bytes => text("^[0-9]+([.][0-9]+)? ?[kMGT]?B$"),
        Kind::Image => text("^[^/\\s]+/\\S+$"),
        Kind::Platform => text("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){1,2}$"),
        Kind::Duration(..) => text("^([0-9]+(d|h|ms|m|s))+$"),
        Kind::Schedule => json!({ "type": "string", "minLength": 2 }),
        Kind::Path => text("^/"),
        Kind::HomePath => text("^(/|~/)"),
        Kind::Listen => text("^(off|.*:[0-9]{1,5})$"),
        Kind::Account => text("^[0-9]{12}$"),
        Kind::Region => text("^[a-z]+(-[a-z]+)+-[0-9]+$"),
        Kind::RoleArn => text("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"),
        Kind::Url => text("^https?://[^/:\\s]"),
        Kind::Mode => text("^0?[0-7]{3}$"),
        Kind::Name => text(NAME),
        Kind::Hosts => json!({ "type": "array", "items": text(HOST) }),
        Kind::Arguments => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Patterns => json!({ "type": "array", "items": text("\\S") }),
        Kind::Names => json!({ "type": "array", "items": text(NAME) }),
    };
    schema["description"] = Json::from(doc);
    schema
}

/// `docs/configuration.md`.
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration reference\n\nGenerated from `src/config/keys.rs`; `ecr-warden check --schema` prints the same as JSON Schema.\n\n\
         Files are TOML. Without `--config`, all `*.toml` of `/usr/lib/ecr-warden/config.d`, `/usr/local/lib/ecr-warden/config.d`, `/run/ecr-warden/config.d` and `/etc/ecr-warden/config.d` are read in name order (a file of the same name in a later folder replaces the earlier one, a link to `/dev/null` masks it), and last `/etc/ecr-warden/config.toml`. Tables merge key by key, the later file wins; `[[...]]` tables of the same name merge.\n\n\
         Durations are written \"90s\", \"5m\", \"1h30m\". Cron expressions are in UTC.\n",
    );
    for table in TABLES {
        let title = match table.shape {
            Shape::Single => format!("[{}]", table.name),
            Shape::Named => format!("[{}.NAME]", table.name),
            Shape::List => format!("[[{}]]", table.name),
        };
        let _ = write!(
            text,
            "\n## `{title}`\n\n{}\n\n| key | value | default | what it does |\n| --- | --- | --- | --- |\n",
            table.doc
        );
        for key in table.keys {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                key.name,
                key.kind.expected().replace('|', "\\|"),
                key.default,
                key.doc
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_docs_is_not_stale() {
        let path = "docs/configuration.md";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), reference(), "run with UPDATE_GOLDEN=1");
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        assert_eq!(redacted("http://me:secret@proxy:3128/x"), "http://REDACTED@proxy:3128/x");
        assert_eq!(redacted("http://proxy:3128"), "http://proxy:3128");
    }
}
