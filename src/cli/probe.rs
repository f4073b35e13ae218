//! `ecr-warden probe IMAGE`: a test pull now, and what it means.

mod configured;
mod running;
mod seen;

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Read as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use self::seen::{How, Seen};
use super::{client, load, runtime, token};
use crate::{
    config::settings::Loaded,
    daemon::{self, engine::EngineHost},
    model::{
        image::{ImageRef, Platform},
        schedule::parse_duration,
    },
    observe::log,
    oci::trace::Record,
    probe::{
        Depth,
        attempt::{Caller, Credential},
        engine::Engine,
        pull::{Allowance, Plan},
        push::Rung,
        report::amount,
    },
};

/// The largest capsule that is read.
const LARGEST_CAPSULE: u64 = 32 << 20;

/// The flags of `probe`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("asked").args(["image", "running"]))]
pub struct ProbeArgs {
    /// The image, with its registry: HOST/REPOSITORY[:TAG][@DIGEST]. Without it, every [[probe]] of
    /// the configuration, one after the other.
    pub image: Option<String>,
    /// In place of an image: everything of the configured registries that runs on this host now, by
    /// digest. Would it start again? --engine names one engine; all that answer are asked otherwise.
    #[arg(long)]
    pub running: bool,
    /// How far down: the manifest, one byte of a layer, or all of them. Nothing is written.
    /// [default: first-byte; manifest with --engine, where full has the engine pull]
    #[arg(long, value_name = "DEPTH", value_parser = depth, requires = "asked")]
    pub depth: Option<Depth>,
    /// For another platform than this host's, such as linux/arm64.
    #[arg(long, value_name = "OS/ARCH", value_parser = platform, requires = "asked")]
    pub platform: Option<Platform>,
    /// How long it may take; 30s, or 10m for full.
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "asked")]
    pub timeout: Option<Duration>,
    /// Write all that was seen to a new file, without secrets, for `explain --capsule`.
    #[arg(long, value_name = "FILE", requires = "image")]
    pub trace: Option<PathBuf>,
    /// Rehearse a push instead, as far as start, part, complete (the default) or manifest, which
    /// leave nothing behind; or push a tiny image of our own and delete it again: image.
    #[arg(long, value_name = "HOW-FAR", num_args = 0..=1, require_equals = true, default_missing_value = "complete", value_parser = rung, conflicts_with = "depth", requires = "image")]
    pub push: Option<Rung>,
    /// Have an engine of this host do it, with the credential that its client would send: docker,
    /// podman or containerd. What it pulls is removed again.
    #[arg(long, value_name = "ENGINE", value_parser = engine_of, conflicts_with = "push", requires = "asked")]
    pub engine: Option<Engine>,
    /// The engine's socket, if it is not in its usual place.
    #[arg(long, value_name = "PATH", requires = "engine")]
    pub socket: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn engine_of(text: &str) -> Result<Engine, String> {
    Engine::of(text).ok_or_else(|| "expected docker, containerd or podman".to_owned())
}

fn rung(text: &str) -> Result<Rung, String> {
    Rung::of(text).ok_or_else(|| "expected start, part, complete, manifest or image".to_owned())
}

fn depth(text: &str) -> Result<Depth, String> {
    Depth::of(text).ok_or_else(|| "expected manifest, first-byte or full".to_owned())
}

fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "expected OS/ARCHITECTURE[/VARIANT]".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration such as 30s or 5m".to_owned())
}

/// 0: it can be pulled as deep as asked; 1: it can't, and why; 2: it could not be asked; 3: it was
/// not to be told.
pub fn run(
    args: &ProbeArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let Some(asked) = &args.image else {
        if args.running {
            return what_runs(args, paths, out, err);
        }
        return configured::run(args.json, paths, out, err);
    };
    let image = match ImageRef::parse(asked) {
        Ok(image) => image,
        Err(why) => {
            writeln!(err, "ecr-warden: {asked:?}: {why}")?;
            return Ok(2);
        }
    };
    let Some((_, loaded)) = load(paths, err)? else {
        return Ok(2);
    };
    let mut trace = match args.trace.as_deref().map(create).transpose() {
        Ok(trace) => trace,
        Err(why) => {
            writeln!(err, "ecr-warden: {why}")?;
            return Ok(2);
        }
    };
    log::init(&loaded.settings.daemon.log_format, "error");
    let client = Arc::new(client(&loaded.settings, &image.host));
    let depth = args.depth.unwrap_or(match args.engine {
        Some(_) => Depth::Manifest,
        None => Depth::FirstByte,
    });
    let plan = Plan {
        depth,
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        timeout: args.timeout.unwrap_or(depth.patience()),
        allowance: Allowance::default(),
        image,
    };
    let runtime = runtime()?;
    let seen = runtime.block_on(async {
        let caller = caller(&loaded, &plan.image.host).await?;
        let (record, started) = (Arc::new(Record::default()), Timestamp::now());
        let how = How { push: args.push, engine: args.engine, socket: args.socket.as_deref() };
        let ours = (&client, &caller);
        let tried = Box::pin(how.tried(&loaded.settings, ours, &plan, &record, started));
        let shown = io::stderr().is_terminal() && !args.json && how.is_pull();
        if shown { watched(tried, &record, err).await } else { Ok(tried.await) }
    });
    runtime.shutdown_background();
    let seen = seen?;
    if let Some(trace) = &mut trace {
        writeln!(trace, "{:#}", serde_json::to_value(&seen)?)?;
        trace.sync_all()?;
    }
    tell(&seen, args.json, out)
}

/// Who pulls from a registry.
async fn caller(loaded: &Loaded, host: &str) -> io::Result<Caller> {
    match token::find(loaded, host) {
        Some((registry, host)) => {
            let mut loaded = loaded.clone();
            loaded.settings.registries = vec![registry];
            daemon::caller(&loaded, &host).await.map_err(io::Error::other)
        }
        None => Ok(Caller { registry: None, principal: None, credential: Credential::Anonymous }),
    }
}

/// `--running`.
fn what_runs(
    args: &ProbeArgs,
    paths: Vec<PathBuf>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let Some((_, loaded)) = load(paths, err)? else {
        return Ok(2);
    };
    log::init(&loaded.settings.daemon.log_format, "error");
    let host = EngineHost::of(&loaded.settings.daemon);
    let socket = |engine: Engine| host.socket(engine);
    let engines: Vec<(Engine, PathBuf)> = match args.engine {
        Some(engine) => vec![(engine, args.socket.clone().unwrap_or_else(|| socket(engine)))],
        None => Engine::ALL
            .into_iter()
            .map(|engine| (engine, socket(engine)))
            .filter(|(_, socket)| socket.exists())
            .collect(),
    };
    let depth = args.depth.unwrap_or(Depth::FirstByte);
    let plan = |image| Plan {
        depth,
        platform: args.platform.clone().unwrap_or_else(Platform::host),
        timeout: args.timeout.unwrap_or(depth.patience()),
        allowance: Allowance::default(),
        image,
    };
    let runtime = runtime()?;
    let census = runtime.block_on(running::census(&loaded, &engines, plan));
    runtime.shutdown_background();
    let census = census?;
    if args.json {
        writeln!(out, "{:#}", census.json())?;
    } else {
        census.tell(out)?;
    }
    Ok(census.exit())
}

/// Says what a capsule of elsewhere means; `-` is standard input.
pub fn explain(
    file: &Path,
    as_json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().lock().take(LARGEST_CAPSULE).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(LARGEST_CAPSULE).read_to_string(&mut text))
    };
    let parsed = read.map_err(|error| error.to_string());
    let parsed = parsed.and_then(|_| Seen::parse(&text));
    match parsed {
        Ok(seen) => tell(&seen, as_json, out),
        Err(why) => {
            writeln!(err, "ecr-warden: {}: {why}", file.display())?;
            writeln!(err, "  -> `ecr-warden probe IMAGE --trace FILE` writes one")?;
            Ok(2)
        }
    }
}

fn tell(seen: &Seen, as_json: bool, out: &mut dyn Write) -> io::Result<u8> {
    if as_json {
        writeln!(out, "{:#}", seen.json())?;
    } else {
        write!(out, "{}", seen.text())?;
    }
    Ok(seen.exit())
}

/// A new file that only its owner reads. One that is there already, or a link, is left alone.
fn create(path: &Path) -> Result<File, String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already; name a new file in --trace", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    })
}

/// The pull with a line on the terminal that tells how far it is, which goes away at its end.
async fn watched<T>(
    pull: impl Future<Output = T>,
    record: &Record,
    err: &mut dyn Write,
) -> io::Result<T> {
    let mut pull = std::pin::pin!(pull);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut shown = false;
    let capsule = loop {
        tokio::select! {
            capsule = &mut pull => break capsule,
            _ = tick.tick() => {
                write!(err, "\r\u{1b}[K{}", progress(record))?;
                err.flush()?;
                shown = true;
            }
        }
    };
    if shown {
        write!(err, "\r\u{1b}[K")?;
        err.flush()?;
    }
    Ok(capsule)
}

fn progress(record: &Record) -> String {
    let (came, expected, took) = (record.received(), record.expected(), record.elapsed());
    if expected == 0 {
        let answered = record.exchanges().len();
        return format!("{answered} requests answered, {took:.1} s");
    }
    #[allow(clippy::cast_precision_loss)]
    let (part, left) = (
        came as f64 / expected as f64,
        expected.saturating_sub(came) as f64 * took / (came.max(1)) as f64,
    );
    format!(
        "{:3.0} %  {} of {}, {took:.1} s, about {left:.0} s to go",
        (part * 100.0).min(100.0),
        amount(came),
        amount(expected)
    )
}
