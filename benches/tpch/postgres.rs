//! PostgreSQL on the same machine, with lineitem loaded, where it is installed.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use futures::SinkExt;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};
use tpchgen::csv::LineItemCsv;
use tpchgen::generators::{LineItemGenerator, NationGenerator};

const COLUMNS: &str = "l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber integer NOT NULL, \
    l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL, \
    l_tax numeric(15,2) NOT NULL, l_returnflag text NOT NULL, l_linestatus text NOT NULL, l_shipdate date NOT NULL, \
    l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct text NOT NULL, l_shipmode text NOT NULL, l_comment text NOT NULL";

/// A server of its own, ended and removed with the value.
pub struct Postgres {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one, or `None` where PostgreSQL is not installed.
    pub async fn start() -> Result<Option<Self>> {
        let found = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        if !found("postgres") || !found("initdb") || !found("psql") || !found("pgbench") {
            return Ok(None);
        }
        let folder = std::env::temp_dir().join(format!("meshgate-tpch-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder))?;
        }
        run(command("initdb", &folder).args(["--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C", "-D"]).arg(&folder))?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = command("postgres", &folder)
            .arg("-D")
            .arg(&folder)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB", "-c", "fsync=off", "-c", "autovacuum=off"])
            .stderr(Stdio::null())
            .spawn()
            .context("starting PostgreSQL")?;
        let postgres = Self { server, folder, port };
        // Small enough to be there always.
        let nations: Vec<String> = NationGenerator::default().iter().map(|n| format!("({}, '{}')", n.n_nationkey, n.n_name)).collect();
        let client = postgres.connect_when_ready().await?;
        client.batch_execute("CREATE TABLE nation (n_nationkey bigint PRIMARY KEY, n_name text NOT NULL)").await?;
        client.batch_execute(&format!("INSERT INTO nation VALUES {}", nations.join(", "))).await?;
        client.batch_execute("VACUUM ANALYZE nation").await?;
        Ok(Some(postgres))
    }

    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("bench").dbname("postgres");
        config
    }

    /// Loads lineitem.
    pub async fn load(&self) -> Result<()> {
        println!("loading lineitem into PostgreSQL …");
        let client = self.connect_when_ready().await?;
        client.batch_execute(&format!("CREATE TABLE lineitem ({COLUMNS})")).await?;
        let sink = client.copy_in("COPY lineitem FROM STDIN (FORMAT csv)").await?;
        futures::pin_mut!(sink);
        let mut chunk = BytesMut::new();
        for line in LineItemGenerator::new(crate::SCALE, 1, 1).iter() {
            use std::fmt::Write;
            writeln!(chunk, "{}", LineItemCsv::new(line))?;
            if chunk.len() > 1 << 20 {
                sink.send(chunk.split().freeze()).await?;
            }
        }
        sink.send(chunk.freeze()).await?;
        sink.finish().await?;
        client.batch_execute("VACUUM (FREEZE, ANALYZE) lineitem").await?;
        Ok(())
    }

    async fn connect_when_ready(&self) -> Result<Client> {
        let started = Instant::now();
        loop {
            match connect(&self.config()).await {
                Ok(client) => return Ok(client),
                Err(error) if started.elapsed() > Duration::from_secs(30) => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGTERM through pg_ctl, so that the server's own children end with it.
        let _ = command("pg_ctl", &self.folder).args(["stop", "-m", "immediate", "-D"]).arg(&self.folder).stdout(Stdio::null()).status();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A client program of PostgreSQL's, which finds its server by its environment.
fn client(program: &str, config: &Config) -> Result<Command> {
    let (Some(Host::Tcp(host)), Some(port)) = (config.get_hosts().first(), config.get_ports().first()) else { bail!("no address") };
    let mut client = Command::new(program);
    client.env("PGHOST", host).env("PGPORT", port.to_string()).env("PGUSER", config.get_user().unwrap_or_default());
    client.env("PGDATABASE", config.get_dbname().unwrap_or_default());
    client.env("PGPASSWORD", OsStr::from_bytes(config.get_password().unwrap_or_default()));
    Ok(client)
}

/// How often a second pgbench runs a statement over so many connections, in `simple` or `prepared` mode.
pub async fn a_second(config: &Config, sql: &str, mode: &str, connections: usize) -> Result<f64> {
    let script = tempfile::NamedTempFile::new()?;
    std::fs::write(script.path(), format!("{sql};\n"))?;
    let mut pgbench = client("pgbench", config)?;
    pgbench.args(["-n", "-j", "2", "-T", "3", "-M", mode, "-c", &connections.to_string(), "-f"]).arg(script.path());
    let output = tokio::task::spawn_blocking(move || pgbench.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
    figure.filter(|_| output.status.success() && text.contains("failed transactions: 0 ")).context("pgbench failed")
}

/// Reads all that a COPY gives, with psql: bytes. A client that handles each row by itself would measure itself.
pub async fn copy_out(config: &Config, sql: &str) -> Result<usize> {
    let mut psql = client("psql", config)?;
    psql.args(["-X", "-c", sql]).stdout(Stdio::piped());
    tokio::task::spawn_blocking(move || {
        let mut process = psql.spawn().context("starting psql")?;
        let mut output = process.stdout.take().context("psql has no output")?;
        let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
        loop {
            match output.read(&mut buffer)? {
                0 => break,
                read => bytes += read,
            }
        }
        if !process.wait()?.success() {
            bail!("psql failed");
        }
        Ok(bytes)
    })
    .await?
}

fn is_root() -> bool {
    std::env::var("USER").is_ok_and(|user| user == "root")
        || Path::new("/root").metadata().is_ok_and(|_| std::fs::read_dir("/root").is_ok())
}

/// PostgreSQL refuses to run as root.
fn command(program: &str, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", program]);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

fn run(command: &mut Command) -> Result<()> {
    if !command.stdout(Stdio::null()).status()?.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
