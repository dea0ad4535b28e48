//! meshgate: the SQL gateway of a data mesh.

// The gateway's own tests are run against broken builds of it too: see `mutants`.
#[cfg(test)]
extern crate self as meshgate;

pub mod access;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod error;
pub mod id;
pub mod identity;
pub mod metering;
mod outbound;
pub mod policy;
pub mod ports;
pub mod query;
mod records;
pub mod server;
pub mod system;
pub mod telemetry;
pub mod values;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod mutants;

#[cfg(test)]
#[path = "../tests/gateway/harness.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod harness;
#[cfg(test)]
#[path = "../tests/gateway/idp.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod idp;
#[cfg(test)]
#[path = "../tests/gateway/pairs/suite.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod pairs;
#[cfg(test)]
#[path = "../tests/gateway/raw.rs"]
#[allow(dead_code, reason = "the integration tests use all of it")]
mod raw;
