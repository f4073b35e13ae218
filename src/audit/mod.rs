//! Who uses the primary account's images, and was it us: `CloudTrail`'s records to findings.
//!
//! `source` -> `input` -> `splitter` -> `sift` -> `record` -> `rules` (pure) -> `journal`, `report`.

pub mod action;
pub mod actor;
pub mod checkpoint;
pub mod denial;
pub mod examine;
pub mod input;
pub mod job;
pub mod journal;
pub mod record;
pub mod report;
pub mod rules;
pub mod scan;
pub mod seen;
pub mod sift;
pub mod source;
pub mod splitter;
pub mod summary;
pub mod walk;
