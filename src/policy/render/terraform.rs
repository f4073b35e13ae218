//! The same policies as Terraform resources of the AWS provider.

use std::fmt::Write as _;

use super::{Piece, Plan, render};

/// The resources of a piece. The error says what the plan lacks.
pub fn terraform(plan: &Plan, piece: Piece) -> Result<String, String> {
    let mut text = String::new();
    match piece {
        Piece::Registry => {
            resource(&mut text, "aws_ecr_registry_policy", "ecr_warden", &[], plan, piece)?;
        }
        Piece::Repository => {
            if plan.repositories.is_empty() {
                return Err("a repository policy is one repository's: name it".to_owned());
            }
            if let Some(name) = plan.repositories.iter().find(|name| name.contains(['*', '?'])) {
                return Err(format!(
                    "{name}: a repository policy is one repository's, without wildcards"
                ));
            }
            for name in &plan.repositories {
                let head = [format!("repository = {}", quoted(name))];
                let label = label(name);
                resource(&mut text, "aws_ecr_repository_policy", &label, &head, plan, piece)?;
            }
        }
        Piece::Identity => {
            let head = ["name = \"ecr-warden\"".to_owned()];
            resource(&mut text, "aws_iam_policy", "ecr_warden", &head, plan, piece)?;
        }
        Piece::Audit => {
            let head = [
                "name = \"ecr-warden-audit\"".to_owned(),
                "role = aws_iam_role.ecr_warden_audit.id".to_owned(),
            ];
            resource(&mut text, "aws_iam_role_policy", "ecr_warden_audit", &head, plan, piece)?;
        }
        Piece::AuditTrust => {
            let policy = expression(plan, piece)?;
            let _ = writeln!(
                text,
                "resource \"aws_iam_role\" \"ecr_warden_audit\" {{\n  name               = \"ecr-warden-audit\"\n  assume_role_policy = {policy}\n}}"
            );
        }
    }
    Ok(text)
}

fn resource(
    text: &mut String,
    kind: &str,
    label: &str,
    head: &[String],
    plan: &Plan,
    piece: Piece,
) -> Result<(), String> {
    let policy = expression(plan, piece)?;
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "resource \"{kind}\" \"{label}\" {{");
    let width = head.iter().filter_map(|line| line.split(" = ").next()).map(str::len).max();
    let width = width.unwrap_or(0).max("policy".len());
    for line in head {
        let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
        let _ = writeln!(text, "  {name:<width$} = {value}");
    }
    let _ = writeln!(text, "  {:<width$} = {policy}\n}}", "policy");
    Ok(())
}

/// JSON is an expression of Terraform's, but for what begins a template in it.
fn expression(plan: &Plan, piece: Piece) -> Result<String, String> {
    let json = format!("{:#}", render(plan, piece)?);
    let escaped = json.replace("${", "$${").replace("%{", "%%{");
    Ok(format!("jsonencode({})", escaped.replace('\n', "\n  ")))
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A name that Terraform takes.
fn label(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("r_{plain}") } else { plain }
}
