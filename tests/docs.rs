//! The pages keep up with the code.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeSet, fs};

use ecr_warden::model::reason::Reason;

#[test]
fn every_reason_has_a_section_in_the_runbook_and_no_section_is_stray() {
    let page = fs::read_to_string("docs/runbook.md").unwrap();
    let sections: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|name| !name.contains(' '))
        .collect();
    let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(sections, codes);
}

#[test]
fn alerts_and_dashboard_ask_only_for_metrics_that_exist() {
    let known = fs::read_to_string("docs/metrics.md").unwrap();
    for file in ["monitoring/ecr-warden.rules.yml", "monitoring/dashboard.json"] {
        let text = fs::read_to_string(file).unwrap();
        for part in text.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
            if part.starts_with("ecr_warden_") {
                let base = part
                    .trim_end_matches("_bucket")
                    .trim_end_matches("_count")
                    .trim_end_matches("_sum");
                assert!(known.contains(&format!("`{base}`")), "{file}: {part}");
            }
        }
    }
}
