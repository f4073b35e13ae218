//! Who uses the primary account's images, and was it us: `CloudTrail`'s records to findings.
//!
//! `input` -> `splitter` -> `sift` -> `record` -> `rules` (pure) -> `report`.

pub mod action;
pub mod actor;
pub mod denial;
pub mod examine;
pub mod input;
pub mod record;
pub mod report;
pub mod rules;
pub mod scan;
pub mod seen;
pub mod sift;
pub mod splitter;
pub mod summary;
pub mod walk;
