use super::{
    super::{
        Access, Caller, Comparison, Facts, Kind, PULL, PUSH, Policies, Policy, Relation, Request,
        Severity, diff, evaluate, lint, parse,
    },
    *,
};

const ROLE: &str = "arn:aws:iam::210987654321:role/ecsInstanceRole";

fn plan(wanted: Wanted, principal: &str) -> Plan {
    Plan {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
        principals: vec![principal.to_owned()],
        wanted,
        repositories: Vec::new(),
        read_policy: false,
        external_id: None,
    }
}

fn policy(plan: &Plan, piece: Piece, kind: Kind) -> Policy {
    let text = render(plan, piece).unwrap().to_string();
    Policy { name: kind.word().to_owned(), document: parse(&text, kind).unwrap() }
}

#[test]
fn the_articles_policies_come_out() {
    for (piece, kind, file) in [
        (Piece::Registry, Kind::Registry, "article-registry.json"),
        (Piece::Repository, Kind::Repository, "article-repository.json"),
    ] {
        let article = std::fs::read_to_string(format!("tests/fixtures/policies/{file}")).unwrap();
        let rendered = render(&plan(Wanted::Both, "210987654321"), piece).unwrap();
        assert_eq!(format!("{rendered:#}\n"), article, "{file}");
        let compared = diff(
            &parse(&article, kind).unwrap(),
            &policy(&plan(Wanted::Both, "210987654321"), piece, kind).document,
            None,
        );
        assert!(
            matches!(compared, Comparison::Decided(drift) if drift.relation == Relation::Equivalent)
        );
    }
}

#[test]
fn what_is_rendered_allows_what_is_wanted_and_no_more() {
    let resource = |name: &str| format!("arn:aws:ecr:eu-west-1:123456789012:repository/{name}");
    for wanted in [Wanted::Pull, Wanted::Push, Wanted::Both] {
        for principal in ["210987654321", ROLE] {
            for (piece, kind) in
                [(Piece::Registry, Kind::Registry), (Piece::Repository, Kind::Repository)]
            {
                let mut plan = plan(wanted, principal);
                plan.repositories = vec!["app/*".to_owned()];
                plan.read_policy = true;
                let policies = Policies {
                    known: vec![
                        policy(&plan, Piece::Identity, Kind::Identity),
                        policy(&plan, piece, kind),
                    ],
                    ..Policies::default()
                };
                for one in &policies.known {
                    let findings = lint(&one.document, &super::super::Place::default());
                    assert!(
                        findings.iter().all(|one| one.severity == Severity::Note),
                        "{findings:?}"
                    );
                }
                let allowed = |arn: &str, action: &str, name: &str| {
                    let caller = Caller::parse(arn).unwrap();
                    let request = Request::new(caller, action, &resource(name), Facts::default());
                    evaluate(&request, &policies).access == Access::Allowed
                };
                let pulls = PULL.iter().all(|one| allowed(ROLE, one, "app/web"));
                let pushes = PUSH.iter().all(|one| allowed(ROLE, one, "app/web"));
                assert_eq!((pulls, pushes), (wanted != Wanted::Push, wanted != Wanted::Pull));
                assert!(allowed(ROLE, "ecr:GetAuthorizationToken", "app/web"));
                assert!(allowed(ROLE, "ecr:GetRepositoryPolicy", "app/web"));
                assert!(
                    !allowed(ROLE, PULL[0], "other")
                        && !allowed(ROLE, "ecr:BatchDeleteImage", "app/web")
                );
                assert!(!allowed("arn:aws:iam::999999999999:role/x", PULL[0], "app/web"));
            }
        }
    }
}

#[test]
fn what_can_not_be_rendered_is_refused() {
    for principal in ["*", "AROAEXAMPLE123456789", "account-id", "arn:aws:iam::210987654321:role/*"]
    {
        assert!(render(&plan(Wanted::Pull, principal), Piece::Registry).is_err(), "{principal}");
    }
    let mut many = plan(Wanted::Pull, ROLE);
    many.principals = (0..300)
        .map(|n| format!("arn:aws:iam::210987654321:role/a-rather-long-name-{n}"))
        .collect();
    assert!(render(&many, Piece::Repository).unwrap_err().contains("10240 at most"));
    many.repositories = vec!["app/*".to_owned()];
    assert!(terraform(&many, Piece::Repository).unwrap_err().contains("one repository's"));
}
