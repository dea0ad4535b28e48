//! meshgate's command line.

fn main() {}
