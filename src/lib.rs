//! meshgate: the SQL gateway of a data mesh.

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
pub mod policy;
pub mod ports;
pub mod query;
pub mod server;
pub mod system;
pub mod telemetry;
