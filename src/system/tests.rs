//! The catalogs against what clients send. The queries are the clients' own, as captured on the wire.
