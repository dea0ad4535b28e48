//! The gateway as users run it: the binary, with a catalog of the TPC-H tables four times: open, masked, filtered, and open over the rows that
//! the filters leave. Each is a domain with a user of its own, so that the same SQL means another of them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use tonic::transport::{Channel, Endpoint};

use crate::data::{self, TABLES};

/// The domains, and the only user of each. Unqualified names resolve in a user's own domain.
pub const DOMAINS: [&str; 4] = [OPEN, MASKED, FILTERED, REST];
/// Nothing is hidden.
pub const OPEN: &str = "open";
/// Two columns of each table are masked, one of those that have one to spare.
pub const MASKED: &str = "masked";
/// About half the rows of each table are filtered away.
pub const FILTERED: &str = "filtered";
/// What the filters leave, written out and open.
pub const REST: &str = "rest";

const PASSWORD: &str = "bench";

/// Masks on columns that no query joins, groups or compares by, so that each query still gives rows.
const MASKS: [(&str, &[(&str, &str)]); 8] = [
    ("region", &[("r_comment", "mask-alphanum")]),
    ("nation", &[("n_comment", "mask-alphanum")]),
    ("supplier", &[("s_phone", "show-last-4"), ("s_comment", "mask-alphanum")]),
    ("customer", &[("c_address", "show-first-4"), ("c_comment", "mask-alphanum")]),
    ("part", &[("p_mfgr", "mask-alphanum"), ("p_comment", "mask-alphanum")]),
    ("partsupp", &[("ps_availqty", "round:10"), ("ps_comment", "mask-alphanum")]),
    ("orders", &[("o_clerk", "pseudonym"), ("o_comment", "mask-alphanum")]),
    ("lineitem", &[("l_tax", "round:0.01"), ("l_comment", "mask-alphanum")]),
];

/// A running gateway. Ended with the value.
pub struct Gateway {
    process: Child,
    pub postgres: String,
    pub flight: String,
}

impl Gateway {
    /// Writes the catalog to `home`, over the files in `data`, and serves it.
    pub fn start(home: &Path, data: &Path) -> Result<Self> {
        let config = set_up(home, data)?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_meshgate"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the gateway")?;
        let output = process.stdout.take().context("the gateway has no output")?;
        let mut gateway = Self { process, postgres: String::new(), flight: String::new() };
        for line in BufReader::new(output).lines() {
            let line = line?;
            let Some(address) = line.split_whitespace().find_map(|word| word.find("127.0.0.1:").and_then(|at| word.get(at..))) else {
                continue;
            };
            let address = address.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned();
            let door = line.to_ascii_lowercase();
            if door.contains("postgres") {
                gateway.postgres = address;
            } else if door.contains("flight") {
                gateway.flight = address;
            }
            if !gateway.postgres.is_empty() && !gateway.flight.is_empty() {
                return Ok(gateway);
            }
        }
        bail!("the gateway did not say where it listens")
    }

    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// A client of a domain that has logged in.
    pub async fn client(&self, domain: &str) -> Result<FlightClient> {
        let channel = Endpoint::from_shared(format!("http://{}", self.flight))?.connect().await?;
        let mut client = FlightSqlServiceClient::new(channel);
        client.handshake(domain, PASSWORD).await?;
        Ok(FlightClient(client))
    }

    /// A PostgreSQL connection string.
    pub fn postgres_config(&self) -> Result<tokio_postgres::Config> {
        let (host, port) = self.postgres.rsplit_once(':').context("address without a port")?;
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(port.parse()?).user(OPEN).password(PASSWORD).dbname("mesh");
        Ok(config)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Flight SQL.
pub struct FlightClient(FlightSqlServiceClient<Channel>);

impl FlightClient {
    /// Runs a query and reads all of its result: rows.
    pub async fn read(&mut self, sql: &str) -> Result<usize> {
        let info = self.0.execute(sql.to_owned(), None).await?;
        let mut rows = 0;
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            let mut batches = self.0.do_get(ticket).await?;
            while let Some(batch) = batches.try_next().await? {
                rows += batch.num_rows();
            }
        }
        Ok(rows)
    }
}

fn set_up(home: &Path, data: &Path) -> Result<PathBuf> {
    let catalog = home.join("catalog");
    fs::create_dir_all(&catalog)?;
    fs::write(
        catalog.join("mesh.yaml"),
        "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: tpch}\nspec:\n  currency: USD\n  prices: [{id: standard, from: 2020-01-01, \
         perTiB: \"5.00\", roundTo: 1B, minimumPerQuery: 0B, chargeFailed: true}]\n",
    )?;
    for domain in DOMAINS {
        let folder = catalog.join(domain);
        fs::create_dir_all(&folder)?;
        fs::write(
            folder.join("domain.yaml"),
            format!(
                "apiVersion: datamesh.io/v1\nkind: Domain\nmetadata: {{name: {domain}}}\nspec:\n  owner: {{team: tpch, contact: tpch@example.com}}\n  \
                 storage:\n    - {{prefix: \"file:{}/\"}}\n",
                data.display()
            ),
        )?;
        for table in TABLES {
            fs::create_dir_all(folder.join(table))?;
            fs::write(folder.join(table).join("v1.yaml"), manifest(domain, table, data))?;
        }
    }
    let config = home.join("meshgate.toml");
    fs::write(
        &config,
        "[server]\npostgres = \"127.0.0.1:0\"\nflight = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n[catalog]\nlocation = \"catalog\"\n\
         [state]\nlocation = \"state\"\n[identity]\nusers = \"identity.yaml\"\n",
    )?;
    for domain in DOMAINS {
        add_user(&config, domain)?;
    }
    Ok(config)
}

fn manifest(domain: &str, table: &str, data: &Path) -> String {
    let file = if domain == REST { data::rest_file(data, table) } else { data::file(data, table) };
    let rules = match domain {
        MASKED => {
            let masks = MASKS.iter().find(|(masked, _)| *masked == table).map_or(&[] as &[_], |(_, masks)| masks);
            let masks: Vec<String> = masks.iter().map(|(column, mask)| format!("{{column: {column}, mask: \"{mask}\"}}")).collect();
            format!(", masks: [{}]", masks.join(", "))
        }
        FILTERED => format!(", rowFilters: [{{expression: \"{}\"}}]", data::filter(table)),
        _ => String::new(),
    };
    format!(
        "apiVersion: datamesh.io/v1\nkind: DataProduct\nmetadata:\n  name: {table}\n  domain: {domain}\n  version: 1.0.0\n  \
         description: TPC-H's table {table}.\n  owner: {{team: tpch, contact: tpch@example.com}}\n  status: active\nspec:\n  \
         outputPorts:\n    - {{name: sql, format: parquet, location: \"file:{}\"}}\n  sla: {{freshness: 1y}}\n  policies: {{access: public{rules}}}\n",
        file.display()
    )
}

fn add_user(config: &Path, domain: &str) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshgate"))
        .args(["user", "add", domain, "--domain", domain, "--password-stdin", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    command.stdin.take().context("no standard input")?.write_all(PASSWORD.as_bytes())?;
    if !command.wait()?.success() {
        bail!("adding the user failed");
    }
    Ok(())
}
