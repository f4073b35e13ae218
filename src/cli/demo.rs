//! `ecr-warden demo`: the real daemon against the built-in sandbox. And `sandbox` alone, for tests.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::runtime;
use crate::{
    model::schedule::parse_duration,
    sandbox::{self, Options, Upstream},
};

const HOST: &str = "localhost";

/// The flags of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// How long tokens live.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub token_life: Duration,
    /// Stop after so long; without it, at Ctrl-C.
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    pub stop_after: Option<Duration>,
}

/// The flags of `sandbox`.
#[derive(Debug, clap::Args)]
pub struct SandboxArgs {
    /// Where the AWS endpoint listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub aws: SocketAddr,
    /// Where the registry listens, with TLS.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub registry: SocketAddr,
    /// The registry's host name; may be given again.
    #[arg(long, default_value = "123456789012.dkr.ecr.eu-west-1.amazonaws.com")]
    pub host: Vec<String>,
    /// How long tokens live.
    #[arg(long, default_value = "12h", value_parser = duration)]
    pub token_life: Duration,
    /// Where the registry's authority is written, PEM.
    #[arg(long)]
    pub ca_file: PathBuf,
    /// A registry without credentials whose images are served, in place of the sandbox's own.
    #[arg(long, requires = "storage")]
    pub images: Option<SocketAddr>,
    /// The host name that its layers are redirected to.
    #[arg(long, requires = "images")]
    pub storage: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 90s, 5m or 6h".to_owned())
}

/// Serves until it is killed; the first line of output is JSON with the addresses.
pub fn serve(args: &SandboxArgs, out: &mut dyn Write) -> io::Result<u8> {
    let options = Options {
        aws: args.aws,
        registry: args.registry,
        hosts: args.host.clone(),
        token_life: args.token_life,
        ca_file: args.ca_file.clone(),
        certificate: sandbox::Certificate::default(),
        upstream: args
            .images
            .zip(args.storage.clone())
            .map(|(address, storage)| Upstream { address, storage }),
    };
    runtime()?.block_on(async {
        let sandbox = sandbox::start(&options).await?;
        writeln!(
            out,
            "{}",
            serde_json::json!({ "aws": sandbox.aws, "registry": sandbox.registry })
        )?;
        out.flush()?;
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(0)
    })
}

/// Starts sandbox and daemon, tells what happens, and cleans up after itself.
pub fn run(args: &DemoArgs, out: &mut dyn Write) -> io::Result<u8> {
    let folder = std::env::temp_dir().join(format!("ecr-warden-demo-{:08x}", fastrand::u32(..)));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let result = show(args, &folder, out);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn show(args: &DemoArgs, folder: &Path, out: &mut dyn Write) -> io::Result<u8> {
    let runtime = runtime()?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = Options {
        aws: loopback,
        registry: loopback,
        hosts: vec![HOST.to_owned()],
        token_life: args.token_life,
        ca_file: folder.join("ca.pem"),
        certificate: sandbox::Certificate::default(),
        upstream: None,
    };
    let sandbox = runtime.block_on(sandbox::start(&options))?;
    let registry = format!("{HOST}:{}", sandbox.registry.port());
    let config = folder.join("config.toml");
    let docker = folder.join("docker/config.json");
    std::fs::write(&config, configuration(folder, &sandbox, &registry))?;
    let mut daemon = start(&config)?;

    writeln!(
        out,
        "A primary account's registry at {registry}, an AWS at http://{}, tokens that live {} s.",
        sandbox.aws,
        args.token_life.as_secs()
    )?;
    writeln!(
        out,
        "The daemon has one registry, four outputs and a test pull. Without it, pulls would fail after {} s.\n",
        args.token_life.as_secs()
    )?;
    writeln!(out, "  configuration  {}", config.display())?;
    writeln!(out, "  for docker     {}", docker.display())?;
    writeln!(out, "  for podman     {}/auth.json", folder.display())?;
    writeln!(out, "  for containerd {}/certs.d/{registry}/hosts.toml", folder.display())?;
    writeln!(
        out,
        "  for helpers    printf {registry} | ECR_WARDEN_SOCKET={}/credentials.sock {} get",
        folder.display(),
        helper()?.display()
    )?;
    writeln!(out, "  its view       ecr-warden status --config {}", config.display())?;
    writeln!(
        out,
        "  try a pull     skopeo inspect --cert-dir {0} --authfile {1} docker://{registry}/app/web:1",
        folder.display(),
        docker.display()
    )?;
    writeln!(
        out,
        "  break it       curl -d '[\"throttle\"]' http://{0}/_sandbox/faults   (mend it: '[]'; also deny, skew, cut, broken)",
        sandbox.aws
    )?;
    writeln!(
        out,
        "                 curl -d '' http://{0}/_sandbox/forget               (the role was deleted: the token dies at once)",
        sandbox.aws
    )?;
    writeln!(
        out,
        "  break pulls    curl -d '[\"s3-denied\"]' http://{0}/_sandbox/refusals   (mend them: '[]'; also layer-resource, scp, kms, archived)",
        sandbox.aws
    )?;
    writeln!(out, "  a test pull    ecr-warden probe --config {}", config.display())?;
    writeln!(
        out,
        "\nWhat the daemon says{}:\n",
        if args.stop_after.is_some() { "" } else { " (stop with Ctrl-C)" }
    )?;
    out.flush()?;

    let lines = daemon.stderr.take().map(BufReader::new);
    let reader = std::thread::spawn(move || {
        for line in lines.into_iter().flat_map(BufReader::lines).map_while(Result::ok) {
            let _ = writeln!(io::stdout(), "  {line}");
        }
    });
    let began = Instant::now();
    let stopped = runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let limit = args.stop_after.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
        tokio::select! {
            () = tokio::time::sleep(limit) => {}
            _ = terminate.recv() => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok::<_, io::Error>(())
    });
    let ended = daemon.try_wait()?;
    let published = std::fs::read_to_string(&docker).is_ok_and(|text| text.contains(&registry));
    stop(&mut daemon)?;
    let _ = reader.join();
    stopped?;
    if ended.is_some() || !published {
        writeln!(out, "\nThe daemon ended by itself or published nothing: see its lines above.")?;
        return Ok(1);
    }
    let times = began.elapsed().as_secs() / args.token_life.as_secs().max(1);
    writeln!(
        out,
        "\nAfter {} s ({times} token lives) the output held a working credential. Everything is removed.",
        began.elapsed().as_secs()
    )?;
    Ok(0)
}

fn configuration(folder: &Path, sandbox: &sandbox::Sandbox, registry: &str) -> String {
    let folder = folder.display();
    format!(
        "[daemon]\nstate_directory = \"{folder}/state\"\nruntime_directory = \"{folder}/run\"\nlog_format = \"human\"\n\n\
         [metrics]\nlisten = \"127.0.0.1:0\"\n\n[refresh]\ncheck = \"5s\"\n\n\
         [identity.default]\nendpoint_url = \"http://{}\"\nca_file = \"{folder}/ca.pem\"\n\n\
         [[registry]]\nname = \"images\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"\nhosts = [\"{registry}\"]\n\n\
         [[output]]\nname = \"docker\"\nkind = \"docker-config\"\npath = \"{folder}/docker/config.json\"\n\n\
         [[output]]\nname = \"podman\"\nkind = \"containers-auth\"\npath = \"{folder}/auth.json\"\n\n\
         [[output]]\nname = \"containerd\"\nkind = \"containerd-hosts\"\npath = \"{folder}/certs.d\"\n\n\
         [[output]]\nname = \"helper\"\nkind = \"socket\"\npath = \"{folder}/credentials.sock\"\n\n\
         [[probe]]\nname = \"pull\"\nimage = \"{registry}/app/web:1\"\nplatform = \"linux/amd64\"\nschedule = \"5s\"\ncanary = true\n",
        sandbox.aws
    )
}

/// The credential helper that was built beside this program.
fn helper() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("docker-credential-ecr-warden"))
}

/// The daemon as its users start it, in a process of its own.
fn start(config: &Path) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg("run")
        .arg("--config")
        .arg(config)
        .env("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .env_remove("AWS_PROFILE")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

fn stop(daemon: &mut Child) -> io::Result<()> {
    if let Some(pid) = i32::try_from(daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let patience = Instant::now();
    while daemon.try_wait()?.is_none() {
        if patience.elapsed() > Duration::from_secs(3) {
            daemon.kill()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if let Some(rest) = daemon.stderr.as_mut() {
        let _ = rest.read_to_end(&mut Vec::new());
    }
    Ok(())
}
