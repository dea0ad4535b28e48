//! `meshgate demo`: the arguments, and the preparation with its progress. Serving is `serve`'s.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Failure;
use crate::demo::{Prepared, prepare};

/// Generate the NorthPeak example mesh where it is missing, and serve it
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The folder of the demo; what is already there is kept
    #[arg(long, default_value = "demo")]
    pub dir: PathBuf,
    /// How much data: 1 is about 100,000 customers
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// The PostgreSQL door
    #[arg(long, value_name = "ADDR")]
    pub postgres: Option<SocketAddr>,
    /// The Flight SQL door
    #[arg(long, value_name = "ADDR")]
    pub flight: Option<SocketAddr>,
    /// The HTTP door
    #[arg(long, value_name = "ADDR")]
    pub http: Option<SocketAddr>,
}

impl Args {
    /// Writes what is missing, and says so on standard error: in place on a terminal, line by line elsewhere.
    pub async fn prepare(&self) -> Result<Prepared, Failure> {
        let in_place = io::stderr().is_terminal();
        let mut said = false;
        let mut progress = |step: &str| {
            said = true;
            // Standard error may be gone; the work goes on.
            let _ = match in_place {
                true => write!(io::stderr(), "\r\x1b[K{step} …"),
                false => writeln!(io::stderr(), "{step}"),
            };
        };
        let prepared = prepare(&self.dir, self.scale, &mut progress).await;
        if said && in_place {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        prepared.map_err(|fault| {
            let more = [fault.detail(), fault.hint()].into_iter().flatten().map(|sentence| format!("\n{sentence}")).collect::<String>();
            Failure::failed(format!("{fault}{more}"))
        })
    }
}
