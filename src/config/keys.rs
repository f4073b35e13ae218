//! Every table and key of the configuration, as data.

use crate::model::{
    image::{ImageRef, Platform},
    output::OutputKind,
    probe::{Depth, Engine, Rung, parse_bytes},
    registry::{is_account, partition_of_region},
    schedule::{Schedule, parse_duration},
};

/// What a key's value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A number between these two.
    Fraction(f64, f64),
    /// A whole number between these two.
    Count(u32, u32),
    /// An amount of bytes such as "20GB".
    Bytes,
    /// An image with its registry's host.
    Image,
    /// `OS/ARCHITECTURE[/VARIANT]`.
    Platform,
    /// A duration such as "90s", between these two (in seconds).
    Duration(u64, u64),
    /// A duration or a cron expression.
    Schedule,
    /// An absolute path.
    Path,
    /// An absolute path, or one below the owner's home: `~/...`.
    HomePath,
    /// `ADDRESS:PORT`, or "off".
    Listen,
    /// Twelve digits.
    Account,
    /// A region's name.
    Region,
    /// A role's ARN.
    RoleArn,
    /// An `http://` or `https://` URL.
    Url,
    /// Octal, as text: "0640".
    Mode,
    /// A name made of letters, digits and `._:@/+-`.
    Name,
    /// A list of host names, each with or without a port.
    Hosts,
    /// A list of names.
    Names,
    /// A program and its arguments.
    Arguments,
    /// A list of texts, with `*` and `?`.
    Patterns,
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds when it is absent, in words or as TOML.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// How often a table may stand in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[name]`, once.
    Single,
    /// `[name.NAME]`.
    Named,
    /// `[[name]]`, merged by their `name`.
    List,
}

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How often it may stand.
    pub shape: Shape,
    /// What it is for.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

const YEAR: u64 = 365 * 86_400;

/// The words for `kind` of an output.
const OUTPUT_KINDS: &[&str] = &{
    let mut words = [""; OutputKind::ALL.len()];
    let mut index = 0;
    while index < words.len() {
        words[index] = OutputKind::ALL[index].word();
        index += 1;
    }
    words
};

/// The whole configuration.
pub const TABLES: &[Table] = &[
    Table {
        name: "daemon",
        shape: Shape::Single,
        doc: "The daemon itself. Changes take effect after a restart.",
        keys: &[
            key(
                "state_directory",
                Kind::Path,
                "\"/var/lib/ecr-warden\"",
                "Where tokens and the ledger of what was published are kept over a restart.",
            ),
            key(
                "runtime_directory",
                Kind::Path,
                "\"/run/ecr-warden\"",
                "Where the socket is made.",
            ),
            key(
                "socket",
                Kind::Path,
                "control.sock in runtime_directory",
                "The unix socket that `status` asks.",
            ),
            key(
                "host_prefix",
                Kind::Path,
                "none",
                "Where the host's root is mounted, when the daemon runs in a container: put before every output's path.",
            ),
            key(
                "log_format",
                Kind::Word(&["auto", "human", "json", "journald"]),
                "\"auto\"",
                "How log lines are written; auto is journald under systemd, else human.",
            ),
            key(
                "log_level",
                Kind::Word(&["error", "warn", "info", "debug", "trace"]),
                "\"info\"",
                "What is logged.",
            ),
        ],
    },
    Table {
        name: "metrics",
        shape: Shape::Single,
        doc: "The metrics and health listener.",
        keys: &[
            key("listen", Kind::Listen, "\"127.0.0.1:9876\"", "Address and port, or \"off\"."),
            key(
                "web_config_file",
                Kind::Path,
                "none",
                "TLS and basic authentication, in the format of Prometheus's exporter-toolkit.",
            ),
        ],
    },
    Table {
        name: "refresh",
        shape: Shape::Single,
        doc: "When tokens are replaced and tried.",
        keys: &[
            key(
                "at",
                Kind::Fraction(0.1, 0.9),
                "0.5",
                "The fraction of a token's life after which it is replaced.",
            ),
            key(
                "spread",
                Kind::Fraction(0.0, 0.5),
                "0.1",
                "The fraction of its life over which a fleet spreads the replacement, by a hash of the host's id.",
            ),
            key(
                "check",
                Kind::Schedule,
                "\"15m\"",
                "How often the published token is tried against the registry, and outputs are read back.",
            ),
            key(
                "verify",
                Kind::Bool,
                "true",
                "Whether tokens are tried against the registry (GET /v2/) before they are published.",
            ),
        ],
    },
    Table {
        name: "identity",
        shape: Shape::Named,
        doc: "Where AWS credentials come from. `default` always exists and is the SDK's default chain: environment, profile, web identity, ECS, EC2.",
        keys: &[
            key("profile", Kind::Text, "none", "A profile of the shared AWS configuration files."),
            key("role_arn", Kind::RoleArn, "none", "A role to assume."),
            key(
                "external_id",
                Kind::Text,
                "none",
                "The external id that the role's trust policy asks for.",
            ),
            key("session_name", Kind::Text, "ecr-warden-HOST", "The role session's name."),
            key("source", Kind::Name, "\"default\"", "The identity that assumes the role."),
            key(
                "duration",
                Kind::Duration(900, 43_200),
                "AWS's default (1 hour)",
                "How long a role session lasts.",
            ),
            key("region", Kind::Region, "the registry's region", "The region whose STS is asked."),
            key("fips", Kind::Bool, "false", "Use FIPS endpoints of AWS APIs."),
            key("dual_stack", Kind::Bool, "false", "Use dual-stack endpoints of AWS APIs."),
            key(
                "endpoint_url",
                Kind::Url,
                "AWS's own",
                "An endpoint in place of AWS's, for every service.",
            ),
            key("proxy", Kind::Url, "HTTPS_PROXY", "An HTTP proxy for AWS calls."),
            key(
                "ca_file",
                Kind::Path,
                "none",
                "Certificate authorities trusted besides the system's, PEM.",
            ),
        ],
    },
    Table {
        name: "registry",
        shape: Shape::List,
        doc: "A registry whose images this host pulls. Account and region, or one of its host names, are enough.",
        keys: &[
            key(
                "name",
                Kind::Name,
                "ACCOUNT.REGION",
                "The name in metrics, status and `registries`.",
            ),
            key("account", Kind::Account, "from hosts", "The primary account."),
            key("region", Kind::Region, "from hosts", "The registry's region."),
            key(
                "public",
                Kind::Bool,
                "false",
                "ECR Public (public.ecr.aws) instead of an account's registry.",
            ),
            key("identity", Kind::Name, "\"default\"", "The identity that mints its tokens."),
            key(
                "hosts",
                Kind::Hosts,
                "the standard host name",
                "Host names that consumers use, aliases included. `*` stands for any part of a label: such a name is served by the socket only, for the credential helper and the kubelet.",
            ),
            key("fips", Kind::Bool, "false", "The FIPS host name."),
            key("dual_stack", Kind::Bool, "false", "The dual-stack host name."),
        ],
    },
    Table {
        name: "output",
        shape: Shape::List,
        doc: "A place where tokens are published for a consumer.",
        keys: &[
            key("name", Kind::Name, "KIND:PATH", "The name in metrics and status."),
            key("kind", Kind::Word(OUTPUT_KINDS), "required", "What is written."),
            key(
                "path",
                Kind::HomePath,
                "where the kind's consumer looks, see docs/outputs.md",
                "The file, the folder or the socket. `~/` is the owner's home.",
            ),
            key("owner", Kind::Name, "root, or the daemon's user", "The user whose file it is."),
            key("group", Kind::Name, "the owner's", "The group of a new file."),
            key("mode", Kind::Mode, "\"0600\"", "The mode of a new file."),
            key("registries", Kind::Names, "all", "The registries published here."),
            key("template", Kind::Path, "required for template", "The template's file."),
            key(
                "command",
                Kind::Arguments,
                "required for command",
                "The program (an absolute path) and its arguments; no shell is involved.",
            ),
            key(
                "timeout",
                Kind::Duration(1, 600),
                "\"10s\"",
                "How long the command may take before it is killed.",
            ),
            key("users", Kind::Names, "none", "For socket: users who may ask besides root."),
            key(
                "groups",
                Kind::Names,
                "none",
                "For socket: groups whose members may ask. Members of the first may also read what is kept for the time when the daemon does not run.",
            ),
            key(
                "restart_command",
                Kind::Arguments,
                "none",
                "For ecs-config: what restarts the ECS agent, run after a change and only while no task is being placed.",
            ),
        ],
    },
    Table {
        name: "policy",
        shape: Shape::Single,
        doc: "Whether the primary account's policies grant what they should, and what this host can do by them. Off without a baseline and without repositories.",
        keys: &[
            key(
                "interval",
                Kind::Duration(60, 7 * 86_400),
                "\"6h\"",
                "Every repository is looked at so often; calls are spread over it.",
            ),
            key(
                "audit_identity",
                Kind::Name,
                "none",
                "An identity in the primary account, for what no other account may read: the registry's own policy. Also asked for repositories that this host may not read.",
            ),
            key(
                "repositories",
                Kind::Patterns,
                "those named by baselines",
                "More repositories that this host uses, each as REGISTRY/REPOSITORY with the registry's configured name: what it can do there is told.",
            ),
        ],
    },
    Table {
        name: "policy.baseline",
        shape: Shape::List,
        doc: "What the policies of some repositories, or of the registry itself, must grant and may grant.",
        keys: &[
            key("name", Kind::Name, "none", "A name, by which a later file can change it."),
            key("registry", Kind::Name, "the only one", "The registry's configured name."),
            key(
                "repositories",
                Kind::Patterns,
                "none: the registry's own policy",
                "Whose policies these are. Patterns need a reader who may call ecr:DescribeRepositories. Of several baselines that fit, the first counts.",
            ),
            key("file", Kind::Path, "none", "A policy file that says it."),
            key(
                "pull",
                Kind::Names,
                "none",
                "Instead of a file: who may pull, as ARNs or accounts.",
            ),
            key(
                "push",
                Kind::Names,
                "none",
                "Instead of a file: who may push, as ARNs or accounts.",
            ),
            key(
                "mode",
                Kind::Word(&["exact", "at-least", "at-most"]),
                "\"at-least\"",
                "Whether a policy must grant just that, may grant more, or may grant less.",
            ),
        ],
    },
    Table {
        name: "audit",
        shape: Shape::Single,
        doc: "Who uses the images, out of CloudTrail. The rules also count for `ecr-warden audit scan`.",
        keys: &[
            key(
                "source",
                Kind::Word(&["off", "files", "s3", "lookup-events"]),
                "\"off\"",
                "Where the daemon gets records from; see docs/audit.md for which one is for a fleet.",
            ),
            key("identity", Kind::Name, "\"default\"", "The identity that asks AWS."),
            key(
                "region",
                Kind::Region,
                "the first registry's",
                "The region of the event history, the bucket or the queue.",
            ),
            key(
                "interval",
                Kind::Duration(60, 86_400),
                "\"5m\"",
                "How often it is looked; with own_events at least as seldom as fleet asks for.",
            ),
            key(
                "back",
                Kind::Duration(3600, 90 * 86_400),
                "\"1d\"",
                "How far back the first run looks.",
            ),
            key("folder", Kind::Path, "required for files", "The folder of log files."),
            key("bucket", Kind::Text, "required for s3", "The trail's bucket."),
            key(
                "prefix",
                Kind::Text,
                "required for s3 without queue",
                "What the keys begin with, down to the region: \"AWSLogs/ACCOUNT/CloudTrail/REGION/\".",
            ),
            key(
                "queue",
                Kind::Url,
                "none",
                "The SQS queue of the bucket's notifications: any number of auditors share it.",
            ),
            key(
                "own_events",
                Kind::Bool,
                "true",
                "For lookup-events: only what this host's own role session did. false is for one auditor per account and region.",
            ),
            key(
                "fleet",
                Kind::Fraction(1.0, 1000.0),
                "100",
                "For own_events: how many hosts of the account do the same. More need s3 with queue.",
            ),
            key(
                "journal",
                Kind::Word(&["file", "stdout", "log"]),
                "\"file\"",
                "Where findings are written: a file of their own, standard output, or the log.",
            ),
            key(
                "journal_file",
                Kind::Path,
                "audit/journal.jsonl in the state directory",
                "The journal's file: JSON lines.",
            ),
            key(
                "journal_megabytes",
                Kind::Fraction(1.0, 100_000.0),
                "64",
                "The journal's size when a new one is begun.",
            ),
            key("journal_keep", Kind::Fraction(0.0, 1000.0), "8", "How many older ones are kept."),
            key(
                "journal_events",
                Kind::Word(&["findings", "all"]),
                "\"findings\"",
                "Whether every event of ECR is written, with its record.",
            ),
            key(
                "journal_fields",
                Kind::Word(&["own", "ecs"]),
                "\"own\"",
                "The names of fields: those of docs/audit.md, or the Elastic Common Schema's.",
            ),
            key(
                "learn",
                Kind::Duration(0, 90 * 86_400),
                "\"7d\"",
                "How long principals, accounts, regions and repositories are learned before a new one is a finding.",
            ),
            key("rules_off", Kind::Names, "none", "Rules that are switched off."),
            key(
                "accounts",
                Kind::Names,
                "none",
                "Accounts that may pull; with it a pull by any other is a finding.",
            ),
            key(
                "roles",
                Kind::Patterns,
                "none",
                "Our hosts' own roles, by name or ARN; with it their use under another session's name is a finding.",
            ),
            key(
                "hosts",
                Kind::Patterns,
                "[\"i-*\", \"ecr-warden-*\"]",
                "What the role sessions of our hosts are called.",
            ),
            key(
                "probe_repositories",
                Kind::Patterns,
                "none",
                "Repositories that only test pulls use: left out of the counts.",
            ),
            key(
                "kms_keys",
                Kind::Patterns,
                "those that ECR gets grants on",
                "KMS keys that repositories are encrypted with.",
            ),
        ],
    },
    Table {
        name: "audit.expect",
        shape: Shape::List,
        doc: "What is normal. As soon as there is one of these, every call that none of them fits is a finding.",
        keys: &[
            key("name", Kind::Name, "none", "A name, by which a later file can change it."),
            key(
                "principals",
                Kind::Patterns,
                "required",
                "Who: ARNs of roles and users, accounts, or unique ids.",
            ),
            key(
                "actions",
                Kind::Patterns,
                "required",
                "What: token, pull, push, delete, create, policy, setting, template, pull-through, lifecycle, replication, scanning, read, or an API's name such as \"ecr:PutImage\".",
            ),
            key("repositories", Kind::Patterns, "all", "Where."),
        ],
    },
    Table {
        name: "probe",
        shape: Shape::List,
        doc: "A test pull on a schedule, through ecr-warden's own client, where nothing is written, or an engine; or a rehearsed push. See docs/probe.md.",
        keys: &[
            key("name", Kind::Name, "the image", "The name in metrics and status."),
            key(
                "image",
                Kind::Image,
                "required",
                "What is pulled: an image of a configured registry. Best a canary: a small image of its own that nobody runs.",
            ),
            key(
                "depth",
                Kind::Word(Depth::WORDS),
                "\"first-byte\", with an engine \"manifest\"",
                "How far down: the manifest, a byte of the largest layer, or all layers.",
            ),
            key(
                "engine",
                Kind::Word(Engine::WORDS),
                "none",
                "The engine that does it, with the credential that its client would send; depth is then manifest or full, and what a full pull brought is removed again.",
            ),
            key(
                "socket",
                Kind::Path,
                "where the engine usually listens",
                "The engine's socket, such as /run/k3s/containerd/containerd.sock.",
            ),
            key(
                "push",
                Kind::Word(Rung::WORDS),
                "none",
                "A push is rehearsed in place of a pull, so far; only image leaves something for a moment, and needs ecr:BatchDeleteImage.",
            ),
            key(
                "platform",
                Kind::Platform,
                "this host's",
                "The platform whose image is looked for.",
            ),
            key(
                "schedule",
                Kind::Schedule,
                "\"15m\"",
                "How often; a fleet spreads over it, with a cron expression over ten minutes after it fires.",
            ),
            key(
                "timeout",
                Kind::Duration(1, 86_400),
                "\"30s\", for full \"10m\"",
                "How long it may take.",
            ),
            key(
                "failures_to_alarm",
                Kind::Count(1, 100),
                "2",
                "So many runs in a row must fail before status and alerts say so; meanwhile it is tried again sooner.",
            ),
            key(
                "identity",
                Kind::Name,
                "the registry's",
                "Whose token is used: a role of its own can be exempted from ECR's record of last pulls, one that workloads share must not be.",
            ),
            key(
                "canary",
                Kind::Bool,
                "false",
                "The image is there for probes alone, so it does no harm that they count as pulls.",
            ),
        ],
    },
    Table {
        name: "probing",
        shape: Shape::Single,
        doc: "What all test pulls of this host share.",
        keys: &[
            key("at_once", Kind::Count(1, 100), "10", "So many run at the same time."),
            key(
                "keep",
                Kind::Count(1, 1000),
                "10",
                "So many results of each are kept in memory, with their requests as far as 8 MiB go.",
            ),
            key(
                "bytes_per_day",
                Kind::Bytes,
                "\"20GB\"",
                "What all of them may transfer in 24 hours. Beyond it a full pull ends at the first byte.",
            ),
            key(
                "requests_per_day",
                Kind::Count(1, 10_000_000),
                "50000",
                "How many requests all of them may make in 24 hours. Beyond it none is made.",
            ),
            key(
                "price_per_gb",
                Kind::Fraction(0.0, 1000.0),
                "0.045",
                "US dollars for a GB on the way of this host, for the estimate of `check`. The default is a NAT gateway's in us-east-1; 0 with an S3 gateway endpoint in the registry's region.",
            ),
        ],
    },
];

impl Kind {
    /// What is expected, in words.
    pub fn expected(self) -> String {
        match self {
            Self::Text => "text that is not empty".into(),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                quoted.join(", ")
            }
            Self::Bool => "true or false".into(),
            Self::Fraction(low, high) => format!("a number from {low} to {high}"),
            Self::Count(low, high) => format!("a whole number from {low} to {high}"),
            Self::Bytes => "an amount such as \"500MB\" or \"20GB\"".into(),
            Self::Image => "an image with its registry: HOST/REPOSITORY[:TAG][@DIGEST]".into(),
            Self::Platform => "a platform such as \"linux/arm64\"".into(),
            Self::Duration(low, high) if high >= YEAR => {
                format!("a duration such as \"90s\", \"5m\" or \"6h\", at least {low} s")
            }
            Self::Duration(low, high) => {
                format!("a duration such as \"90s\", \"5m\" or \"6h\", from {low} s to {high} s")
            }
            Self::Schedule => {
                "a duration (\"15m\", \"every 15m\") or a cron expression of 5 or 6 fields".into()
            }
            Self::Path => "an absolute path".into(),
            Self::HomePath => "an absolute path, or one that begins with ~/".into(),
            Self::Listen => "ADDRESS:PORT such as \"127.0.0.1:9876\", or \"off\"".into(),
            Self::Account => "an account id of 12 digits, in quotes".into(),
            Self::Region => "a region such as \"eu-west-1\"".into(),
            Self::RoleArn => "a role's ARN such as \"arn:aws:iam::123456789012:role/name\"".into(),
            Self::Url => "an http:// or https:// URL".into(),
            Self::Mode => "an octal mode in quotes such as \"0640\"".into(),
            Self::Name => "a name of letters, digits and . _ : @ / + -".into(),
            Self::Hosts => {
                "a list of host names, with `*` at most in labels before the last two".into()
            }
            Self::Names => "a list of names".into(),
            Self::Arguments => "a list of texts, the program first".into(),
            Self::Patterns => "a list of texts, in which * and ? stand for anything".into(),
        }
    }

    /// Whether a text is such a value.
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Text | Self::Patterns => !text.trim().is_empty(),
            Self::Arguments => !text.contains('\0'),
            Self::Word(words) => words.contains(&text),
            Self::Duration(low, high) => {
                parse_duration(text).is_some_and(|d| (low..=high).contains(&d.as_secs()))
            }
            Self::Schedule => Schedule::parse(text).is_ok(),
            Self::Path => text.starts_with('/'),
            Self::HomePath => text.starts_with('/') || text.starts_with("~/"),
            Self::Listen => text == "off" || text.parse::<std::net::SocketAddr>().is_ok(),
            Self::Account => is_account(text),
            Self::Region => partition_of_region(text).is_some(),
            Self::RoleArn => is_role_arn(text),
            Self::Url => {
                let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
                rest.is_some_and(|rest| {
                    !rest.is_empty()
                        && !rest.starts_with(['/', ':'])
                        && !text.contains(char::is_whitespace)
                })
            }
            Self::Mode => is_mode(text),
            Self::Name | Self::Names => {
                let fine = |c: char| c.is_alphanumeric() || "._:@/+-".contains(c);
                !text.is_empty() && text.len() <= 128 && text.chars().all(fine)
            }
            Self::Bytes => parse_bytes(text).is_some(),
            Self::Image => ImageRef::parse(text).is_ok(),
            Self::Platform => Platform::parse(text).is_some(),
            Self::Hosts => is_host(text) || is_pattern_of_hosts(text),
            Self::Bool | Self::Fraction(..) | Self::Count(..) => false,
        }
    }

    /// Whether the value is a list.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Hosts | Self::Names | Self::Arguments | Self::Patterns)
    }
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
        if partition.starts_with("aws") && is_account(account)
            && role.strip_prefix("role/").is_some_and(|name| !name.is_empty()))
}

fn is_mode(text: &str) -> bool {
    (3..=4).contains(&text.len()) && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o777)
}

/// A host name with an optional port.
/// With `*` in it, but not in its last two labels: a credential must not go to just any host.
fn is_pattern_of_hosts(text: &str) -> bool {
    let fixed = text.rsplit('.').take_while(|label| !label.contains('*')).count();
    fixed >= 2 && is_host(&text.replace('*', "x"))
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(label)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}
