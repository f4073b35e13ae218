//! Where the asking is answered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::credential;
use crate::{
    helper::wire::{Reply, Request},
    model::{outcome::Problem, reason::Reason, registry},
    output::Entries,
};

/// Conversations at the same time; the others wait in the kernel's queue.
const CONVERSATIONS: usize = 256;

/// A longer question is none.
const LONGEST: u64 = 4 * 1024;

/// Whoever says nothing for so long is hung up on.
const SILENCE: Duration = Duration::from_secs(5);

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A credential was given.
    Given,
    /// It should be there and is not.
    Lacking,
    /// The registry is another's.
    NotOurs,
    /// Whoever asked may not.
    Refused,
}

impl Asked {
    /// The word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Lacking => "lacking",
            Self::NotOurs => "not_ours",
            Self::Refused => "refused",
        }
    }
}

/// Who knows more than the tokens, and is told what was asked.
pub trait DeskWatcher: Send + Sync {
    /// Why there is no token for this host; `None` if it is not one of this output's.
    fn lacking(&self, host: &str) -> Option<Problem>;
    /// A question was answered.
    fn asked(&self, what: Asked);
}

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// User ids.
    pub(super) uids: BTreeSet<u32>,
    /// Primary group ids.
    pub(super) gids: BTreeSet<u32>,
}

/// What there is to give.
#[derive(Default)]
pub(super) struct Served {
    access: Access,
    /// By host: what is compared, and the line that is sent.
    replies: HashMap<String, (String, Zeroizing<Vec<u8>>)>,
    /// The answer to `list`.
    list: Vec<u8>,
}

impl Served {
    /// Whether it gives this token for this host already.
    pub(super) fn holds(&self, host: &str, entries: &Entries) -> bool {
        let held = self.replies.get(host).map(|(fingerprint, _)| fingerprint.as_str());
        held.is_some()
            && held == entries.get(host).map(|token| token.secret.fingerprint()).as_deref()
    }

    /// Whether it gives anything for this host.
    pub(super) fn knows(&self, host: &str) -> bool {
        self.replies.contains_key(host)
    }

    /// What is answered for a host that may be one of a pattern's.
    fn reply(&self, host: &str) -> Option<&Zeroizing<Vec<u8>>> {
        let found = self.replies.get(host).or_else(|| {
            let names = self.replies.keys().map(String::as_str);
            registry::find(names, host).and_then(|name| self.replies.get(name))
        });
        found.map(|(_, text)| text)
    }

    /// The hosts that it gives something for.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &String> {
        self.replies.keys()
    }
}

/// The desk.
pub(super) struct Desk {
    output: String,
    watcher: Arc<dyn DeskWatcher>,
    served: RwLock<Arc<Served>>,
}

impl Desk {
    /// One with nothing to give.
    pub(super) fn new(output: &str, watcher: Arc<dyn DeskWatcher>) -> Self {
        Self { output: output.to_owned(), watcher, served: RwLock::default() }
    }

    /// Gives these from now on; what it gave before.
    pub(super) fn replace(&self, access: Access, entries: &Entries) -> Arc<Served> {
        let mut served = Served { access, ..Served::default() };
        let mut users = BTreeMap::new();
        for (host, token) in entries {
            let credential = credential(token);
            if !registry::is_pattern(host) {
                users.insert(host.clone(), credential.username.clone());
            }
            let text = line(&Reply::Credential(credential));
            served.replies.insert(host.clone(), (token.secret.fingerprint(), text));
        }
        served.list = line(&Reply::Hosts(users)).to_vec();
        let mut current = self.served.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut current, Arc::new(served))
    }

    fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn converse(&self, stream: UnixStream) -> std::io::Result<()> {
        let peer = stream.peer_cred()?;
        let admitted = admits(&self.served().access, &peer);
        // The daemon's own look at what it gives is nobody's question.
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let own = peer.pid() == Some(me);
        let count = |what| {
            if !own {
                self.watcher.asked(what);
            }
        };
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::with_capacity(512, reader);
        let mut question = Vec::with_capacity(128);
        loop {
            question.clear();
            let mut bounded = (&mut reader).take(LONGEST);
            let read = bounded.read_until(b'\n', &mut question);
            let Ok(read) = tokio::time::timeout(SILENCE, read).await else {
                return Ok(());
            };
            if read? == 0 {
                return Ok(());
            }
            if !admitted {
                let refused = self.refused(&peer);
                count(Asked::Refused);
                return writer.write_all(&line(&Reply::Lacking((&refused).into()))).await;
            }
            let Ok(request) = serde_json::from_slice::<Request>(&question) else {
                return Ok(());
            };
            let served = self.served();
            match request {
                Request::List => writer.write_all(&served.list).await?,
                Request::Get(host) => {
                    if let Some(text) = served.reply(&host) {
                        count(Asked::Given);
                        writer.write_all(text).await?;
                        continue;
                    }
                    let (what, reply) = match self.watcher.lacking(&host) {
                        Some(why) => (Asked::Lacking, Reply::Lacking((&why).into())),
                        None => (Asked::NotOurs, Reply::NotOurs),
                    };
                    count(what);
                    writer.write_all(&line(&reply)).await?;
                }
            }
        }
    }

    fn refused(&self, peer: &UCred) -> Problem {
        let detail = format!("user id {} is not one of output {}'s", peer.uid(), self.output);
        Problem::new(Reason::HelperNotAllowed, detail)
    }
}

pub(super) fn admits(access: &Access, peer: &UCred) -> bool {
    access.uids.contains(&peer.uid()) || access.gids.contains(&peer.gid())
}

fn line(reply: &Reply) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(8 * 1024));
    // A reply has nothing in it that JSON can't hold.
    let _ = serde_json::to_writer(&mut *text, reply);
    text.push(b'\n');
    text
}

/// Answers until `stop`.
pub(super) async fn serve(listener: UnixListener, desk: Arc<Desk>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONVERSATIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: not a hot loop.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let (desk, stop) = (Arc::clone(&desk), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            tokio::select! { _ = desk.converse(stream) => {}, () = stop.cancelled() => {} }
        });
    }
}
