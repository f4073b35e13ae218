//! Whatever was answered: nothing that was not seen to be allowed is called fine.

use proptest::prelude::*;

use super::*;
use crate::{
    model::image::Platform,
    oci::{phases::Timings, trace::Answer},
    probe::Depth,
};

const STEPS: [Step; 12] = [
    Step::Manifest,
    Step::PlatformManifest,
    Step::Config,
    Step::Layer,
    Step::BlobCheck,
    Step::UploadStart,
    Step::UploadPart,
    Step::UploadComplete,
    Step::UploadAbandon,
    Step::ManifestPut,
    Step::ManifestDelete,
    Step::Exchange,
];

const WORDS: [&str; 8] = [
    "",
    r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#,
    r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"Requested image not found"}]}"#,
    r#"{"errors":[{"code":"LayerAlreadyExistsException","message":"there"}]}"#,
    r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired."}]}"#,
    r#"{"errors":[{"code":"DENIED","message":"User: a is not authorized to perform: ecr:PutImage on resource: r because no identity-based policy allows the ecr:PutImage action"}]}"#,
    r#"{"errors":[{"code":"LayersNotFoundException","message":"gone"}]}"#,
    "<html>",
];

fn exchange(
    (step, status, said, method, storage, broken): (usize, u16, usize, usize, bool, bool),
) -> Exchange {
    Exchange {
        step: STEPS[step % STEPS.len()],
        hop: if storage { Hop::Storage } else { Hop::Registry },
        method: ["GET", "HEAD", "PUT"][method % 3].into(),
        url: "https://h.example/v2/app".into(),
        credential: true,
        after: 0.0,
        address: None,
        proxy: None,
        certificate_until: None,
        timings: Timings::default(),
        answer: (!broken).then(|| Answer {
            status,
            said: Some(WORDS[said % WORDS.len()].to_owned()),
            ..Answer::default()
        }),
        received: 0,
        failure: broken.then(|| Failure::Exchange { why: Broken::HungUp, words: "eof".into() }),
    }
}

proptest! {
    #[test]
    fn what_is_fine_was_seen_to_be_allowed(
        seen in proptest::collection::vec(
            (0_usize..12, prop_oneof![Just(200_u16), Just(202), Just(307), 400_u16..430, Just(500)], 0_usize..8, 0_usize..3, prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
            0..14,
        ),
        rung in 0_usize..5,
    ) {
        let exchanges: Vec<Exchange> = seen.into_iter().map(exchange).collect();
        let rung = Rung::ALL[rung];
        let stop = first_trouble(&exchanges, rung).map_or(Stop::Complete, Stop::Exchange);
        let rehearsal = Rehearsal {
            push: rung,
            left: None,
            seen: Capsule {
                version: 1,
                program: "test".into(),
                image: "h.example/app:1".into(),
                depth: Depth::Manifest,
                reached: None,
                platform: Platform::parse("linux/amd64").unwrap(),
                started: jiff::Timestamp::UNIX_EPOCH,
                took: 1.0,
                registry: None,
                principal: None,
                token: None,
                no_token: None,
                stop,
                bytes: 0,
                layers: None,
                exchanges,
            },
        };
        let judged = judge(&rehearsal);
        prop_assert_eq!(judged.standings.len(), PUSH_ACTIONS.len());
        if judged.diagnosis.verdict == Verdict::Ok {
            for standing in &judged.standings {
                let wanted = rung_of(standing.action) <= Some(rung);
                prop_assert!(!wanted || standing.state == State::Allowed, "{standing:?}");
                prop_assert!(standing.state != State::Denied, "{standing:?}");
            }
        }
        for standing in &judged.standings {
            let explained = matches!(standing.state, State::Allowed | State::NotReached);
            prop_assert!(explained || standing.reason.is_some(), "{standing:?}");
        }
    }
}
