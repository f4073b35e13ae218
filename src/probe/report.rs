//! A test pull told: for people, and as JSON. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    Depth,
    capsule::Capsule,
    diagnosis::{Diagnosis, diagnose},
    timeline,
};
use crate::model::outcome::Verdict;

/// What is said of a capsule, and the exit code of whoever says it.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    capsule: &'a Capsule,
    diagnosis: Diagnosis,
}

impl<'a> Report<'a> {
    /// Diagnoses the capsule.
    pub fn of(capsule: &'a Capsule) -> Self {
        Self { capsule, diagnosis: diagnose(capsule) }
    }

    /// With a diagnosis that was made by more than the capsule.
    pub(super) fn with(capsule: &'a Capsule, diagnosis: Diagnosis) -> Self {
        Self { capsule, diagnosis }
    }

    /// What is the matter.
    pub fn diagnosis(&self) -> &Diagnosis {
        &self.diagnosis
    }

    /// 0: it can be pulled as deep as asked; 1: it can't; 3: it could not be told.
    pub fn exit(&self) -> u8 {
        match self.diagnosis.verdict {
            Verdict::Ok => 0,
            Verdict::Bad(_) => 1,
            Verdict::Unknown(_) => 3,
        }
    }

    /// As JSON, version 1: the verdict with its reason first, the capsule last.
    pub fn json(&self) -> Value {
        let Diagnosis { verdict, stage, hop, action, policy, statement, or_else } = &self.diagnosis;
        let mut whole = json!({
            "version": 1,
            "image": self.capsule.image,
            "verdict": verdict.word(),
        });
        if let Some(problem) = verdict.problem() {
            whole["reason"] = json!(problem);
            whole["stage"] = json!(stage.map(super::diagnosis::Stage::word));
            whole["hop"] = json!(hop);
            whole["action"] = json!(action);
            whole["policy"] = json!(policy);
            whole["statement"] = json!(statement);
            whole["or_else"] = json!(or_else);
        }
        whole["depth"] = json!(self.capsule.depth);
        whole["reached"] = json!(self.capsule.reached);
        whole["seconds"] = json!(timeline::seconds_by_phase(self.capsule));
        whole["capsule"] = json!(self.capsule);
        whole
    }

    /// For people: the verdict, what mends it, then how it went.
    pub fn text(&self) -> String {
        self.text_with(&self.headline(), "")
    }

    /// The same with another headline, and more after what mends it.
    pub(super) fn text_with(&self, headline: &str, more: &str) -> String {
        let mut text = format!("{}\n{headline}\n", self.capsule.image);
        self.tell_problem(&mut text);
        text.push('\n');
        if !more.is_empty() {
            let _ = writeln!(text, "{more}");
        }
        if !self.capsule.exchanges.is_empty() {
            let _ = writeln!(text, "{}", timeline::table(self.capsule));
        }
        self.tell_facts(&mut text);
        plain(&text)
    }

    fn headline(&self) -> String {
        let Capsule { took, exchanges, bytes, platform, reached, .. } = self.capsule;
        let effort = format!(
            "{platform}; {}, {} in {}",
            counted(exchanges.len(), "request"),
            amount(*bytes),
            duration(*took)
        );
        match (&self.diagnosis.verdict, self.capsule.depth) {
            (Verdict::Ok, Depth::Manifest) => {
                format!(
                    "manifest and configuration can be pulled ({effort}); layers were not tried"
                )
            }
            (Verdict::Ok, Depth::FirstByte) => {
                format!("can be pulled, tried to the first byte of its largest layer ({effort})")
            }
            (Verdict::Ok, Depth::Full) => format!("can be pulled, every byte of it ({effort})"),
            (Verdict::Bad(problem), _) => {
                let manifest = match reached {
                    Some(_) => "; its manifest can",
                    None => "",
                };
                let (text, code) = (problem.reason.text(), problem.reason.code());
                format!("can't be pulled{manifest}: {text} [{code}] ({effort})")
            }
            (Verdict::Unknown(problem), _) => {
                let (text, code) = (problem.reason.text(), problem.reason.code());
                format!("whether it can be pulled was not to be told: {text} [{code}] ({effort})")
            }
        }
    }

    fn tell_problem(&self, text: &mut String) {
        let Diagnosis { verdict, stage, hop, action, policy, statement, or_else } = &self.diagnosis;
        let Some(problem) = verdict.problem() else {
            return;
        };
        let _ = writeln!(text, "  {}", problem.detail);
        if let Some(stage) = stage {
            let hop = hop.map(|hop| format!(", at the {}", hop.word())).unwrap_or_default();
            let _ = writeln!(text, "  stage: {}{hop}", stage.word());
        }
        if let Some(action) = action {
            let by = policy.map(|policy| format!(", by {}", policy.words())).unwrap_or_default();
            let _ = writeln!(text, "  denied: {action}{by}");
        }
        let _ = writeln!(text, "  -> {}", problem.reason.remedy());
        if let Some(other) = or_else {
            let _ = writeln!(text, "  or else: {other}");
        }
        if let Some(statement) = statement {
            let account = match &statement.account {
                Some(account) => format!("account {account}"),
                None => "its account".to_owned(),
            };
            let _ = writeln!(text, "\n  For {}, in {account}:\n", statement.policy);
            for line in format!("{:#}", statement.statement).lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }

    fn tell_facts(&self, text: &mut String) {
        let capsule = self.capsule;
        for (hop, host) in hosts(capsule) {
            let _ = writeln!(text, "{hop:<11}{host}");
        }
        match (&capsule.token, &capsule.no_token) {
            (Some(token), _) => {
                let age = capsule.started.duration_since(token.minted).as_secs();
                let whose = capsule.principal.as_deref().unwrap_or("an identity not known yet");
                let _ = writeln!(
                    text,
                    "{:<11}a token of {whose}, minted in {} {} before",
                    "credential",
                    token.region,
                    minutes(age)
                );
            }
            (None, Some(_)) => {}
            (None, None) => {
                let _ = writeln!(text, "{:<11}none: the registry is not configured", "credential");
            }
        }
        if let Some(layers) = &capsule.layers {
            let rate = |rate: Option<f64>| rate.map(|rate| format!("{}/s", amount(whole(rate))));
            let mut line = format!("{} of {}", layers.count, amount(layers.bytes));
            if let Some(together) = rate(layers.together()) {
                let _ = write!(line, ", {together} in {}", counted(layers.streams, "stream"));
            }
            if let Some(alone) = rate(layers.alone) {
                let _ = write!(line, ", {alone} in one alone");
            }
            let _ = writeln!(text, "{:<11}{line}", "layers");
        }
        let ahead = |exchange: &crate::oci::trace::Exchange| exchange.answer.as_ref()?.clock_ahead;
        let off =
            capsule.exchanges.iter().filter_map(ahead).max_by_key(|ahead| ahead.unsigned_abs());
        if let Some(off) = off.filter(|off| off.unsigned_abs() >= 5) {
            let _ = writeln!(text, "{:<11}this host's is {off:+} s off the server's", "clock");
        }
    }
}

/// Which hosts were asked, with the address and the proxy.
fn hosts(capsule: &Capsule) -> Vec<(&'static str, String)> {
    let mut found: BTreeMap<(crate::oci::phases::Hop, String), String> = BTreeMap::new();
    for exchange in &capsule.exchanges {
        let host = exchange.url.split('/').nth(2).unwrap_or_default().to_owned();
        let seen = found.entry((exchange.hop, host.clone())).or_insert(host);
        if let (Some(address), false) = (exchange.address, seen.contains(" at ")) {
            let through = match &exchange.proxy {
                Some(proxy) => format!(" at {address}, through the proxy {proxy}"),
                None => format!(" at {address}"),
            };
            seen.push_str(&through);
        }
    }
    found.into_iter().map(|((hop, _), host)| (hop.word(), host)).collect()
}

/// What came from elsewhere must not move the cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// Bytes, as people say them.
pub fn amount(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    match bytes {
        1.0 => "1 byte".to_owned(),
        ..1e3 => format!("{bytes} bytes"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

fn whole(number: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = number as u64;
    whole
}

fn duration(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

fn minutes(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{
        phases::Hop,
        trace::{Answer, Step},
    };

    #[test]
    fn what_others_say_can_not_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\r\nc\u{9b}"), "a?[2Jb?\nc?");
    }

    /// A capsule comes from somebody else.
    #[test]
    fn numbers_at_their_ends_are_told_all_the_same() {
        use crate::probe::diagnosis::tests::{capsule, exchange};
        let mut one = exchange(Hop::Storage, Step::Layer, None);
        one.received = u64::MAX;
        one.answer = Some(Answer {
            status: 403,
            clock_ahead: Some(i64::MIN),
            said: Some("<Code>AccessDenied</Code><Message>Request has expired</Message>".into()),
            ..Answer::default()
        });
        let mut odd = capsule(one.clone());
        odd.bytes = u64::MAX;
        odd.took = f64::MAX;
        assert_eq!(Report::of(&odd).exit(), 1);
        assert!(Report::of(&odd).text().contains("[clock_skew]"));
        one.answer = Some(Answer { status: 200, ..Answer::default() });
        odd.exchanges = vec![one; 20];
        odd.stop = crate::probe::capsule::Stop::Complete;
        assert!(Report::of(&odd).text().contains("layer x20"));
    }

    #[test]
    fn amounts_are_said_as_people_say_them() {
        for (bytes, said) in [
            (1, "1 byte"),
            (999, "999 bytes"),
            (1500, "1.5 kB"),
            (600_000_000, "600.0 MB"),
            (2_000_000_000, "2.00 GB"),
        ] {
            assert_eq!(amount(bytes), said);
        }
    }
}
