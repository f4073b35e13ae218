//! Whatever two policies say: reading them ends, comparing them ends, and what is said of both
//! agrees with what is said of the one to the other. A separator (0xff can't be in a text, so `\u{0}`)
//! parts the two.
#![no_main]

use ecr_warden::policy::{
    Caller, Comparison, Facts, Kind, Place, Policies, Policy, Relation, Request, diff, evaluate,
    lint, parse,
};
use libfuzzer_sys::fuzz_target;

const REPOSITORY: &str = "arn:aws:ecr:eu-west-1:123456789012:repository/app";

fuzz_target!(|text: &str| {
    let (one, two) = text.split_once('\0').unwrap_or((text, text));
    for kind in Kind::ALL {
        if let Err(mistakes) = parse(one, kind) {
            assert!(!mistakes.is_empty() && mistakes.iter().all(|one| !one.what.is_empty()));
        }
    }
    let (Ok(one), Ok(two)) = (parse(one, Kind::Registry), parse(two, Kind::Registry)) else { return };
    let _ = lint(&one, &Place::default());
    if let Comparison::Decided(drift) = diff(&one, &one, None) {
        assert_eq!(drift.relation, Relation::Equivalent);
    }
    let there = diff(&one, &two, Some(REPOSITORY));
    let back = diff(&two, &one, Some(REPOSITORY));
    if let (Comparison::Decided(there), Comparison::Decided(back)) = (&there, &back) {
        let turned = match there.relation {
            Relation::Broader => Relation::Narrower,
            Relation::Narrower => Relation::Broader,
            same => same,
        };
        assert_eq!(back.relation, turned);
        assert_eq!(there.rows.is_empty(), there.relation == Relation::Equivalent);
    }
    for principal in ["*", "arn:aws:sts::210987654321:assumed-role/r/s", "123456789012"] {
        let Ok(caller) = Caller::parse(principal) else { continue };
        let request = Request::new(caller, "ecr:BatchGetImage", REPOSITORY, Facts::default());
        let ask = |document: &ecr_warden::policy::Document| {
            let policies = Policies {
                known: vec![Policy { name: String::new(), document: document.clone() }],
                ..Policies::default()
            };
            evaluate(&request, &policies).access
        };
        let (before, after) = (ask(&one), ask(&two));
        if matches!(&there, Comparison::Decided(drift) if drift.relation == Relation::Equivalent) {
            use ecr_warden::policy::Access::Undecided;
            assert!(before == after || before == Undecided || after == Undecided, "{principal}");
        }
    }
});
