//! The integration tests, in one binary, because linking the engine is slow.
