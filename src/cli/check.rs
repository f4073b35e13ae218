//! `ecr-warden check`: is the configuration right?

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde_json::json;

use crate::{
    config::{self, Mistake, describe, dropin::Sources, settings::Settings},
    model::reason::Reason,
    probe::advice::{self, Estimate},
};

/// The flags of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print the JSON Schema of the configuration instead.
    #[arg(long)]
    pub schema: bool,
    /// Print mistakes as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints every mistake, or the configuration in force. 0: it is right; 2: it is not.
pub fn run(args: &CheckArgs, config: Vec<PathBuf>, out: &mut dyn Write) -> io::Result<u8> {
    if args.schema {
        writeln!(out, "{:#}", describe::schema())?;
        return Ok(0);
    }
    match config::load(&Sources::new(config)) {
        Ok(loaded) if args.json => {
            let settings = &loaded.settings;
            let files: Vec<String> =
                loaded.files.iter().map(|file| file.display().to_string()).collect();
            writeln!(
                out,
                "{:#}",
                json!({
                    "version": 1, "valid": true, "files": files, "mistakes": [],
                    "probes": {
                        "estimates": settings.probes.iter().map(Estimate::of).collect::<Vec<_>>(),
                        "most_usd_a_month": advice::most_a_month(&settings.probes, &settings.probing),
                    },
                    "warnings": warnings(settings),
                })
            )?;
            Ok(0)
        }
        Ok(loaded) => {
            if loaded.files.is_empty() {
                writeln!(out, "# no configuration file was found; this is what holds without one")?;
            }
            write!(out, "{}", describe::effective(&loaded))?;
            let settings = &loaded.settings;
            let told = advice::estimates(&settings.probes, &settings.probing);
            if !told.is_empty() {
                writeln!(out, "\n# what the test pulls take:")?;
            }
            for line in told {
                writeln!(out, "#   {line}")?;
            }
            for warning in warnings(settings) {
                writeln!(out, "# warning: {warning}")?;
            }
            Ok(0)
        }
        Err(mistakes) => {
            report(&mistakes, args.json, out)?;
            Ok(2)
        }
    }
}

/// What is valid and yet dangerous.
fn warnings(settings: &Settings) -> Vec<String> {
    advice::warnings(&settings.probes, &settings.probing, |identity| {
        settings.registries.iter().any(|registry| registry.identity == identity)
    })
}

/// Prints mistakes, one a line or as JSON.
pub fn report(mistakes: &[Mistake], as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        let list: Vec<_> = mistakes
            .iter()
            .map(|mistake| {
                json!({
                    "file": mistake.place.file,
                    "line": mistake.place.line,
                    "column": mistake.place.column,
                    "message": mistake.message,
                })
            })
            .collect();
        let reason = Reason::ConfigInvalid;
        let reason =
            json!({ "code": reason.code(), "text": reason.text(), "remedy": reason.remedy() });
        return writeln!(
            out,
            "{:#}",
            json!({ "version": 1, "valid": false, "reason": reason, "mistakes": list })
        );
    }
    for mistake in mistakes {
        writeln!(out, "{mistake}")?;
    }
    let plural = if mistakes.len() == 1 { "" } else { "s" };
    writeln!(out, "{} mistake{plural}", mistakes.len())
}
