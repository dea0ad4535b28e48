//! Connections that the gateway opens by itself: to the address that it was given, and nowhere else.

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;
use url::{Host, Url};

/// Whether nobody on the way can read or change what is said: it is `https`, or `http` that does not leave this machine.
pub(crate) fn is_guarded(url: &Url) -> bool {
    let on_this_machine = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && on_this_machine
}

/// One that follows no redirect, which would take what is sent, signed or secret, to wherever it says; that the environment cannot send through
/// a proxy; and that with `tls` speaks nothing else. Without it no certificates of the machine are needed.
pub(crate) fn client(tls: bool) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("meshgate/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .https_only(tls)
        .tls_built_in_root_certs(tls)
        .http1_only()
}

/// The same for questions that are asked seldom, each over a connection of its own: one that is kept could be the one that has stopped answering,
/// or lead to where the address was.
pub(crate) fn seldom(tls: bool) -> ClientBuilder {
    client(tls).pool_max_idle_per_host(0)
}
