//! What a descriptor asks for.

use arrow_flight::FlightDescriptor;
use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::sql::{
    Any, Command, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTables, CommandGetXdbcTypeInfo, CommandStatementIngest,
};
use bytes::Bytes;
use prost::Message;

use crate::error::{ErrorKind, Fault, Result};

use super::login::Caller;
use super::sealed::{self, Request, Statement};
use super::{CATALOG, Flight, fault};

/// The type URLs of Flight SQL.
const FLIGHT_SQL: &str = "type.googleapis.com/arrow.flight.protocol.sql.";

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// The rows of a statement.
    Statement(Statement),
    /// A listing, with the command it came as.
    Listing(Listing, Bytes),
}

/// Flight SQL's listings.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Listing {
    /// Catalogs.
    Catalogs,
    /// Schemas.
    Schemas(CommandGetDbSchemas),
    /// Tables.
    Tables(CommandGetTables),
    /// Kinds of tables.
    TableTypes,
    /// What the server can do.
    ServerInfo(CommandGetSqlInfo),
    /// Types.
    Types(CommandGetXdbcTypeInfo),
    /// Primary keys: none.
    PrimaryKeys,
    /// Exported and imported keys, and cross references: none.
    ForeignKeys,
}

/// What a command of Flight SQL is to this door.
pub(super) enum Meaning {
    /// A listing.
    Listing(Listing),
    /// A query's text.
    Query(String),
    /// A prepared query's handle.
    Prepared(Bytes),
    /// A statement without rows.
    Update(String),
    /// A prepared one.
    PreparedUpdate(Bytes),
}

impl Asked {
    /// As it goes into a ticket.
    pub(super) fn into_request(self) -> Request {
        match self {
            Self::Statement(statement) => Request::Statement(statement),
            Self::Listing(_, command) => Request::Command(command),
        }
    }

    /// As it comes out of a ticket.
    pub(super) fn from_request(request: Request) -> Result<Self> {
        match request {
            Request::Statement(statement) => Ok(Self::Statement(statement)),
            Request::Command(command) => match meaning(&command)? {
                Some(Meaning::Listing(listing)) => Ok(Self::Listing(listing, command)),
                _ => Err(fault::protocol("ticket holds no request")),
            },
        }
    }
}

impl Flight {
    /// Reads a descriptor: a command of Flight SQL, SQL text, or the path of a table.
    pub(super) fn asked(&self, caller: &Caller, descriptor: &FlightDescriptor) -> Result<Asked> {
        let query = |sql: String| Asked::Statement(Statement { sql, parameters: Bytes::new(), settings: caller.settings() });
        match descriptor.r#type() {
            DescriptorType::Path => Ok(query(select_path(&descriptor.path)?)),
            DescriptorType::Unknown => Err(fault::protocol("flight descriptor has no type")),
            DescriptorType::Cmd => match meaning(&descriptor.cmd)? {
                None => Ok(query(plain_text(&descriptor.cmd)?)),
                Some(Meaning::Query(sql)) => Ok(query(sql)),
                Some(Meaning::Listing(listing)) => Ok(Asked::Listing(listing, descriptor.cmd.clone())),
                Some(Meaning::Prepared(handle)) => {
                    let mut statement = sealed::open_handle(&self.door.identity, &caller.principal.name, &handle)?;
                    statement.settings.extend(caller.settings());
                    Ok(Asked::Statement(statement))
                }
                Some(Meaning::Update(_) | Meaning::PreparedUpdate(_)) => Err(fault::protocol("an update has no flight info")),
            },
        }
    }
}

/// What a command means, or `None` where it is not one of Flight SQL.
pub(super) fn meaning(command: &[u8]) -> Result<Option<Meaning>> {
    let Ok(any) = Any::decode(command) else { return Ok(None) };
    if !any.type_url.starts_with(FLIGHT_SQL) {
        return if any.type_url.starts_with("type.googleapis.com/") { Err(unknown_command(&any.type_url)) } else { Ok(None) };
    }
    let command = Command::try_from(any).map_err(|_| fault::protocol("malformed Flight SQL command"))?;
    let meaning = match command {
        Command::CommandGetCatalogs(_) => Meaning::Listing(Listing::Catalogs),
        Command::CommandGetDbSchemas(command) => Meaning::Listing(Listing::Schemas(command)),
        Command::CommandGetTables(command) => Meaning::Listing(Listing::Tables(command)),
        Command::CommandGetTableTypes(_) => Meaning::Listing(Listing::TableTypes),
        Command::CommandGetSqlInfo(command) => Meaning::Listing(Listing::ServerInfo(command)),
        Command::CommandGetXdbcTypeInfo(command) => Meaning::Listing(Listing::Types(command)),
        Command::CommandGetPrimaryKeys(_) => Meaning::Listing(Listing::PrimaryKeys),
        Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
            Meaning::Listing(Listing::ForeignKeys)
        }
        Command::CommandStatementQuery(command) => no_transaction(command.transaction_id).map(|()| Meaning::Query(command.query))?,
        Command::CommandStatementUpdate(command) => no_transaction(command.transaction_id).map(|()| Meaning::Update(command.query))?,
        Command::CommandPreparedStatementQuery(command) => Meaning::Prepared(command.prepared_statement_handle),
        Command::CommandPreparedStatementUpdate(command) => Meaning::PreparedUpdate(command.prepared_statement_handle),
        Command::CommandStatementIngest(command) => return Err(read_only(&command)),
        other => return Err(unknown_command(other.type_url())),
    };
    Ok(Some(meaning))
}

/// A transaction's id is one that we gave out, and we give out none.
pub(super) fn no_transaction(id: Option<Bytes>) -> Result<()> {
    match id {
        Some(id) if !id.is_empty() => Err(Fault::new(ErrorKind::NoActiveTransaction, "no such transaction")),
        _ => Ok(()),
    }
}

fn read_only(_: &CommandStatementIngest) -> Fault {
    Fault::new(ErrorKind::ReadOnly, "cannot ingest: the mesh is read only")
        .with_hint("Data products are written by their own domain, where they are stored.")
}

fn unknown_command(type_url: &str) -> Fault {
    let name: String = type_url.rsplit(['.', '/']).next().unwrap_or_default().chars().take(80).collect();
    fault::unsupported(format!("{name} is not supported"))
}

fn plain_text(command: &[u8]) -> Result<String> {
    match std::str::from_utf8(command) {
        Ok(text) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(fault::protocol("flight descriptor holds neither a Flight SQL command nor SQL text")),
    }
}

/// `[schema, table]` or `[mesh, schema, table]`: the whole table.
fn select_path(path: &[String]) -> Result<String> {
    let (schema, table) = match path {
        [schema, table] => (schema, table),
        [catalog, schema, table] if catalog == CATALOG => (schema, table),
        _ => return Err(Fault::new(ErrorKind::UndefinedTable, "no such flight").with_hint("A path is a schema and a table.")),
    };
    Ok(format!("SELECT * FROM {}.{}", quoted(schema), quoted(table)))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{CommandStatementQuery, CommandStatementSubstraitPlan, ProstMessageExt};

    use super::*;

    fn packed(message: &impl ProstMessageExt) -> Vec<u8> {
        message.as_any().encode_to_vec()
    }

    #[test]
    fn sql_text_is_not_taken_for_a_command() {
        for sql in
            ["SELECT 1", "WITH a AS (SELECT 1) TABLE a", "values (1)", "\n\tselect 1", "(select 1)", "explain select 1", "show all", ""]
        {
            assert!(meaning(sql.as_bytes()).unwrap().is_none(), "{sql}");
        }
        assert!(plain_text(b"").is_err());
        assert!(plain_text(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_command_of_a_transaction_is_refused_because_there_are_none() {
        let query =
            |id: Option<&'static [u8]>| CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: id.map(Bytes::from_static) };
        assert!(matches!(meaning(&packed(&query(None))), Ok(Some(Meaning::Query(sql))) if sql == "SELECT 1"));
        assert!(matches!(meaning(&packed(&query(Some(b"")))), Ok(Some(Meaning::Query(_)))));
        assert!(meaning(&packed(&query(Some(b"tx")))).is_err());
    }

    #[test]
    fn what_is_not_supported_says_its_name_and_its_code() {
        let kind = |message: &[u8]| meaning(message).err().map(|fault| (fault.kind(), fault.message().to_owned()));
        let plan = packed(&CommandStatementSubstraitPlan::default());
        assert_eq!(kind(&plan), Some((ErrorKind::Unsupported, "CommandStatementSubstraitPlan is not supported".to_owned())));
        assert_eq!(kind(&packed(&CommandStatementIngest::default())).unwrap().0, ErrorKind::ReadOnly);
    }

    #[test]
    fn a_path_selects_a_table_and_cannot_be_anything_else() {
        let path = |parts: &[&str]| select_path(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_eq!(path(&["claims", "fraud_signals"]).unwrap(), "SELECT * FROM \"claims\".\"fraud_signals\"");
        assert_eq!(path(&["mesh", "a", "b\"; x"]).unwrap(), "SELECT * FROM \"a\".\"b\"\"; x\"");
        for bad in [&["a"][..], &[], &["other", "a", "b"], &["a", "b", "c", "d"]] {
            assert_eq!(path(bad).unwrap_err().kind(), ErrorKind::UndefinedTable);
        }
    }
}
