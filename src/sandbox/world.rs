//! What the sandbox's AWS and registry share: tokens, faults, counters, the image.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    history::History,
    image::{self, Repository},
    uploads::Pushed,
    upstream::Upstream,
};

/// The account whose role the sandbox's credentials are.
pub(super) const ACCOUNT: &str = "210987654321";

/// What goes wrong, on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// GetAuthorizationToken is throttled.
    Throttle,
    /// GetAuthorizationToken is denied.
    Deny,
    /// Every answer takes three seconds.
    Delay,
    /// AWS hangs up without an answer.
    Cut,
    /// AWS finds every signature expired, and its clock is an hour ahead.
    Skew,
    /// AWS answers with a server error.
    Broken,
    /// Tokens state an expiry in the past.
    PastExpiry,
    /// STS names another unique id: the role was deleted and created again.
    NewRole,
    /// The registry asks for a Bearer token, as ECR Public does.
    Bearer,
    /// The registry refuses every credential, with a challenge.
    Challenge,
    /// The registry hangs up instead of answering.
    HangUp,
    /// The registry sends its clients to a storage where nobody listens.
    StorageGone,
    /// The registry sends its clients to plain HTTP.
    PlainRedirect,
    /// The registry changes a byte of each manifest.
    TamperedManifest,
    /// The storage changes each byte.
    Tampered,
    /// The storage hangs up in the middle of a blob.
    Truncated,
    /// The storage stops in the middle of a blob.
    Stall,
    /// The storage's clock is decades ahead.
    StorageSkew,
    /// The registry hangs up when an upload is started.
    UploadHangUp,
    /// The registry refuses the bytes that it has already.
    LayerAlreadyExists,
    /// No policy may be read by another account.
    PolicyDeny,
    /// The registry's policy speaks of three actions alone.
    ScopeV1,
    /// The registry does not look whether a manifest's blobs are there.
    TakesAnyManifest,
}

/// The whole.
pub(super) struct World {
    pub(super) life: Duration,
    pub(super) host: String,
    pub(super) repositories: BTreeMap<&'static str, Repository>,
    /// Where blobs are sent from: `HOST:PORT`.
    pub(super) storage: String,
    pub(super) upstream: Option<Upstream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Passwords and when they expire.
    tokens: BTreeMap<String, Timestamp>,
    minted: u64,
    faults: Vec<Fault>,
    refusals: Vec<String>,
    calls: BTreeMap<String, u64>,
    pushed: Pushed,
    history: History,
    /// Policies by repository; the registry's own under the empty name.
    policies: BTreeMap<String, String>,
}

/// What the registry thinks of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Good,
    Expired,
    Invalid,
}

impl World {
    pub(super) fn new(
        life: Duration,
        host: String,
        storage: String,
        upstream: Option<Upstream>,
    ) -> Self {
        let repositories = image::repositories();
        Self { life, host, repositories, storage, upstream, state: Mutex::default() }
    }

    /// A blob of any repository.
    pub(super) fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        let own = self.repositories.values().find_map(|repository| repository.blobs.get(digest));
        own.cloned().or_else(|| self.pushed(|pushed| pushed.blob(digest).cloned()))
    }

    /// Does something with the event history.
    pub(super) fn history<T>(&self, what: impl FnOnce(&mut History) -> T) -> T {
        what(&mut self.state().history)
    }

    /// Does something with what was pushed.
    pub(super) fn pushed<T>(&self, what: impl FnOnce(&mut Pushed) -> T) -> T {
        what(&mut self.state().pushed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the policies, by repository; the registry's own has the empty name.
    pub(super) fn policies<T>(&self, what: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        what(&mut self.state().policies)
    }

    /// Counts a call.
    pub(super) fn called(&self, what: &str) {
        *self.state().calls.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn calls(&self) -> BTreeMap<String, u64> {
        self.state().calls.clone()
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.state().faults.contains(&fault)
    }

    /// The names of the refusals that are on.
    pub(super) fn refusals(&self) -> Vec<String> {
        self.state().refusals.clone()
    }

    pub(super) fn set_refusals(&self, refusals: Vec<String>) {
        self.state().refusals = refusals;
    }

    pub(super) fn set_faults(&self, faults: Vec<Fault>) {
        self.state().faults = faults;
    }

    /// Lets every token that is out expire, or be unknown (as when its role was deleted).
    pub(super) fn end_tokens(&self, forget: bool) {
        let mut state = self.state();
        if forget {
            state.tokens.clear();
        } else {
            state.tokens.values_mut().for_each(|expires| *expires = Timestamp::UNIX_EPOCH);
        }
    }

    /// A new token, in ECR's shape: base64 of `AWS:` and a base64 JSON that tells its expiry.
    pub(super) fn mint(&self) -> (String, Timestamp) {
        let life = jiff::SignedDuration::try_from(self.life).unwrap_or_default();
        let expires = Timestamp::now().saturating_add(life).unwrap_or(Timestamp::MAX);
        let mut state = self.state();
        state.minted += 1;
        let payload =
            STANDARD.encode(format!("sandbox token {} {}", state.minted, fastrand::u64(..)));
        let password = STANDARD.encode(
            serde_json::json!({
                "payload": payload, "datakey": "c2FuZGJveA==", "version": "2",
                "type": "DATA_KEY", "expiration": expires.as_second(),
            })
            .to_string(),
        );
        state.tokens.insert(password.clone(), expires);
        (STANDARD.encode(format!("AWS:{password}")), expires)
    }

    /// What a Basic credential is worth now.
    pub(super) fn judge(&self, basic: &str) -> Credential {
        let plain = STANDARD.decode(basic).unwrap_or_default();
        let plain = String::from_utf8_lossy(&plain);
        let Some(password) = plain.strip_prefix("AWS:") else {
            return Credential::Invalid;
        };
        match self.state().tokens.get(password) {
            Some(expires) if *expires > Timestamp::now() => Credential::Good,
            Some(_) => Credential::Expired,
            None => Credential::Invalid,
        }
    }
}
