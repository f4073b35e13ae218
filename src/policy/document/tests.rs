use proptest::prelude::*;

use super::{super::principal::Who, *};

fn mistakes(text: &str, kind: Kind) -> Vec<String> {
    parse(text, kind).unwrap_err().iter().map(ToString::to_string).collect()
}

/// A repository's policy of one statement with these members besides Effect and Action.
fn statement(members: &str) -> String {
    format!("{{\"Statement\":{{\"Effect\":\"Allow\",\"Action\":\"ecr:PutImage\",{members}}}}}")
}

/// The text without its marker `§`, and the marker's place.
fn marked(text: &str) -> (String, String) {
    let before = text.split('§').next().unwrap();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    (text.replace('§', ""), format!("{line}:{column}"))
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let of = |members: &str| statement(&format!("\"Principal\":\"*\",{members}"));
    for (text, what) in [
        ("§".to_owned(), "there is no policy in it"),
        ("{\n \"Statement\": [§}".to_owned(), "not JSON: expected a value, found '}'"),
        ("§[]".to_owned(), "a policy is an object, not a list"),
        ("§{}".to_owned(), "a policy needs the element Statement"),
        (
            "{\"Statement\":[],\"Version\":§\"2024-01-01\"}".to_owned(),
            "Version is \"2012-10-17\" or \"2008-10-17\", not \"2024-01-01\": it is the language's version, not the policy's date",
        ),
        (
            "{\"Statement\":[],\n§\"Statements\":1}".to_owned(),
            "a policy has no element \"Statements\"; did you mean \"Statement\"?",
        ),
        (
            "{§\"policyText\":\"\",\"Statement\":[]}".to_owned(),
            "this is the whole answer of the AWS CLI: take the policy out of it with --query policyText --output text",
        ),
        (
            of("§\"Principal\":\"*\""),
            "\"Principal\" is there twice: which of the two counts is not defined",
        ),
        (
            of("\"Sid\":\"é\",§\"principal\":\"*\""),
            "a statement has no element \"principal\"; did you mean \"Principal\"?",
        ),
        (of("\"NotAction\":§\"ecr:X\""), "Action and NotAction in one statement: keep one"),
        (
            "{\"Statement\":§{\"Effect\":\"Allow\",\"Action\":\"*\"}}".to_owned(),
            "a statement needs Principal or NotPrincipal",
        ),
        (
            statement("\"Principal\":§\"210987654321\""),
            "Principal is \"*\" or an object such as {\"AWS\": \"210987654321\"}, not the bare string \"210987654321\"",
        ),
        (
            statement("\"Principal\":{\"AWS\":§\"arn:aws:iam::account-id:root\"}"),
            "\"arn:aws:iam::account-id:root\" is no principal: twelve digits, arn:aws:iam::ACCOUNT:root, or the ARN of a role or user",
        ),
        (
            statement("\"Principal\":{\"AWS\":§\"arn:aws:iam::210987654321:role/ci-*\"}"),
            "\"arn:aws:iam::210987654321:role/ci-*\" has a wildcard: a principal is named in full, or is \"*\" alone (match many with aws:PrincipalArn in Condition)",
        ),
        (statement("\"Principal\":{\"AWS\":§[]}"), "Principal.AWS is an empty list"),
        (
            statement("\"Principal\":{\"AWS\":[§7]}"),
            "Principal.AWS is a string or a list of strings, not a number",
        ),
        (
            of("\"Condition\":{§\"StringEqual\":{\"aws:x\":\"a\"}}"),
            "there is no condition operator \"StringEqual\"; did you mean \"StringEquals\"?",
        ),
        (of("\"Condition\":{\"Bool\":{\"aws:x\":§\"yes\"}}"), "\"yes\" is not true or false"),
        (
            of("\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":§\"10.0.0.0/33\"}}"),
            "\"10.0.0.0/33\" is not an address or a range such as 203.0.113.0/24",
        ),
        (
            of("\"Condition\":{\"Null\":{\"aws:x\":§{}}}"),
            "a value of \"aws:x\" is a string, not an object",
        ),
        (
            "{\"Statement\":{\"Effect\":§\"allow\",\"Principal\":\"*\",\"Action\":\"*\"}}"
                .to_owned(),
            "Effect is \"Allow\" or \"Deny\", in exactly these letters, not \"allow\"",
        ),
        (
            "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":§\"PutImage\"}}"
                .to_owned(),
            "\"PutImage\" is no action: \"ecr:NAME\", with * and ? in it, or \"*\"",
        ),
    ] {
        let (text, place) = marked(&text);
        assert_eq!(mistakes(&text, Kind::Repository), [format!("{place}: {what}")], "{text}");
    }
    let text = "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"*\"}]}";
    assert_eq!(
        mistakes(text, Kind::Identity),
        [
            "1:15: a statement needs Resource or NotResource",
            "1:45: the identity policy has no principals: it applies to whoever it is attached to"
        ],
    );
}

#[test]
fn mistakes_are_told_all_at_once_in_their_order() {
    let text = "{\"Version\":\"x\",\n\"Statement\":[{\"Effect\":\"No\",\n\"Action\":1}]}";
    let lines: Vec<usize> =
        parse(text, Kind::Repository).unwrap_err().iter().map(|one| one.line).collect();
    assert_eq!(lines, [1, 2, 2, 3]);
}

#[test]
fn a_text_longer_than_ecr_takes_is_a_mistake_and_of_another_kind_it_is_not() {
    let policy = statement("\"Principal\":\"*\"");
    let long = format!("{policy}{}", " ".repeat(ECR_POLICY_CHARACTERS - policy.len()));
    assert!(parse(&long, Kind::Repository).is_ok());
    assert_eq!(
        mistakes(&format!("{long} "), Kind::Registry),
        ["1:1: 10241 characters: ECR takes 10240 at most, white space included"]
    );
    assert!(parse(&format!("{long} "), Kind::Endpoint).is_ok());
}

#[test]
fn the_ways_of_writing_one_thing_are_one_thing() {
    let of = |principal: &str| {
        let document = parse(&statement(&format!("\"Principal\":{principal}")), Kind::Repository);
        document.unwrap().statements[0].principals.clone().unwrap()
    };
    assert_eq!(of("\"*\""), of("{\"AWS\":[\"*\"]}"));
    assert_eq!(
        of("{\"AWS\":\"210987654321\"}"),
        of("{\"AWS\":\"arn:aws:iam::210987654321:root\"}")
    );
    assert_eq!(
        of("{\"AWS\":[\"AROAEXAMPLE123456789\"]}").listed(),
        [Who::UniqueId("AROAEXAMPLE123456789".to_owned())]
    );
}

proptest! {
    #[test]
    fn no_text_is_a_problem(text in "\\PC{0,200}") {
        for kind in Kind::ALL {
            if let Err(mistakes) = parse(&text, kind) {
                prop_assert!(!mistakes.is_empty());
            }
        }
    }

    /// Pieces of policies, put together at random.
    #[test]
    fn no_mixture_of_pieces_is_a_problem(pieces in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"Version\":\"2012-10-17\"", "\"Statement\":", "\"Effect\":\"Allow\"",
        "\"Action\":", "\"ecr:*\"", "\"Principal\":", "\"*\"", "{\"AWS\":\"210987654321\"}", "\"Condition\":",
        "{\"StringLike\":{\"aws:x\":\"${a,'b'}*\"}}", "\"Resource\":", "1", "null", "\"NotAction\":", "\n",
    ]), 0..24)) {
        for kind in Kind::ALL {
            if let Err(mistakes) = parse(&pieces.concat(), kind) {
                prop_assert!(!mistakes.is_empty());
            }
        }
    }
}
