//! `ecr-warden demo`: placeholder.
