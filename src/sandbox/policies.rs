//! ECR's calls about repositories and policies. Whoever has assumed a role is somebody of the
//! primary account; everybody else is of another one.

use hyper::{StatusCode, body::Bytes};
use serde_json::{Value, json};

use super::{
    aws::{Answer, account_of, failure, json_answer},
    world::{Fault, World},
};

/// What is answered here.
pub(super) const OPERATIONS: [&str; 8] = [
    "DescribeRepositories",
    "GetRepositoryPolicy",
    "SetRepositoryPolicy",
    "DeleteRepositoryPolicy",
    "GetRegistryPolicy",
    "PutRegistryPolicy",
    "DeleteRegistryPolicy",
    "GetAccountSetting",
];

pub(super) fn answer(operation: &str, scope: &str, body: &Bytes, world: &World) -> Answer {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let of_primary = scope.contains("Credential=ASIASANDBOX");
    let account = account_of(&world.host);
    let of_registry = operation.contains("RegistryPolicy");
    let repository = if of_registry { String::new() } else { text("repositoryName") };
    if world.has(Fault::PolicyDeny) && !of_primary && operation.starts_with("Get") {
        return failure(
            "AccessDeniedException",
            &format!(
                "User: arn:aws:sts::210987654321:assumed-role/host/i-0sandbox is not authorized to perform: ecr:{operation} on resource: arn:aws:ecr:eu-west-1:{account}:repository/{repository} because no resource-based policy allows the ecr:{operation} action"
            ),
        );
    }
    if operation == "DescribeRepositories" {
        return list(&asked, world);
    }
    if operation == "GetAccountSetting" {
        let scope = if world.has(Fault::ScopeV1) { "V1" } else { "V2" };
        let answer = json!({ "name": text("name"), "value": scope });
        return json_answer(StatusCode::OK, &answer);
    }
    let known = world.repositories.contains_key(repository.as_str());
    if !of_registry && !known {
        return failure(
            "RepositoryNotFoundException",
            &format!(
                "The repository with name '{repository}' does not exist in the registry with id '{account}'"
            ),
        );
    }
    // These have no registryId: they speak of the caller's own registry, which has no policy.
    let kept = if of_registry && !of_primary {
        None
    } else {
        world.policies(|policies| match operation {
            "SetRepositoryPolicy" | "PutRegistryPolicy" => {
                policies.insert(repository.clone(), text("policyText"));
                policies.get(&repository).cloned()
            }
            "DeleteRepositoryPolicy" | "DeleteRegistryPolicy" => policies.remove(&repository),
            _ => policies.get(&repository).cloned(),
        })
    };
    let Some(policy) = kept else {
        let (kind, whose) = if of_registry {
            ("RegistryPolicyNotFoundException", "Registry policy".to_owned())
        } else {
            let whose = format!("Repository policy for the repository with name '{repository}'");
            ("RepositoryPolicyNotFoundException", whose)
        };
        return failure(
            kind,
            &format!("{whose} does not exist in the registry with id '{account}'"),
        );
    };
    let mut whole = json!({ "registryId": account, "policyText": policy });
    if !of_registry {
        whole["repositoryName"] = json!(repository);
    }
    json_answer(StatusCode::OK, &whole)
}

/// Two to a page, so that there are pages.
fn list(asked: &Value, world: &World) -> Answer {
    let account = account_of(&world.host);
    let from: usize = asked["nextToken"].as_str().and_then(|at| at.parse().ok()).unwrap_or(0);
    let page: Vec<Value> = world
        .repositories
        .keys()
        .skip(from)
        .take(2)
        .map(|name| {
            json!({
                "repositoryArn": format!("arn:aws:ecr:eu-west-1:{account}:repository/{name}"),
                "registryId": account, "repositoryName": name,
                "repositoryUri": format!("{}/{name}", world.host), "createdAt": 1_700_000_000.0,
            })
        })
        .collect();
    let next = from + page.len();
    let mut whole = json!({ "repositories": page });
    if next < world.repositories.len() {
        whole["nextToken"] = json!(next.to_string());
    }
    json_answer(StatusCode::OK, &whole)
}
