//! What the tests of this floor share: temporary products of every format, and queries over them.

use crate::id::{DomainName, PortId, PortName, ProductId, ProductName};

/// `claims.events`.
pub fn product() -> ProductId {
    ProductId { domain: DomainName::new("claims").expect("a name"), product: ProductName::new("events").expect("a name") }
}

/// Its port `name`.
pub fn port(name: &str) -> PortId {
    PortId { product: product(), major: 1, port: PortName::new(name).expect("a name") }
}
