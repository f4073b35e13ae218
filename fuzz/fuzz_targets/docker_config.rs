//! Whatever is in config.json: publishing and withdrawing leaves what was there, or refuses and
//! touches nothing.
#![no_main]

use std::{fs, path::Path, sync::LazyLock};

use ecr_warden::{
    model::{
        output::{OutputKind, OutputSpec},
        token::{AuthorizationToken, Token},
    },
    output::{self, Entries, Host, Ownership},
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use serde_json::Value;

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

/// On a filesystem in memory: every round writes.
static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let folder = format!("/dev/shm/ecr-warden-fuzz-{}", std::process::id());
    fs::create_dir_all(&folder).expect("a folder in memory");
    folder
});

fuzz_target!(|text: &[u8]| {
    let path = format!("{}/config.json", *FOLDER);
    fs::write(&path, text).expect("written");
    let spec = OutputSpec::new("fuzz", OutputKind::DockerConfig, path.clone());
    let secret = AuthorizationToken::of("AWS", &SecretString::from("password"));
    let fingerprint = secret.fingerprint();
    let token = Token { secret, minted: Timestamp::UNIX_EPOCH, expires: Timestamp::MAX };
    let output = output::build(&spec, &Host { prefix: Path::new("/"), state: Path::new("/nonexistent"), desk: None });
    let before: Option<Value> = serde_json::from_slice(text).ok();
    let had_it = before.as_ref().is_some_and(|json| !json["auths"][HOST].is_null());
    if output.publish(&Entries::from([(HOST.into(), token)]), &Ownership::new()).is_err() {
        assert_eq!(fs::read(&path).expect("still there"), text);
        return;
    }
    let published: Value =
        serde_json::from_slice(&fs::read(&path).expect("still there")).expect("JSON");
    assert_eq!(published["auths"][HOST]["auth"], "QVdTOnBhc3N3b3Jk");
    let ours = Ownership::from([(HOST.into(), vec![fingerprint])]);
    output.publish(&Entries::new(), &ours).expect("what was written can be withdrawn");
    let after: Value = serde_json::from_slice(&fs::read(&path).expect("still there")).expect("JSON");
    assert!(after["auths"][HOST].is_null());
    if let Some(mut before) = before.filter(|_| !had_it) {
        if before["auths"].is_null() {
            before["auths"] = Value::Object(serde_json::Map::new());
        }
        assert_eq!(after, before);
    }
});
