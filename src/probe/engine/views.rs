//! Three views compared: our own client, the engine's view of the manifest, the engine's pull. Where
//! they disagree, the fault is found to be on one side or the other. Pure.

use super::{Cleaned, Pull, Trial, fault};
use crate::{
    model::{
        outcome::{Problem, Verdict},
        reason::Reason,
    },
    oci::trace::Step,
    probe::diagnosis::{Diagnosis, diagnose},
};

/// What a trial means.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The engine's.
    pub verdict: Verdict,
    /// Our own client's view.
    pub own: Diagnosis,
    /// The engine's view of the manifest; `None` if it was not asked for one.
    pub manifest: Option<Verdict>,
    /// The engine's pull; `None` if it was not asked to, or did not begin.
    pub pull: Option<Verdict>,
    /// Where the fault is, by what the views have in common and what not.
    pub located: Option<String>,
}

/// Judges a trial.
pub fn judge(trial: &Trial) -> Judged {
    let engine = &trial.engine;
    let own = diagnose(&trial.seen);
    let manifest = engine.manifest.as_ref().map(|manifest| match manifest {
        Ok(_) => Verdict::Ok,
        Err(words) => Verdict::Bad(credential(trial, fault::problem(words, false))),
    });
    let layers = manifest == Some(Verdict::Ok);
    let pull = engine.pull.as_ref().and_then(|pull| match pull {
        Pull::Done { .. } => Some(Verdict::Ok),
        Pull::Failed(words) => Some(Verdict::Bad(credential(trial, fault::problem(words, layers)))),
        Pull::WasThere | Pull::NoSpace(_) => None,
    });
    let verdict = whole(trial, &own, manifest.as_ref(), pull.as_ref());
    let located = locate(trial, &own, manifest.as_ref(), pull.as_ref());
    Judged { verdict, own, manifest, pull, located }
}

/// An engine that got no credential: why there was none says more than what the registry made of
/// that. podman sends an empty one, which is called invalid.
fn credential(trial: &Trial, problem: Problem) -> Problem {
    let of_none = [
        Reason::CredentialMissing,
        Reason::EngineDenied,
        Reason::TokenRefused,
        Reason::AccessDenied,
    ];
    match &trial.engine.no_credential {
        Some(lacking) if of_none.contains(&problem.reason) => fault::problem(lacking, false),
        _ => problem,
    }
}

fn whole(
    trial: &Trial,
    own: &Diagnosis,
    manifest: Option<&Verdict>,
    pull: Option<&Verdict>,
) -> Verdict {
    let (engine, image) = (&trial.engine, &trial.seen.image);
    let problem = |reason, detail: String| Problem::new(reason, detail);
    if let Some(words) = &engine.unreachable {
        return Verdict::Unknown(fault::problem(words, false));
    }
    let asked = manifest.is_some() || engine.pull.is_some();
    if let Some(lacking) = engine.no_credential.as_ref().filter(|_| !asked) {
        return Verdict::Bad(fault::problem(lacking, false));
    }
    // A pull that went well says more than a look at the manifest that did not.
    let views = if pull == Some(&Verdict::Ok) { [None, None] } else { [manifest, pull] };
    if let Some(bad) = views.into_iter().flatten().find(|verdict| **verdict != Verdict::Ok) {
        let problem = bad.problem().filter(|problem| engine.blind && on_the_way(problem.reason));
        return problem.map_or_else(|| bad.clone(), |problem| Verdict::Unknown(problem.clone()));
    }
    if !engine.differs.is_empty() {
        let detail = format!("{image}: {}", engine.differs.join("; "));
        return Verdict::Bad(problem(Reason::EngineImageDiffers, detail));
    }
    if let Some(Cleaned::Left(words)) = &engine.cleaned {
        let detail = format!("{image}: {}", words.words);
        return Verdict::Bad(problem(Reason::EngineLeftBehind, detail));
    }
    if let (Verdict::Ok, Some((ours, theirs))) = (&own.verdict, digests(trial))
        && ours != theirs
    {
        let detail = format!("{image} is {theirs} to the engine and {ours} to ecr-warden");
        return Verdict::Bad(problem(Reason::EngineViewsDiffer, detail));
    }
    match &engine.pull {
        Some(Pull::NoSpace(why)) => {
            Verdict::Unknown(problem(Reason::EngineNoSpace, format!("{image}: {why}")))
        }
        Some(Pull::WasThere) | None if manifest.is_none() => {
            let why = match engine.pull {
                Some(_) => "it is on this host already, so that a pull proves nothing",
                None if engine.to_pull => {
                    "its digest is not known, and it is never pulled by a tag"
                }
                None => "it can't be asked for a manifest alone",
            };
            let detail = format!("{} and {image}: {why}", engine.engine);
            Verdict::Unknown(problem(Reason::EngineNotAsked, detail))
        }
        _ => Verdict::Ok,
    }
}

/// What the reference names: to our own client, and to the engine.
fn digests(trial: &Trial) -> Option<(&str, &str)> {
    let first = trial.seen.exchanges.iter().find(|exchange| exchange.step == Step::Manifest)?;
    let ours = first.answer.as_ref()?.digest.as_deref()?;
    let theirs = trial.engine.manifest.as_ref()?.as_ref().ok()?;
    Some((ours, theirs))
}

fn locate(
    trial: &Trial,
    own: &Diagnosis,
    manifest: Option<&Verdict>,
    pull: Option<&Verdict>,
) -> Option<String> {
    let bad = |verdict: Option<&Verdict>| verdict.and_then(Verdict::problem).cloned();
    let own_bad = match &own.verdict {
        Verdict::Ok => None,
        // What could not be told is compared with nothing.
        Verdict::Unknown(_) => return None,
        Verdict::Bad(problem) => Some(problem),
    };
    match (own_bad, bad(manifest), bad(pull)) {
        (Some(_), None, None) if manifest.is_some() || pull.is_some() => Some(
            "in ecr-warden's own way (its proxy, ca_file or identity): the engine gets the image"
                .to_owned(),
        ),
        (_, None, None) => None,
        (Some(ours), Some(theirs), _) | (Some(ours), None, Some(theirs))
            if alike(ours.reason, theirs.reason) =>
        {
            Some("outside of the engine: ecr-warden's own client meets the same".to_owned())
        }
        (Some(ours), ..) => Some(format!(
            "not to be told: ecr-warden's own client fails in another way ({}); mend that first",
            ours.reason.code()
        )),
        (None, None, Some(theirs)) if manifest.is_some() => Some(match theirs.reason {
            Reason::EngineDiskFull => "on this host's disk: the manifest came".to_owned(),
            reason => format!("{}; the manifest came the same way", side(trial, reason)),
        }),
        (None, Some(theirs), _) | (None, None, Some(theirs)) => Some(side(trial, theirs.reason)),
    }
}

/// Whether a proxy or other authorities could make the difference.
fn on_the_way(reason: Reason) -> bool {
    [
        Reason::NameNotFound,
        Reason::ResolverFailing,
        Reason::ConnectionRefused,
        Reason::ConnectionTimeout,
        Reason::ConnectionBroken,
        Reason::TlsUntrusted,
        Reason::TlsHandshakeFailed,
    ]
    .contains(&reason)
}

/// Whether two reasons are one fault, of which one side knows more than the other.
fn alike(ours: Reason, theirs: Reason) -> bool {
    let token = [
        Reason::TokenExpired,
        Reason::TokenRefused,
        Reason::TokenWrongRegion,
        Reason::TokenPrincipalGone,
    ];
    let denied = [
        Reason::EngineDenied,
        Reason::AccessDenied,
        Reason::ImageMissing,
        Reason::RepositoryMissing,
        Reason::ResourcePolicyOrRepository,
    ];
    let vague = theirs == Reason::EngineDenied && denied.contains(&ours);
    ours == theirs || token.contains(&ours) && token.contains(&theirs) || vague
}

/// Which part of the engine's own way a reason belongs to: our client's works.
fn side(trial: &Trial, reason: Reason) -> String {
    let host = trial.seen.image.split('/').next().unwrap_or_default();
    let engine = &trial.engine.engine;
    let ours = trial.seen.exchanges.iter().find_map(|exchange| exchange.proxy.as_deref());
    let proxies = format!(
        "it goes {}, ecr-warden {}",
        match &trial.engine.proxy {
            Some(proxy) => format!("by {proxy}"),
            None if trial.engine.blind =>
                "by what its unit says, which can't be read from here".to_owned(),
            None => "by no proxy that it tells of".to_owned(),
        },
        ours.map_or("by none".to_owned(), |proxy| format!("by {proxy}")),
    );
    match reason {
        Reason::TlsUntrusted
        | Reason::TlsExpired
        | Reason::TlsNotYetValid
        | Reason::TlsWrongName => {
            let place = match engine.as_str() {
                "docker" => format!("/etc/docker/certs.d/{host}/ca.crt"),
                "podman" => format!("/etc/containers/certs.d/{host}/ca.crt"),
                _ => format!("ca in the hosts.toml of {host}"),
            };
            format!(
                "in the authorities that {engine} trusts ({place}, or the system's when it started), or in its proxy: {proxies}"
            )
        }
        Reason::ProxyRefused
        | Reason::ConnectionRefused
        | Reason::ConnectionTimeout
        | Reason::ConnectionBroken
        | Reason::TlsHandshakeFailed
        | Reason::EngineUnreachable => {
            format!(
                "in {engine}'s way to the registry: {proxies}; its environment is its unit's, not the shell's"
            )
        }
        Reason::NameNotFound | Reason::ResolverFailing => {
            format!(
                "in {engine}'s resolver: it keeps the one that it started with, and a proxy resolves by itself ({proxies})"
            )
        }
        Reason::CredentialMissing
        | Reason::CredentialAbsent
        | Reason::CredentialRefused
        | Reason::TokenExpired
        | Reason::TokenRefused
        | Reason::TokenPrincipalGone
        | Reason::IdentityPolicy
        | Reason::ResourcePolicyOrRepository
        | Reason::PartialGrant
        | Reason::AccessDenied
        | Reason::ExplicitDeny
        | Reason::EngineDenied => format!(
            "in the credential that {engine}'s client sends, from {}: ecr-warden's own token is let through",
            trial.engine.credential
        ),
        Reason::ImageMissing
        | Reason::RepositoryMissing
        | Reason::PlatformMissing
        | Reason::DigestMismatch => {
            format!(
                "in a mirror that {engine} goes to, or in its platform: ecr-warden finds the image"
            )
        }
        _ => format!("in {engine}: ecr-warden's own client gets the image"),
    }
}

#[cfg(test)]
mod tests;
