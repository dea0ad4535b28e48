//! `meshgate serve`: runs the gateway until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, demo, load_config, print_line, runtime};
use crate::app::{Addresses, App};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo::{Doors, welcome};
use crate::telemetry::{LogFormat, start_log};

/// Serve the catalog until SIGTERM or Ctrl-C
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    start_log(match args.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    });
    let config = load_config(args.config.as_deref())?;
    run_to_its_end(serve(config, |_| ()))
}

/// When the gateway has stopped there is nothing to wait for: a name that is being looked up may hold a thread for minutes.
fn run_to_its_end(gateway: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let ended = runtime.block_on(gateway);
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// `meshgate demo`: writes what is missing of the example mesh, and serves it.
pub(super) fn demo(args: &demo::Args) -> Result<(), Failure> {
    start_log(LogFormat::Text);
    run_to_its_end(async {
        let prepared = args.prepare().await?;
        let config = Config::load(&prepared.config()).map_err(Failure::failed)?;
        let config = config.with_doors(args.postgres, args.flight, args.http).map_err(Failure::failed)?;
        let greet = |at: &Addresses| print_line(&welcome(&prepared, Doors { postgres: at.postgres, flight: at.flight }));
        serve(config, greet).await
    })
}

/// Serves `config`. `ready` is called once the doors are open and their addresses are printed.
pub(super) async fn serve(config: Config, ready: impl FnOnce(&Addresses)) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    let app = App::build(config, Clock::system()).await.map_err(Failure::failed)?;
    let addresses = app.addresses();
    for (door, address) in [("postgres", addresses.postgres), ("flight", addresses.flight), ("http", addresses.http)] {
        print_line(&format!("{door:<10}{address}"));
    }
    ready(&addresses);
    let (stop, ending) = (CancellationToken::new(), app.ending());
    let stopped = stop.clone().cancelled_owned();
    // Lives as long as the runtime, which ends with this command.
    tokio::spawn(async move {
        signals.stop().await;
        stop.cancel();
        signals.impatience().await;
        ending.cancel();
    });
    app.run(stopped).await.map_err(Failure::failed)
}

/// What tells the gateway to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The first of either.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Ctrl-C once more. A second SIGTERM is not one: supervisors repeat themselves.
    async fn impatience(&mut self) {
        self.interrupt.recv().await;
    }
}
