//! The integration tests, in one binary, because linking the engine is slow.
//!
//! `harness` is the only way to a gateway; a test belongs to the file that names what it promises.

mod harness;
mod http;
mod identity;
mod metering;
