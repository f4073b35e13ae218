//! What the primary account's policies grant, how that differs from what they should, and whether
//! a request is allowed: all pure.
//!
//! - [`parse`] reads a document of any [`Kind`]: a [`Document`], or every mistake with its place.
//! - [`diff`] compares two documents of a kind that has principals, in what they grant.
//! - [`judge`] holds a live policy against its baseline, and says what the caller can do.
//! - [`prediction`] holds what policies allow against what a test pull saw.
//! - [`change`] finds who last changed a policy.
//! - [`job`] does that for whole registries, again and again; it alone is not pure.
//! - [`evaluate`] decides a [`Request`] by all [`Policies`] that have a say, and names the layer.
//! - [`lint`] finds what is wrong with a document that AWS may well have stored.
//! - [`render`] and [`terraform`] make the policies that both accounts need, out of a [`Plan`].

mod action;
mod baseline;
pub mod change;
mod condition;
mod document;
mod drift;
mod evaluate;
mod facts;
mod glob;
mod grants;
pub mod job;
mod json;
pub mod judge;
mod lint;
mod matching;
mod normal;
mod pattern;
pub mod prediction;
mod principal;
mod render;
mod universe;
mod witness;

pub use action::{
    ACTIONS, EcrAction, FUTURE_ACTIONS, PULL, PUSH, REGISTRY_V1, find as find_action,
};
pub use baseline::granting;
pub use document::{
    Action, Document, ECR_POLICY_CHARACTERS, Effect, Kind, Mistake, Named, Statement, Version,
    parse,
};
pub use drift::{Change, Comparison, Drift, Relation, Row, diff};
pub use evaluate::{
    Access, Deciding, Decision, Paste, Policies, Policy, RegistryScope, Request, Says, evaluate,
};
pub use facts::{Fact, Facts};
pub use lint::{Finding, Place, Severity, lint};
pub use principal::{Caller, Who, unique_id_kind};
pub use render::{Piece, Plan, Wanted, render, terraform};
