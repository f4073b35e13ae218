//! What a configuration says must hold, as a document. Pure.

use serde_json::json;

use super::{Document, Kind, Mistake, PULL, PUSH, parse};

/// The document that lets these principals pull, and those push: a statement for each, with
/// [`PULL`]'s and [`PUSH`]'s actions. `resource`: the ARN pattern of a registry policy's statements.
///
/// Errors: a principal that is none, with its place in the text that stands for the lists.
pub fn granting(
    kind: Kind,
    pull: &[String],
    push: &[String],
    resource: Option<&str>,
) -> Result<Document, Vec<Mistake>> {
    let statement = |principals: &[String], actions: &[&str]| {
        (!principals.is_empty()).then(|| {
            let mut one = json!({
                "Effect": "Allow", "Principal": { "AWS": principals }, "Action": actions,
            });
            if let Some(resource) = resource {
                one["Resource"] = json!(resource);
            }
            one
        })
    };
    let statements: Vec<_> =
        [statement(pull, PULL), statement(push, PUSH)].into_iter().flatten().collect();
    if statements.is_empty() {
        return Ok(Document::empty(kind));
    }
    parse(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string(), kind)
}
