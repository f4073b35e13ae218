//! Policies from files, or from standard input.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Write},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    model::{outcome::Problem, reason::Reason},
    policy::{self, Document, Kind, Mistake},
};

/// More than any policy has.
const MAX_BYTES: u64 = 1 << 20;

/// Why a policy can't be used.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The file can't be read.
    File(String),
    /// What is in it has mistakes.
    Mistakes(String, Vec<Mistake>),
}

/// Reads a policy from a file; `-` is standard input.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Document, Unreadable> {
    read_as(path, Some(kind))
}

/// The same; without a kind it is found out by what is in it.
pub(super) fn read_as(path: &Path, kind: Option<Kind>) -> Result<Document, Unreadable> {
    let shown = path.display().to_string();
    let mut bytes = Vec::new();
    let read = if shown == "-" {
        io::stdin().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Unreadable::File(format!("{shown}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Unreadable::File(format!("{shown}: it is not UTF-8 text")))?;
    policy::parse(&text, kind.unwrap_or_else(|| guess(&text)))
        .map_err(|mistakes| Unreadable::Mistakes(shown, mistakes))
}

/// A policy with principals is a resource's; of those, only a registry's needs resources.
fn guess(text: &str) -> Kind {
    let has = |name: &str| text.contains(&format!("\"{name}\""));
    match (has("Principal") || has("NotPrincipal"), has("Resource") || has("NotResource")) {
        (true, true) => Kind::Registry,
        (true, false) => Kind::Repository,
        (false, _) => Kind::Identity,
    }
}

impl Unreadable {
    /// The reason, with what was seen first.
    fn problem(&self) -> Problem {
        Problem::new(Reason::PolicyMalformed, self.to_string().lines().next().unwrap_or_default())
    }

    fn json(&self) -> Vec<Value> {
        match self {
            Self::File(_) => Vec::new(),
            Self::Mistakes(file, mistakes) => mistakes
                .iter()
                .map(|one| {
                    json!({ "file": file, "line": one.line, "column": one.column, "message": one.what })
                })
                .collect(),
        }
    }
}

impl fmt::Display for Unreadable {
    /// A line for each mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(what) => f.write_str(what),
            Self::Mistakes(file, mistakes) => {
                for (at, mistake) in mistakes.iter().enumerate() {
                    let newline = if at == 0 { "" } else { "\n" };
                    write!(f, "{newline}{file}:{mistake}")?;
                }
                Ok(())
            }
        }
    }
}

/// Says what can't be read, and that nothing else was asked.
pub(super) fn report(
    unreadable: &[Unreadable],
    as_json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    if as_json {
        let mistakes: Vec<Value> = unreadable.iter().flat_map(Unreadable::json).collect();
        let problem = unreadable.first().map(Unreadable::problem);
        writeln!(
            out,
            "{:#}",
            json!({ "version": 1, "verdict": "unreadable", "reason": problem, "mistakes": mistakes })
        )?;
    } else {
        for one in unreadable {
            writeln!(err, "{one}")?;
        }
    }
    Ok(2)
}
