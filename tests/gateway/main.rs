//! The integration tests, in one binary, because linking the engine is slow.
//!
//! `harness` is the only way to a gateway; a test belongs to the file that names what it promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails where it stands")]

mod access;
mod audit;
mod budgets;
mod canary;
mod catalogs;
#[path = "catalogue/suite.rs"]
mod catalogue;
mod disk;
mod finance;
mod flight;
mod harness;
mod http;
mod identity;
mod idp;
mod jwks;
mod jwt;
mod kills;
mod leaks;
mod metering;
mod nested;
mod noninterference;
#[path = "pairs/suite.rs"]
mod pairs;
mod policies;
mod ports;
mod postgres;
mod published;
mod quote;
mod raw;
mod s3;
mod slt;
mod what_if;
