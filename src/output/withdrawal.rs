//! Taking our credentials out of an output that nobody publishes to any more: it left the
//! configuration, the daemon is down and they have died, or all of it goes.

use jiff::Timestamp;

use super::{
    Entries, Host, Published, build,
    ledger::{Ledger, Record},
};
use crate::model::{
    outcome::Problem,
    output::{OutputKind, OutputSpec},
};

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Everything of ours.
    All,
    /// What has expired by then. A credential that still works stays.
    ExpiredBy(Timestamp),
}

/// Something to take out.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    /// The output.
    pub spec: OutputSpec,
    /// What is recognised as ours.
    ours: super::Ownership,
    /// Registry hosts that keep theirs.
    left: Vec<String>,
}

/// What is to be done about an output's record, if anything.
pub fn plan(ledger: &Ledger, name: &str, record: &Record, which: Which) -> Option<Withdrawal> {
    let spec = record.spec(name)?;
    let (left, ours) = match which {
        Which::All => (Vec::new(), ledger.withdrawable(&spec, &[], Timestamp::MAX)),
        Which::ExpiredBy(now) => {
            let hosts: Vec<String> = record.hosts().cloned().collect();
            (ledger.alive(name, now), ledger.withdrawable(&spec, &hosts, now))
        }
    };
    // Files that are ours as a whole go as a whole: not while something in them still works.
    let whole = matches!(
        spec.kind,
        OutputKind::Template | OutputKind::Dockerconfigjson | OutputKind::Socket
    );
    if ours.is_empty() || (whole && !left.is_empty()) {
        return None;
    }
    Some(Withdrawal { spec, ours, left })
}

impl Withdrawal {
    /// Does it. What it came to is then for [`settle`](Self::settle).
    pub fn carry_out(&self, host: &Host<'_>) -> Result<Published, Problem> {
        build(&self.spec, host).publish(&Entries::new(), &self.ours)
    }

    /// Notes in the ledger that it was done.
    pub fn settle(&self, ledger: &mut Ledger) -> Result<(), Problem> {
        ledger.settle(&self.spec.name, &self.left)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{super::tests::spec, *};
    use crate::model::token::{AuthorizationToken, Token};

    fn token(password: &str, expires: i64) -> Token {
        let secret = AuthorizationToken::of("AWS", &SecretString::from(password));
        let expires = Timestamp::from_second(expires).unwrap();
        Token { secret, minted: Timestamp::UNIX_EPOCH, expires }
    }

    /// Publishes a token that dies at 100 for host a and one that dies at 200 for host b.
    fn stage(kind: OutputKind) -> (tempfile::TempDir, Ledger) {
        let root = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::load(&root.path().join("state"));
        let wanted = Entries::from([
            ("a.test".to_owned(), token("password-a", 100)),
            ("b.test".to_owned(), token("password-b", 200)),
        ]);
        let spec = spec(kind, "/file.json");
        ledger.intend(&spec, &wanted).unwrap().write().unwrap();
        let output = build(&spec, &host(root.path()));
        let _ = output.publish(&wanted, &super::super::Ownership::new()).unwrap();
        (root, ledger)
    }

    fn host(root: &std::path::Path) -> Host<'_> {
        Host { prefix: root, state: root, desk: None }
    }

    fn withdraw(root: &tempfile::TempDir, ledger: &mut Ledger, which: Which) -> Vec<String> {
        let mut removed = Vec::new();
        for (name, record) in ledger.records() {
            if let Some(withdrawal) = plan(ledger, &name, &record, which) {
                removed.extend(withdrawal.carry_out(&host(root.path())).unwrap().removed);
                withdrawal.settle(ledger).unwrap();
            }
        }
        removed
    }

    fn at(second: i64) -> Which {
        Which::ExpiredBy(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn what_has_died_goes_what_lives_stays_and_nothing_is_left_at_last() {
        let (root, mut ledger) = stage(OutputKind::DockerConfig);
        assert!(withdraw(&root, &mut ledger, at(50)).is_empty());
        assert_eq!(withdraw(&root, &mut ledger, at(150)), ["a.test"]);
        let text = std::fs::read_to_string(root.path().join("file.json")).unwrap();
        assert!(!text.contains("a.test") && text.contains("b.test"), "{text}");
        assert_eq!(withdraw(&root, &mut ledger, Which::All), ["b.test"]);
        assert!(ledger.records().is_empty());
    }

    #[test]
    fn a_file_that_is_ours_as_a_whole_stays_while_anything_in_it_works() {
        let (root, mut ledger) = stage(OutputKind::Dockerconfigjson);
        let file = root.path().join("file.json");
        assert!(withdraw(&root, &mut ledger, at(150)).is_empty() && file.exists());
        assert_eq!(withdraw(&root, &mut ledger, at(250)).len(), 2);
        assert!(!file.exists());
    }

    #[test]
    fn an_entry_that_is_no_longer_ours_is_not_touched() {
        let (root, mut ledger) = stage(OutputKind::DockerConfig);
        let file = root.path().join("file.json");
        let theirs = r#"{"auths":{"a.test":{"auth":"dGhlaXI6b3du"}}}"#;
        std::fs::write(&file, theirs).unwrap();
        assert!(withdraw(&root, &mut ledger, Which::All).is_empty());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), theirs);
    }
}
