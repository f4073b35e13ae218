//! A capsule comes from somebody else: whatever is in it, it is told without failing, and what it
//! says can't move the cursor. The bodies of refusals and manifests come from anywhere, too.
#![no_main]

use ecr_warden::{
    oci::{error, manifest::Manifest},
    probe::{capsule::Capsule, denial::Denial, report::Report},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(capsule) = Capsule::parse(text) {
        let report = Report::of(&capsule);
        let told = report.text();
        assert!(!told.chars().any(|c| c.is_control() && c != '\n'));
        let _ = (report.json(), report.exit());
    }
    let _ = error::messages(text);
    let _ = Denial::parse(text);
    let _ = Manifest::parse(text.as_bytes(), "");
});
