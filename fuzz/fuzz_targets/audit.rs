//! Whatever a log file holds: it is read to an end, and its records are those that a whole parse
//! finds, each of them counted once.
#![no_main]

use ecr_warden::audit::{
    examine::{Examiner, Witness},
    input,
    record::{self, Record},
    rules::{Finding, Ground, Rules},
    source::notice,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[derive(Default)]
struct Heard(u64);

impl Witness for Heard {
    fn event(&mut self, record: &Record, _: &[u8], findings: &[Finding], _: bool) {
        assert!(record.id.len() <= 128 && record.actor.name.len() <= 600);
        assert!(findings.iter().all(|finding| !finding.detail.is_empty()));
        self.0 += 1;
    }

    fn unread(&mut self, beginning: &[u8], why: &str) {
        assert!(!why.is_empty() && beginning.len() <= 4 << 20);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = record::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = notice::objects(text);
    }
    let mut examiner = Examiner::new(Rules::new(Ground::default()), None);
    let mut heard = Heard::default();
    let read = input::read(bytes, &mut |piece| examiner.take(piece, &mut heard), &mut |_| ());
    assert!(examiner.counts.events == heard.0);
    // Escapes make another text of the key, and a second key another array.
    let one_key = bytes.windows(9).filter(|part| part == b"\"Records\"").count() == 1
        && !bytes.windows(8).any(|part| part == b"\"Events\"")
        && !bytes.contains(&b'\\');
    if one_key
        && let Ok(Value::Object(whole)) = serde_json::from_slice::<Value>(bytes)
        && let Some(Value::Array(records)) = whole.get("Records")
    {
        assert!(read.is_ok());
        assert_eq!(examiner.counts.records, records.len() as u64);
    }
});
