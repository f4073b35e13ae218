//! No text of a configuration file makes the reader fail; what is wrong has a place in it.
#![no_main]

use std::path::{Path, PathBuf};

use ecr_warden::config::{fragment, settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut mistakes = Vec::new();
    let file = Path::new("fuzz.toml");
    let fragment = fragment::parse(file, text, &mut mistakes);
    settings::build(vec![fragment], vec![PathBuf::from(file)], &mut mistakes);
    let lines = text.lines().count() + 1;
    for mistake in &mistakes {
        assert!(mistake.place.line <= lines, "{mistake}");
        assert!(!mistake.message.is_empty());
    }
});
