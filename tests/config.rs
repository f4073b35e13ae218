//! The configuration as its users see it: what is shipped is valid, each mistake is told in one
//! line with its place, and all of them at once.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use ecr_warden::{
    cli::check::{self, CheckArgs},
    config::{self, describe, dropin::Sources},
};
use proptest::prelude::*;

fn toml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

fn load(file: &Path) -> Result<config::settings::Loaded, Vec<config::Mistake>> {
    config::load(&Sources::new(vec![file.to_owned()]))
}

#[test]
fn every_shipped_file_and_example_is_valid_and_matches_the_schema() {
    let schema = jsonschema::validator_for(&describe::schema()).unwrap();
    for file in toml_files("config").into_iter().chain(toml_files("config/examples")) {
        load(&file).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let table: toml::Table = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let json = serde_json::to_value(table).unwrap();
        let errors: Vec<String> =
            schema.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", file.display());
    }
}

#[test]
fn the_keys_that_shipped_files_only_mention_are_valid_too() {
    for file in toml_files("config") {
        let text = fs::read_to_string(&file).unwrap();
        let uncommented: String = text
            .lines()
            .map(|line| {
                line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
            })
            .fold(String::new(), |all, line| all + line + "\n");
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("x.toml");
        fs::write(&copy, uncommented).unwrap();
        load(&copy).unwrap_or_else(|mistakes| panic!("{}: {mistakes:?}", file.display()));
    }
}

#[test]
fn each_mistake_is_told_with_its_place_its_reason_and_what_to_do() {
    for file in toml_files("tests/fixtures/config/bad") {
        let text = fs::read_to_string(&file).unwrap();
        let expected: Vec<String> = text
            .lines()
            .map_while(|line| line.strip_prefix("# expect: "))
            .map(|line| format!("{}:{line}", file.display()))
            .collect();
        let mistakes = load(&file).expect_err(&file.display().to_string());
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        if file.ends_with("syntax.toml") {
            assert!(told[0].starts_with(expected[0].trim_end()), "{told:?}");
        } else {
            assert_eq!(told, expected);
        }
    }
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("10.toml"), "[refresh]\nat = 2\nchekc = 1\n").unwrap();
    fs::write(folder.path().join("20.toml"), "[metrics\n").unwrap();
    fs::write(folder.path().join("30.toml"), "[[output]]\nkind = \"dockr\"\n").unwrap();
    let mut out = Vec::new();
    let args = CheckArgs { schema: false, json: false };
    let code = check::run(&args, vec![folder.path().to_owned()], &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, 2);
    for place in ["10.toml:2:6", "10.toml:3:1", "20.toml:1:", "30.toml:2:8"] {
        assert!(text.contains(place), "{place} in {text}");
    }
}

#[test]
fn check_shows_what_is_in_force_and_where_it_came_from_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("10.toml");
    fs::write(
        &first,
        "[refresh]\nat = 0.4\ncheck = \"5m\"\n[identity.default]\nproxy = \"http://u:hush@p:1\"\n",
    )
    .unwrap();
    fs::write(folder.path().join("20.toml"), "[refresh]\nat = 0.3\n").unwrap();
    let mut out = Vec::new();
    let args = CheckArgs { schema: false, json: false };
    assert_eq!(check::run(&args, vec![folder.path().to_owned()], &mut out).unwrap(), 0);
    let text = String::from_utf8(out).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("at = 0.3").ends_with("20.toml:2:6"), "{text}");
    assert!(line("check = \"5m\"").ends_with("10.toml:3:9"), "{text}");
    assert!(line("# verify = true").ends_with("# default"), "{text}");
    assert!(!text.contains("hush") && text.contains("REDACTED"), "{text}");
}

#[test]
fn registries_and_outputs_of_the_same_name_merge_across_files_and_others_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let registry =
        "[[registry]]\nname = \"a\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"\n";
    fs::write(folder.path().join("10.toml"), registry).unwrap();
    let more = "[[registry]]\nname = \"a\"\nregion = \"us-east-1\"\n[[registry]]\npublic = true\n";
    fs::write(folder.path().join("20.toml"), more).unwrap();
    let loaded = config::load(&Sources::new(vec![folder.path().to_owned()])).unwrap();
    let hosts: Vec<&str> =
        loaded.settings.registries.iter().map(|registry| registry.hosts[0].as_str()).collect();
    assert_eq!(hosts, ["123456789012.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws"]);
}

proptest! {
    #[test]
    fn no_text_is_more_than_a_list_of_mistakes(text in "\\PC{0,60}|(\\[{1,2}(daemon|registry|output|identity|x)\\]{0,2}\n|[a-z_]{1,9} = (\"[^\"]{0,9}\"|[0-9.]{1,5}|\\[\\]|true|\\{\\})\n){0,8}") {
        let mut mistakes = Vec::new();
        let fragment = config::fragment::parse(Path::new("x.toml"), &text, &mut mistakes);
        config::settings::build(vec![fragment], Vec::new(), &mut mistakes);
    }
}
