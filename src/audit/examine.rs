//! Pieces of a log to records, records to findings: what a scan and the job have in common.

use jiff::Timestamp;

use super::{
    record::{self, Record, Unread},
    rules::{Finding, Memory, Opinion, Rules},
    seen::{Recent, mark},
    sift::{Sift, Worth},
    splitter::Piece,
};

/// So many ids are remembered, in order to know copies: about two days of a busy account.
const WINDOW: usize = 200_000;

/// Who is told of what is in a log.
pub trait Witness {
    /// An event that counts, with its bytes and what there is to say of it. `again`: it corrects an
    /// event that was counted before.
    fn event(&mut self, record: &Record, raw: &[u8], findings: &[Finding], again: bool);

    /// Something where a record should stand that can't be read: its beginning, and why.
    fn unread(&mut self, beginning: &[u8], why: &str);
}

/// What came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records of every service.
    pub records: u64,
    /// Those that are about a registry and new.
    pub events: u64,
    /// Those that were seen before, by their eventID.
    pub copies: u64,
    /// Those of before the time asked for.
    pub earlier: u64,
    /// Those of our own probes.
    pub probes: u64,
    /// What could not be read.
    pub unread: u64,
}

/// Takes pieces, tells a witness.
pub struct Examiner {
    sift: Sift,
    rules: Rules,
    ids: Recent<u64, ()>,
    since: Option<Timestamp>,
    /// What came by so far.
    pub counts: Counts,
}

impl Examiner {
    /// What is older than `since` is left out.
    pub fn new(rules: Rules, since: Option<Timestamp>) -> Self {
        let sift = Sift::new(&rules.role_names());
        Self { sift, rules, ids: Recent::new(WINDOW), since, counts: Counts::default() }
    }

    /// What the rules remember, for the checkpoint.
    pub fn memory(&self) -> Memory {
        self.rules.memory()
    }

    /// Takes one piece.
    pub fn take(&mut self, piece: Piece<'_>, witness: &mut dyn Witness) {
        self.counts.records += 1;
        let bytes = match piece {
            Piece::Record(bytes) => bytes,
            Piece::TooLong(beginning) => {
                return self.unread(beginning, "it is longer than 4 MiB", witness);
            }
            Piece::Stray(beginning) => {
                return self.unread(beginning, "it is no JSON object", witness);
            }
        };
        if self.sift.worth(bytes) == Worth::Nothing {
            return;
        }
        match record::parse(bytes) {
            Ok(record) => self.record(&record, bytes, witness),
            // What names no service at all is no record of anything.
            Err(error @ (Unread::Malformed(_) | Unread::Missing(_))) => {
                self.unread(bytes, &error.to_string(), witness);
            }
        }
    }

    fn record(&mut self, record: &Record, bytes: &[u8], witness: &mut dyn Witness) {
        if self.since.is_some_and(|since| record.time < since) {
            self.counts.earlier += 1;
            return;
        }
        if self.ids.get(&mark(&[&record.id])).is_some() {
            self.counts.copies += 1;
            return;
        }
        let findings = match self.rules.judge(record) {
            Opinion::Beside => return,
            Opinion::Probe => {
                self.ids.put(mark(&[&record.id]), ());
                self.counts.probes += 1;
                return;
            }
            Opinion::Counts(findings) => findings,
        };
        self.ids.put(mark(&[&record.id]), ());
        let replaced = record.replaces.as_ref().map(|id| mark(&[id]));
        // The corrected event may also come after its correction: then it is a copy.
        let again = replaced.is_some_and(|id| self.ids.put(id, ()).is_some());
        self.counts.events += u64::from(!again);
        witness.event(record, bytes, &findings, again);
    }

    fn unread(&mut self, beginning: &[u8], why: &str, witness: &mut dyn Witness) {
        self.counts.unread += 1;
        witness.unread(beginning, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::rules::Ground;

    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Witness for Heard {
        fn event(&mut self, record: &Record, _: &[u8], _: &[Finding], again: bool) {
            self.0.push(format!("{}{}", record.id, if again { " again" } else { "" }));
        }

        fn unread(&mut self, _: &[u8], why: &str) {
            self.0.push(why.to_owned());
        }
    }

    fn run(since: Option<&str>, records: &[String]) -> (Counts, Vec<String>) {
        let since = since.map(|since| since.parse().unwrap());
        let mut examiner = Examiner::new(Rules::new(Ground::default()), since);
        let mut heard = Heard::default();
        for record in records {
            examiner.take(Piece::Record(record.as_bytes()), &mut heard);
        }
        (examiner.counts, heard.0)
    }

    fn event(id: &str, time: &str, more: &str) -> String {
        format!(
            r#"{{"eventID":"{id}","eventTime":"{time}","eventSource":"ecr.amazonaws.com","eventName":"BatchGetImage"{more}}}"#
        )
    }

    #[test]
    fn copies_count_once_and_a_correction_is_no_second_event() {
        let time = "2026-11-20T10:00:00Z";
        let addendum = r#","addendum":{"reason":"UPDATED_DATA","originalEventID":"a"}"#;
        let (counts, heard) = run(
            None,
            &[
                event("a", time, ""),
                event("a", time, ""),
                event("b", time, addendum),
                event("c", time, ""),
            ],
        );
        assert_eq!((counts.records, counts.events, counts.copies), (4, 2, 1));
        assert_eq!(heard, ["a", "b again", "c"]);
        let (counts, heard) = run(None, &[event("b", time, addendum), event("a", time, "")]);
        assert_eq!((counts.events, counts.copies), (1, 1));
        assert_eq!(heard, ["b"]);
    }

    #[test]
    fn what_is_older_than_asked_for_is_left_out_and_counted() {
        let records =
            [event("a", "2026-11-20T10:00:00Z", ""), event("b", "2026-11-20T10:00:01Z", "")];
        let (counts, heard) = run(Some("2026-11-20T10:00:01Z"), &records);
        assert_eq!((counts.earlier, heard), (1, vec!["b".to_owned()]));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_and_the_next_one_is_read() {
        let records = [
            r#"{"eventSource":"ecr.amazonaws.com"}"#.into(),
            event("a", "2026-11-20T10:00:00Z", ""),
        ];
        let (counts, heard) = run(None, &records);
        assert_eq!((counts.unread, counts.events), (1, 1));
        assert_eq!(heard, ["eventName is missing or can't be understood", "a"]);
    }
}
