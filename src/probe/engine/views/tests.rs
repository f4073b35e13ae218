//! Every pair of views, and what it locates.

use super::*;
use crate::{
    model::image::Platform,
    oci::{
        phases::{Hop, Timings},
        trace::{Answer, Exchange},
    },
    probe::{
        Depth,
        capsule::{Capsule, NoToken, Stop},
        engine::{Seen, Words},
    },
};

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

/// Our own client's view: fine, or refused for this.
fn own(refused: Option<(u16, &str)>) -> Capsule {
    let (status, words) = refused.unwrap_or((200, ""));
    Capsule {
        version: 1,
        program: "test".into(),
        image: "h.example/app:1".into(),
        depth: Depth::FirstByte,
        reached: None,
        platform: Platform::parse("linux/amd64").unwrap(),
        started: jiff::Timestamp::UNIX_EPOCH,
        took: 1.0,
        registry: None,
        principal: None,
        token: None,
        no_token: None,
        stop: if refused.is_some() { Stop::Exchange(0) } else { Stop::Complete },
        bytes: 0,
        layers: None,
        exchanges: vec![Exchange {
            step: Step::Manifest,
            hop: Hop::Registry,
            method: "GET".into(),
            url: "https://h.example/v2/app/manifests/1".into(),
            credential: true,
            after: 0.0,
            address: None,
            proxy: None,
            certificate_until: None,
            timings: Timings::default(),
            answer: Some(Answer {
                status,
                said: Some(words.to_owned()),
                digest: Some(digest('a')),
                ..Answer::default()
            }),
            received: 0,
            failure: None,
        }],
    }
}

fn seen(manifest: Result<char, &str>, pull: Option<Pull>) -> Seen {
    Seen {
        engine: "docker".into(),
        credential: "/root/.docker/config.json".into(),
        to_pull: pull.is_some(),
        manifest: Some(manifest.map(digest).map_err(Words::said)),
        pull,
        ..Seen::default()
    }
}

fn told(engine: Seen, seen: Capsule) -> (&'static str, &'static str, String) {
    let judged = judge(&Trial { engine, seen });
    let code = judged.verdict.problem().map_or("", |problem| problem.reason.code());
    (judged.verdict.word(), code, judged.located.unwrap_or_default())
}

const UNTRUSTED: &str =
    "Get \"https://h.example/v2/\": x509: certificate signed by unknown authority";
const MISSING: Option<(u16, &str)> = Some((
    404,
    r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"Requested image not found"}]}"#,
));

#[test]
fn where_the_views_agree_nothing_is_located() {
    let done = Some(Pull::Done { fetched: 2, shared: 0 });
    for engine in [seen(Ok('a'), None), seen(Ok('a'), done)] {
        assert_eq!(told(engine, own(None)), ("ok", "", String::new()));
    }
}

#[test]
fn what_only_the_engine_meets_is_located_at_the_part_of_it_that_fails() {
    for (words, code, place) in [
        (UNTRUSTED, "tls_untrusted", "/etc/docker/certs.d/h.example/ca.crt"),
        (
            "proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused",
            "proxy_refused",
            "way to the registry",
        ),
        ("dial tcp: lookup h.example: no such host", "name_not_found", "resolver"),
        ("no basic auth credentials", "credential_missing", "/root/.docker/config.json"),
        (
            "denied: Your authorization token has expired. Reauthenticate and try again.",
            "token_expired",
            "/root/.docker/config.json",
        ),
        ("manifest unknown", "image_missing", "mirror"),
        ("something new", "engine_refused", "in docker"),
    ] {
        let (verdict, found, located) = told(seen(Err(words), None), own(None));
        assert_eq!((verdict, found), ("bad", code), "{words}");
        assert!(located.contains(place), "{words}: {located}");
    }
}

#[test]
fn what_both_meet_is_not_the_engines_and_what_only_we_meet_is_ours() {
    let (_, code, located) = told(seen(Err("manifest unknown"), None), own(MISSING));
    assert_eq!(code, "image_missing");
    assert!(located.contains("outside"), "{located}");
    let (verdict, _, located) = told(seen(Ok('a'), None), own(MISSING));
    assert_eq!(verdict, "ok", "the engine is what is asked about");
    assert!(located.contains("ecr-warden's own way"), "{located}");
    let (_, code, located) = told(seen(Err(UNTRUSTED), None), own(MISSING));
    assert_eq!(code, "tls_untrusted");
    assert!(located.contains("image_missing"), "{located}");
}

#[test]
fn a_pull_that_fails_after_its_manifest_is_about_layers_or_the_disk() {
    let failed = |words: &str| Some(Pull::Failed(Words::said(words)));
    let (_, code, located) = told(seen(Ok('a'), failed("no space left on device")), own(None));
    assert_eq!(code, "engine_disk_full");
    assert!(located.contains("disk"), "{located}");
    let words = "Get \"https://bucket.s3/x?sig=1\": dial tcp 1.2.3.4:443: i/o timeout";
    let (_, code, located) = told(seen(Ok('a'), failed(words)), own(None));
    assert_eq!(code, "connection_timeout");
    assert!(located.contains("the manifest came the same way"), "{located}");
}

#[test]
fn what_was_not_proven_is_not_called_fine() {
    let podman = |pull| Seen { engine: "podman".into(), manifest: None, ..seen(Ok('a'), pull) };
    assert_eq!(told(podman(None), own(None)).1, "engine_not_asked");
    assert_eq!(told(podman(Some(Pull::WasThere)), own(None)).1, "engine_not_asked");
    let little = Some(Pull::NoSpace("1 byte is free".into()));
    assert_eq!(told(seen(Ok('a'), little), own(None)).0, "unknown");
    let gone = Words { code: Some("engine_unreachable".into()), words: "no socket".into() };
    let engine = Seen { unreachable: Some(gone), manifest: None, ..seen(Ok('a'), None) };
    assert_eq!(told(engine, own(None)).0, "unknown");
    // Docker's own view counts, and what was there is said to be.
    let engine = seen(Ok('a'), Some(Pull::WasThere));
    assert_eq!(engine.reached(), Some(Depth::Manifest));
    assert_eq!(told(engine, own(None)).0, "ok");
}

#[test]
fn a_failure_on_the_way_is_not_the_engines_where_its_proxy_is_not_known() {
    let containerd =
        |words| Seen { engine: "containerd".into(), blind: true, ..seen(Err(words), None) };
    let (verdict, code, located) = told(containerd(UNTRUSTED), own(None));
    assert_eq!((verdict, code), ("unknown", "tls_untrusted"));
    assert!(located.contains("can't be read from here"), "{located}");
    // What the registry itself says holds on any way.
    assert_eq!(told(containerd("manifest unknown"), own(None)).0, "bad");
}

#[test]
fn another_image_a_wrong_one_and_one_that_stays_are_not_fine() {
    assert_eq!(told(seen(Ok('b'), None), own(None)).1, "engine_views_differ");
    let done = || Some(Pull::Done { fetched: 1, shared: 0 });
    let differs = vec!["it has 1 layers instead of 2".to_owned()];
    assert_eq!(
        told(Seen { differs, ..seen(Ok('a'), done()) }, own(None)).1,
        "engine_image_differs"
    );
    let cleaned = Some(Cleaned::Left(Words::said("no")));
    assert_eq!(told(Seen { cleaned, ..seen(Ok('a'), done()) }, own(None)).1, "engine_left_behind");
}

#[test]
fn without_a_credential_its_own_reason_is_told() {
    let no_credential =
        Some(Words { code: Some("credential_absent".into()), words: "no entry".into() });
    let engine = Seen { no_credential, ..seen(Err("no basic auth credentials"), None) };
    assert_eq!(told(engine, own(None)).1, "credential_absent");
    let no_credential =
        Some(Words { code: Some("helper_failed".into()), words: "it failed".into() });
    let engine = Seen { no_credential, manifest: None, ..seen(Ok('a'), None) };
    assert_eq!(told(engine, own(None)).1, "helper_failed");
    // What we could not tell ourselves is compared with nothing.
    let mut own = own(None);
    own.no_token = Some(NoToken { code: "throttled".into(), detail: String::new() });
    assert_eq!(told(seen(Err(UNTRUSTED), None), own).2, "");
}

mod whatever {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::engine::report::EngineReport;

    proptest! {
        #[test]
        fn an_engine_says_it_is_fine_only_if_it_got_the_manifest_or_the_image(
            words in "(x509: |dial tcp: |403 Forbidden|\\PC{0,20}){0,3}",
            manifest in 0_usize..3,
            pull in 0_usize..5,
            cleaned in 0_usize..5,
            to_pull in any::<bool>(),
            blind in any::<bool>(),
            refused in any::<bool>(),
        ) {
            let engine = Seen {
                manifest: [None, Some(Ok(digest('a'))), Some(Err(Words::said(&words)))][manifest].clone(),
                pull: [
                    None,
                    Some(Pull::WasThere),
                    Some(Pull::NoSpace(words.clone())),
                    Some(Pull::Done { fetched: 0, shared: 1 }),
                    Some(Pull::Failed(Words::said(&words))),
                ][pull]
                    .clone(),
                cleaned: [
                    None,
                    Some(Cleaned::Nothing),
                    Some(Cleaned::Removed),
                    Some(Cleaned::Kept(words.clone())),
                    Some(Cleaned::Left(Words::said(&words))),
                ][cleaned]
                    .clone(),
                to_pull,
                blind,
                ..seen(Ok('a'), None)
            };
            let trial = Trial { engine, seen: own(refused.then_some((403, &words))) };
            let (judged, report) = (judge(&trial), EngineReport::of(&trial));
            prop_assert!(!report.text().is_empty() && report.json().is_object());
            if judged.verdict == Verdict::Ok {
                let got = matches!(trial.engine.manifest, Some(Ok(_))) || pull == 3;
                prop_assert!(got && pull != 4 && pull != 2 && cleaned != 4, "{trial:?}");
            }
        }
    }
}
