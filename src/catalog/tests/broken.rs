//! Broken files and the one line that is said about each.
