//! The pages keep up with the code.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeSet, fs};

use clap::CommandFactory as _;
use ecr_warden::{cli::Cli, model::reason::Reason};

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

#[test]
fn the_command_line_page_is_what_help_says() {
    let mut page = String::from(
        "# Command line\n\nGenerated from `--help`. Exit codes: 0 fine, 1 the thing asked about is not fine, 2 it could not be asked, 3 undecided.\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    add(&mut root, &mut page);
    let path = "docs/cli.md";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &page).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), page, "run with UPDATE_GOLDEN=1");
}

fn add(command: &mut clap::Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or("ecr-warden").to_owned();
    let help = command.render_help().to_string();
    let trimmed = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    page.extend(["\n## `", &name, "`\n\n```\n", trimmed.trim(), "\n```\n"]);
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(sub) = command.find_subcommand_mut(&name) {
            add(sub, page);
        }
    }
}
