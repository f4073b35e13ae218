//! A file that is ours as a whole, rendered from a template (minijinja).
//!
//! A template sees `registries`, a list of `{host, username, password, auth, expires,
//! expires_unix}` in the order of host names: `auth` is base64 of `username:password`, `expires`
//! RFC 3339, `expires_unix` in seconds. A name that is not there is an error, not an empty text.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use minijinja::{Environment, UndefinedBehavior, context, syntax::SyntaxConfig, value::Serde};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Entries, Ownership, Seen,
    atomic_file::Next,
    file::{Change, Edited, Format, all_missing},
};
use crate::model::{
    outcome::Problem,
    reason::Reason,
    token::{AuthorizationToken, fingerprint},
};

/// Steps that a template may take: a thousand registries and then some.
const FUEL: u64 = 2_000_000;

/// Shorter words are no credentials.
const SHORTEST: usize = 8;

/// The value of `.dockerconfigjson` in a secret of type `kubernetes.io/dockerconfigjson`.
const DOCKERCONFIGJSON: &str = r#"{"auths":{
{%- for one in registries -%}
{{ one.host|tojson }}:{"username":{{ one.username|tojson }},"password":{{ one.password|tojson }},"auth":{{ one.auth|tojson }}}
{%- if not loop.last %},{% endif -%}
{%- endfor -%}
}}
"#;

enum Source {
    BuiltIn(&'static str),
    File(PathBuf),
}

/// The format of such a file.
pub struct Rendered {
    source: Source,
    /// What was written last, by fingerprint: a text may hold no credential to know it by.
    last: Mutex<Option<String>>,
}

#[derive(Serialize)]
struct Registry<'a> {
    host: &'a str,
    username: String,
    password: Zeroizing<String>,
    auth: &'a str,
    expires: String,
    expires_unix: i64,
}

impl Rendered {
    /// From a template's file, which is read anew each time.
    pub fn template(path: PathBuf) -> Self {
        Self { source: Source::File(path), last: Mutex::default() }
    }

    /// A docker configuration for a Kubernetes secret.
    pub fn dockerconfigjson() -> Self {
        Self { source: Source::BuiltIn(DOCKERCONFIGJSON), last: Mutex::default() }
    }

    fn render(&self, entries: &Entries) -> Result<Zeroizing<String>, Problem> {
        let (name, source) = match &self.source {
            Source::BuiltIn(text) => ("built-in".to_owned(), (*text).to_owned()),
            Source::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Problem::new(Reason::TemplateInvalid, format!("{}: {error}", path.display()))
                })?;
                (path.display().to_string(), text)
            }
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_fuel(Some(FUEL));
        let registries: Vec<Registry<'_>> = entries
            .iter()
            .map(|(host, token)| Registry {
                host,
                username: token.secret.user(),
                password: Zeroizing::new(token.secret.password().expose_secret().to_owned()),
                auth: token.secret.base64().expose_secret(),
                expires: token.expires.to_string(),
                expires_unix: token.expires.as_second(),
            })
            .collect();
        let rendered = environment
            .template_from_str(&source)
            .and_then(|template| template.render(context! { registries => Serde(&registries) }));
        rendered.map(Zeroizing::new).map_err(|error| {
            let line = error.line().map(|line| format!(":{line}")).unwrap_or_default();
            // The engine's detail may quote values; the kind of the mistake does not.
            let what = match error.kind() {
                minijinja::ErrorKind::SyntaxError => error.to_string(),
                kind => kind.to_string(),
            };
            Problem::new(Reason::TemplateInvalid, format!("{name}{line}: {what}"))
        })
    }

    fn is_last(&self, text: &str) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_deref() == Some(&fingerprint(text))
    }
}

/// Whether a text holds a credential of ours, as base64 of `AWS:password` or as the password.
fn holds_ours(text: &str, ours: &Ownership) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "+/=_-.".contains(c);
    let ours = |word: &str| ours.values().flatten().any(|known| known == word);
    text.split(|c| !letter(c)).filter(|word| word.len() >= SHORTEST).any(|word| {
        let as_password = AuthorizationToken::of("AWS", &SecretString::from(word.to_owned()));
        ours(&fingerprint(word)) || ours(&as_password.fingerprint())
    })
}

impl Format for Rendered {
    fn edit(&self, current: Option<&[u8]>, change: &Change<'_>) -> Result<Edited, Problem> {
        let mut edited = Edited::default();
        let text = current.map(String::from_utf8_lossy).filter(|text| !text.trim().is_empty());
        let is_ours = |text: &str| self.is_last(text) || holds_ours(text, change.withdraw);
        if change.entries.is_empty() {
            if text.is_some_and(|text| is_ours(&text)) {
                edited.next = Next::Remove;
                edited.removed = change.withdraw.keys().cloned().collect();
            }
            return Ok(edited);
        }
        let wanted = self.render(change.entries)?;
        match text {
            Some(text) if *text == **wanted => {}
            Some(text) if !is_ours(&text) => {
                let detail = change.path.display().to_string();
                return Err(Problem::new(Reason::OutputForeignFile, detail));
            }
            before => {
                edited.set = change.entries.keys().cloned().collect();
                if before.is_none() {
                    edited.absent.clone_from(&edited.set);
                }
                edited.next = Next::Write(Zeroizing::new(wanted.as_bytes().to_vec()));
            }
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint(&wanted));
        Ok(edited)
    }

    /// The file is ours as a whole: there is nothing to merge, the next look decides.
    fn merge(
        &self,
        _base: &[u8],
        _ours: &[u8],
        theirs: &[u8],
        _path: &Path,
    ) -> Result<Zeroizing<Vec<u8>>, Problem> {
        Ok(Zeroizing::new(theirs.to_vec()))
    }

    fn see(
        &self,
        current: Option<&[u8]>,
        entries: &Entries,
        path: &Path,
    ) -> Result<BTreeMap<String, Seen>, Problem> {
        let wanted = self.render(entries)?;
        if current != Some(wanted.as_bytes()) {
            return Ok(all_missing(entries, &format!("{}: it is not as rendered", path.display())));
        }
        let seen = |expires| Seen::Ours { expires };
        Ok(entries.iter().map(|(host, token)| (host.clone(), seen(token.expires))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::tests::*, *};
    use crate::model::output::OutputKind;

    #[test]
    fn a_kubernetes_secret_reads_it_and_withdrawn_it_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let output = built(&spec(OutputKind::Dockerconfigjson, "/secret.json"), root.path());
        let mut wanted = entries("p\"\\");
        wanted.insert("public.ecr.aws".into(), token("q"));
        assert!(output.publish(&wanted, &Ownership::new()).unwrap().written);
        assert!(!output.publish(&wanted, &Ownership::new()).unwrap().written);
        let path = root.path().join("secret.json");
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(json["auths"][HOST]["password"], "p\"\\");
        assert_eq!(json["auths"]["public.ecr.aws"]["auth"], "QVdTOnE=");
        assert!(matches!(output.read_back(&wanted).unwrap()[HOST], Seen::Ours { .. }));
        // Another process, which knows it by its credential only.
        let output = built(&spec(OutputKind::Dockerconfigjson, "/secret.json"), root.path());
        let ours = Ownership::from([(HOST.to_owned(), vec![token("q").secret.fingerprint()])]);
        let _ = output.publish(&Entries::new(), &ours).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_of_somebody_elses_in_its_place_is_never_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("secret.json"), "{\"theirs\": true}").unwrap();
        let output = built(&spec(OutputKind::Dockerconfigjson, "/secret.json"), root.path());
        let problem = output.publish(&entries("p"), &withdrawal("p")).unwrap_err();
        assert_eq!(problem.reason, Reason::OutputForeignFile);
        let _ = output.publish(&Entries::new(), &withdrawal("p")).unwrap();
        assert_eq!(fs::read(root.path().join("secret.json")).unwrap(), b"{\"theirs\": true}");
    }

    #[test]
    fn a_template_is_rendered_and_its_mistakes_have_a_line() {
        let root = tempfile::tempdir().unwrap();
        let template = root.path().join("netrc.jinja");
        let render = |text: &str| {
            fs::write(&template, text).unwrap();
            Rendered::template(template.clone()).render(&entries("secret-password"))
        };
        let text = "{% for r in registries %}machine {{ r.host }} login {{ r.username }} password {{ r.password }}\n{% endfor %}";
        assert_eq!(
            *render(text).unwrap(),
            format!("machine {HOST} login AWS password secret-password\n")
        );
        for (text, line) in [
            ("ok\n{{ registries[0].pasword }}", "netrc.jinja:2: undefined value"),
            ("{% for r in registries %}", "netrc.jinja:1: syntax error"),
            (
                "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                "fuel",
            ),
            ("\n{{ registries[0].password + 1 }}", "netrc.jinja:2: "),
        ] {
            let problem = render(text).unwrap_err();
            assert_eq!(problem.reason, Reason::TemplateInvalid);
            assert!(problem.detail.contains(line), "{text}: {problem}");
            assert!(!problem.detail.contains("secret-password"), "{problem}");
        }
    }
}
