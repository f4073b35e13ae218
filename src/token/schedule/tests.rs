use proptest::prelude::*;

use super::*;

const PLAN: Plan = Plan {
    at: 0.5,
    spread: 0.1,
    check: Check::Every(Duration::from_secs(900)),
    verify: true,
    place: 0.0,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn holding(standing: Standing) -> Facts {
    Facts {
        held: Some((at(0), at(43_200), standing)),
        candidate: None,
        source_changed: false,
        credentials_expire: None,
        trouble: None,
    }
}

#[test]
fn without_a_token_one_is_minted_at_once() {
    let facts = Facts { held: None, ..holding(Standing::Untried) };
    assert_eq!(decide(at(0), &PLAN, &facts), Step::Mint(Why::Missing));
    assert_eq!(decide(at(43_200), &PLAN, &holding(Standing::Untried)), Step::Mint(Why::Missing));
}

#[test]
fn a_token_is_replaced_at_half_of_its_life_and_not_before() {
    let plan = Plan { verify: false, ..PLAN };
    let facts = holding(Standing::Accepted(at(0)));
    assert_eq!(decide(at(21_599), &plan, &facts), Step::Rest(Duration::from_secs(2)));
    assert_eq!(decide(at(21_600), &plan, &facts), Step::Mint(Why::Due));
}

#[test]
fn a_fleet_spreads_its_refreshes_over_a_tenth_of_the_life() {
    let last = Plan { place: 0.999, ..PLAN };
    assert_eq!(refresh_at(&PLAN, at(0), at(43_200)), at(21_600));
    assert_eq!(refresh_at(&last, at(0), at(43_200)).as_second(), at(25_915).as_second());
}

#[test]
fn the_published_token_is_tried_every_check_interval() {
    let plan = Plan { spread: 0.0, ..PLAN };
    let facts = holding(Standing::Accepted(at(100)));
    assert_eq!(decide(at(100), &plan, &facts), Step::Rest(Duration::from_secs(901)));
    assert_eq!(decide(at(1_000), &plan, &facts), Step::TryHeld(Why::Due));
}

#[test]
fn a_cron_schedule_tries_at_each_wake_and_sets_no_alarm_of_its_own() {
    let plan = Plan { check: Check::WhenWoken, ..PLAN };
    let facts = holding(Standing::Accepted(at(100)));
    assert_eq!(decide(at(100), &plan, &facts), Step::Rest(Duration::from_secs(21_501)));
    assert_eq!(decide(at(160), &plan, &facts), Step::TryHeld(Why::Due));
}

#[test]
fn rotated_credentials_and_a_changed_principal_have_the_token_tried() {
    let facts = Facts { source_changed: true, ..holding(Standing::Accepted(at(0))) };
    assert_eq!(decide(at(1), &PLAN, &facts), Step::TryHeld(Why::SourceChanged));
}

#[test]
fn the_look_after_a_rotation_is_not_left_to_chance() {
    let plan = Plan { verify: false, ..PLAN };
    let facts = Facts { credentials_expire: Some(at(50)), ..holding(Standing::Accepted(at(0))) };
    assert_eq!(decide(at(10), &plan, &facts), Step::Rest(Duration::from_secs(41)));
}

#[test]
fn a_refused_token_is_replaced_at_once() {
    assert_eq!(decide(at(1), &PLAN, &holding(Standing::Refused)), Step::Mint(Why::Refused));
}

#[test]
fn a_new_token_is_tried_before_anything_else_happens_to_it() {
    let facts = Facts { candidate: Some(Standing::Untried), ..holding(Standing::Accepted(at(0))) };
    assert_eq!(decide(at(21_600), &PLAN, &facts), Step::TryCandidate);
}

#[test]
fn failures_back_off_and_tighten_towards_expiry() {
    let failed = Facts { trouble: Some(Trouble::Mint), ..holding(Standing::Accepted(at(42_000))) };
    let plan = Plan { verify: false, ..PLAN };
    let pause = |now| match decide(at(now), &plan, &failed) {
        Step::BackOff(pause) => pause.as_secs(),
        step => panic!("{step:?}"),
    };
    assert_eq!([pause(22_000), pause(40_000), pause(43_000), pause(43_199)], [600, 400, 25, 1]);
    let none = Facts { held: None, trouble: Some(Trouble::Mint), ..failed };
    assert_eq!(decide(at(0), &plan, &none), Step::BackOff(URGENT_RETRY));
}

#[test]
fn a_registry_that_refuses_fresh_tokens_is_not_answered_with_a_storm_of_new_ones() {
    for held in [None, holding(Standing::Refused).held] {
        let facts =
            Facts { held, trouble: Some(Trouble::FreshRefused), ..holding(Standing::Untried) };
        assert_eq!(decide(at(0), &PLAN, &facts), Step::BackOff(REFUSED_RETRY));
    }
}

#[test]
fn a_token_that_cannot_be_tried_does_not_push_out_one_that_works() {
    let held = holding(Standing::Accepted(at(0))).held;
    assert_eq!(settle(at(100), Standing::Unknown, held), Settled::Hold);
    assert_eq!(settle(at(42_000), Standing::Unknown, held), Settled::Publish);
    assert_eq!(settle(at(100), Standing::Unknown, None), Settled::Publish);
    assert_eq!(settle(at(100), Standing::Refused, held), Settled::Drop);
    assert_eq!(settle(at(100), Standing::Refused, None), Settled::Drop);
    assert_eq!(settle(at(100), Standing::Accepted(at(100)), held), Settled::Publish);
}

#[test]
fn an_expiry_that_cannot_be_right_counts_as_twelve_hours_from_arrival() {
    assert_eq!(plausible_expiry(at(0), Some(at(43_200))), (at(43_200), true));
    assert_eq!(plausible_expiry(at(0), Some(at(-1))), (at(43_200), false));
    assert_eq!(plausible_expiry(at(0), Some(at(90_000))), (at(43_200), false));
    assert_eq!(plausible_expiry(at(0), None), (at(43_200), false));
}

fn standings() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Untried),
        Just(Standing::Refused),
        Just(Standing::Unknown),
        (0_i64..90_000).prop_map(|tried| Standing::Accepted(at(tried))),
    ]
}

fn troubles() -> impl Strategy<Value = Option<Trouble>> {
    prop_oneof![
        Just(None),
        Just(Some(Trouble::Mint)),
        Just(Some(Trouble::FreshRefused)),
        Just(Some(Trouble::Registry)),
    ]
}

proptest! {
    /// Whatever the facts: a look ends (trouble is never answered with the same attempt), and
    /// neither a rest nor a pause is shorter than a second or longer than the token's life.
    #[test]
    fn no_facts_lead_to_a_hot_loop(
        now in 0_i64..90_000,
        held in proptest::option::of((0_i64..40_000, 1_i64..90_000, standings())),
        candidate in proptest::option::of(standings()),
        source_changed: bool,
        rotation in proptest::option::of(0_i64..90_000),
        trouble in troubles(),
        place in 0.0_f64..1.0,
        verify: bool,
    ) {
        let plan = Plan { verify, place, ..PLAN };
        let facts = Facts {
            held: held.map(|(minted, life, standing)| (at(minted), at(minted + life), standing)),
            candidate,
            source_changed,
            credentials_expire: rotation.map(at),
            trouble,
        };
        match decide(at(now), &plan, &facts) {
            Step::Rest(pause) | Step::BackOff(pause) => {
                prop_assert!(pause >= Duration::from_secs(1), "{pause:?}");
                prop_assert!(pause <= Duration::from_secs(90_001), "{pause:?}");
            }
            Step::Mint(_) => {
                prop_assert!(!matches!(trouble, Some(Trouble::Mint | Trouble::FreshRefused)));
            }
            Step::TryHeld(_) | Step::TryCandidate => {
                prop_assert!(trouble != Some(Trouble::Registry));
            }
        }
    }
}

#[test]
fn ten_thousand_hosts_that_start_together_do_not_come_back_together() {
    use crate::model::host_id::HostId;
    let life = 43_200;
    let mut per_second = std::collections::BTreeMap::<i64, u32>::new();
    let mut calls = 0_u32;
    for host in 0..10_000 {
        let place = HostId::new(format!("i-{host:017x}")).spread("token:default:eu-west-1");
        let plan = Plan { place, ..PLAN };
        let mut minted = at(0);
        loop {
            minted = refresh_at(&plan, minted, later(minted, Duration::from_secs(life)));
            let second = minted.as_second() - at(0).as_second();
            if second >= 7 * 86_400 {
                break;
            }
            *per_second.entry(second).or_default() += 1;
            calls += 1;
        }
    }
    let peak = per_second.values().max().copied().unwrap_or(0);
    // The quota of GetAuthorizationToken is 200 a second for an account and region.
    assert!(peak <= 20, "{peak} in one second");
    assert!(calls <= 10_000 * 4 * 7, "{calls} in a week");
}
