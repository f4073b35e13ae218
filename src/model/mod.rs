//! The vocabulary: what the other rooms talk about. Pure: no clock, no I/O, nothing of ours imported.

pub mod audit;
pub mod clock;
pub mod host_id;
pub mod identity;
pub mod image;
pub mod outcome;
pub mod output;
pub mod policy;
pub mod principal;
pub mod probe;
pub mod reason;
pub mod registry;
pub mod schedule;
pub mod token;
