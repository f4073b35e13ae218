//! What can't be provoked on one machine, from capsules as they would look.

use proptest::prelude::*;

use super::*;
use crate::{
    model::image::Platform,
    oci::{
        error::{Failure, Unconnected, Unresolved},
        phases::Timings,
        trace::Answer,
    },
    probe::{Depth, capsule::RegistryFacts},
};

pub(in crate::probe) fn exchange(hop: Hop, step: Step, address: Option<&str>) -> Exchange {
    Exchange {
        step,
        hop,
        method: "GET".into(),
        url: "https://h/v2/app/manifests/1".into(),
        credential: true,
        after: 0.0,
        address: address.map(|address| address.parse().unwrap()),
        proxy: None,
        certificate_until: None,
        timings: Timings::default(),
        answer: None,
        received: 0,
        failure: None,
    }
}

pub(in crate::probe) fn capsule(exchange: Exchange) -> Capsule {
    Capsule {
        version: 1,
        program: "test".into(),
        image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1".into(),
        depth: Depth::Full,
        reached: None,
        platform: Platform::parse("linux/amd64").unwrap(),
        started: jiff::Timestamp::UNIX_EPOCH,
        took: 1.0,
        registry: Some(RegistryFacts {
            account: "123456789012".into(),
            region: "eu-west-1".into(),
        }),
        principal: None,
        token: None,
        no_token: None,
        stop: Stop::Exchange(0),
        bytes: 0,
        layers: None,
        exchanges: vec![exchange],
    }
}

fn code(exchange: Exchange) -> &'static str {
    diagnose(&capsule(exchange)).verdict.problem().map_or("ok", |problem| problem.reason.code())
}

#[test]
fn the_way_is_told_by_its_stage_and_the_storages_way_apart_from_the_registrys() {
    let timeout = || Failure::Slow { phase: Phase::Connect, seconds: 5 };
    let unreachable =
        || Failure::Connect { why: Unconnected::Unreachable, words: "no route".into() };
    let unresolved = |why| Failure::Resolve { why, words: String::new() };
    for (hop, address, failure, expected) in [
        (Hop::Registry, None, unresolved(Unresolved::NoSuchName), "name_not_found"),
        (Hop::Registry, None, unresolved(Unresolved::Failing), "resolver_failing"),
        (Hop::Registry, Some("10.0.0.1:443"), timeout(), "connection_timeout"),
        (Hop::Registry, Some("10.0.0.1:443"), unreachable(), "connection_timeout"),
        (Hop::Registry, Some("52.1.2.3:443"), timeout(), "public_address_unreachable"),
        (Hop::Storage, Some("52.1.2.3:443"), timeout(), "storage_unreachable"),
        (Hop::Storage, None, unresolved(Unresolved::NoSuchName), "name_not_found"),
    ] {
        let mut exchange = exchange(hop, Step::Manifest, address);
        exchange.failure = Some(failure.clone());
        assert_eq!(code(exchange), expected, "{hop:?} {address:?} {failure:?}");
    }
}

#[test]
fn a_whole_uri_as_the_repositorys_name_is_recognised() {
    let mut wrong = exchange(Hop::Registry, Step::Manifest, None);
    wrong.answer = Some(Answer {
        status: 404,
        said: Some("{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"x\"}]}".into()),
        ..Answer::default()
    });
    let mut capsule = capsule(wrong);
    capsule.image = "h.example/123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1".into();
    assert!(diagnose(&capsule).or_else.unwrap().contains("whole URI"));
}

proptest! {
    #[test]
    fn no_answer_makes_it_fail_and_none_is_called_fine(
        status in 300_u16..600,
        said in "(\\{\"errors\":\\[\\{\"code\":\"[A-Z_]{0,12}\",\"message\":\")?[\\PC]{0,60}",
        storage: bool,
    ) {
        let hop = if storage { Hop::Storage } else { Hop::Registry };
        let mut exchange = exchange(hop, Step::Layer, None);
        exchange.answer = Some(Answer { status, said: Some(said), ..Answer::default() });
        prop_assert!(diagnose(&capsule(exchange)).verdict.problem().is_some());
    }
}
