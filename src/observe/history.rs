//! The last results of each test pull, with all that was seen, in bounded memory: for whoever looks
//! after something went wrong.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

/// What the traces of all probes may take together.
const MOST: usize = 8 << 20;

/// The results, the newest first.
#[derive(Debug, Default)]
pub struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    probes: BTreeMap<String, VecDeque<Entry>>,
    traces: usize,
    /// Counts up; the oldest traces go first.
    serial: u64,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    summary: Value,
    trace: Option<Box<str>>,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a result of `probe`, of which the last `keep` are kept. `trace` is JSON.
    pub fn add(&self, probe: &str, keep: usize, summary: Value, trace: Option<String>) {
        let mut kept = self.lock();
        kept.serial += 1;
        let serial = kept.serial;
        kept.traces += trace.as_ref().map_or(0, String::len);
        let entries = kept.probes.entry(probe.to_owned()).or_default();
        entries.push_front(Entry { serial, summary, trace: trace.map(String::into_boxed_str) });
        let beyond = entries.split_off(keep.min(entries.len()));
        kept.traces -= size(&beyond);
        while kept.traces > MOST {
            let with_trace = |entry: &&mut Entry| entry.trace.is_some();
            let entries = kept.probes.values_mut().flatten().filter(with_trace);
            let Some(oldest) = entries.min_by_key(|entry| entry.serial) else {
                break;
            };
            let freed = oldest.trace.take().map_or(0, |trace| trace.len());
            kept.traces -= freed;
        }
    }

    /// Forgets a probe.
    pub fn forget(&self, probe: &str) {
        let mut kept = self.lock();
        if let Some(entries) = kept.probes.remove(probe) {
            kept.traces -= size(&entries);
        }
    }

    /// Every probe with its results, without traces.
    pub fn all(&self) -> Value {
        let kept = self.lock();
        let probes: Vec<Value> = kept
            .probes
            .iter()
            .map(|(name, entries)| {
                let results: Vec<&Value> = entries.iter().map(|entry| &entry.summary).collect();
                json!({ "probe": name, "results": results })
            })
            .collect();
        json!({ "version": 1, "probes": probes })
    }

    /// One probe's results, each with its `capsule` as far as it is still there.
    pub fn one(&self, probe: &str) -> Option<Value> {
        let kept = self.lock();
        let results: Vec<Value> = kept
            .probes
            .get(probe)?
            .iter()
            .map(|entry| {
                let mut result = entry.summary.clone();
                let trace = entry.trace.as_deref().and_then(|text| serde_json::from_str(text).ok());
                result["capsule"] = trace.unwrap_or(Value::Null);
                result
            })
            .collect();
        Some(json!({ "version": 1, "probe": probe, "results": results }))
    }
}

fn size(entries: &VecDeque<Entry>) -> usize {
    entries.iter().filter_map(|entry| entry.trace.as_ref()).map(|trace| trace.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_memory_has_an_end() {
        let history = History::default();
        for number in 0..30 {
            let trace = format!("{:?}", "x".repeat(1 << 20));
            history.add("a", 5, json!({ "number": number }), Some(trace.clone()));
            history.add("b", 50, json!({ "number": number }), Some(trace));
        }
        let results = |probe| history.one(probe).unwrap()["results"].as_array().unwrap().clone();
        let (a, b) = (results("a"), results("b"));
        assert_eq!((a.len(), b.len()), (5, 30));
        assert_eq!(a[0]["number"], 29);
        let traces = |list: &[Value]| list.iter().filter(|one| !one["capsule"].is_null()).count();
        assert!(traces(&a) + traces(&b) <= 8, "{} and {}", traces(&a), traces(&b));
        assert!(!b[0]["capsule"].is_null(), "the newest has its trace");
        history.forget("b");
        assert!(history.lock().traces <= 5 << 20 && history.one("b").is_none());
        assert_eq!(history.all()["probes"][0]["results"][4]["number"], 25);
    }
}
