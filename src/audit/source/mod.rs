//! Where records come from, behind one trait: parcels of bytes, each given back when what is in it
//! is safe.

pub mod bucket;
pub mod files;
pub mod lookup;
pub mod notice;
pub mod queue;
pub mod slot;

use std::{future::Future, path::PathBuf, pin::Pin, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

use crate::model::outcome::Problem;

/// A boxed future, so that sources can be objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is read as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A file.
    File(PathBuf),
    /// Bytes, gz or plain.
    Bytes(Vec<u8>),
}

/// Some records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Where they are from: a path, a key, a window of time.
    pub name: String,
    /// The records.
    pub body: Body,
    /// What the source knows it by.
    pub receipt: String,
}

/// What a source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Some records.
    Parcel(Parcel),
    /// A log that can't be fetched and never will be, and what the source knows it by.
    Trouble {
        /// The log.
        name: String,
        /// Why.
        problem: Problem,
        /// What the source knows it by.
        receipt: String,
    },
    /// Nothing more for now; when to ask again at the earliest, where the source has a say in it.
    Nothing {
        /// The pause.
        pause: Option<Duration>,
    },
}

/// A source of records.
pub trait Source: Send {
    /// Which one it is: a checkpoint of another one does not count.
    fn name(&self) -> String;

    /// What is new.
    fn fetch(&mut self, now: Timestamp) -> BoxFuture<'_, Result<Fetched, Problem>>;

    /// What is in it is on the disk: it is not given again. `latest` is the last event in it.
    fn done<'a>(
        &'a mut self,
        receipt: &'a str,
        latest: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<(), Problem>>;

    /// Until when everything is looked at that can be seen.
    fn covered(&self) -> Option<Timestamp>;

    /// Where it stands, for the checkpoint.
    fn place(&self) -> Value;

    /// Goes to where it stood.
    fn go_to(&mut self, place: &Value);
}
