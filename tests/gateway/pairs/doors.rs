//! `bob` at one gateway: every way in which he can put a statement, and every byte of the answer.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery, CommandStatementQuery,
    ProstMessageExt,
};
use arrow_flight::{Action, FlightData, FlightDescriptor};
use base64::Engine;
use futures::TryStreamExt;
use postgres_protocol::message::frontend;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::harness::{PASSWORD, TestGateway};
use crate::raw::{Message as PgMessage, Raw};

/// A way to put a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Simple,
    /// Parse, Describe, Bind, Describe, Execute, with results as text or binary.
    Extended(i16),
    /// Parse and Describe, and no more.
    Describe,
    /// A portal, two rows at a time.
    Slices,
    /// PREPARE and EXECUTE.
    Prepared,
    Cursor,
    Copy(&'static str),
    /// EXPLAIN with these words.
    Explain(&'static str),
    /// With `row_security` off.
    Strict,
    Flight,
    FlightPrepared,
    FlightSchema,
}

/// All of them, the common ones more often.
pub const WAYS: [Way; 23] = [
    Way::Simple,
    Way::Simple,
    Way::Extended(0),
    Way::Extended(0),
    Way::Extended(1),
    Way::Extended(1),
    Way::Describe,
    Way::Slices,
    Way::Prepared,
    Way::Cursor,
    Way::Copy("text"),
    Way::Copy("csv"),
    Way::Copy("binary"),
    Way::Explain("EXPLAIN"),
    Way::Explain("EXPLAIN VERBOSE"),
    Way::Explain("EXPLAIN ANALYZE"),
    Way::Explain("EXPLAIN (COST)"),
    Way::Strict,
    Way::Flight,
    Way::Flight,
    Way::Flight,
    Way::FlightPrepared,
    Way::FlightSchema,
];

/// `bob`, through both doors.
pub struct Reader {
    pub gateway: TestGateway,
    pub pg: Raw,
    flight: FlightServiceClient<Channel>,
    authorization: String,
}

impl Reader {
    /// Logged in.
    pub async fn new(gateway: TestGateway) -> Self {
        let pg = Raw::log_in(&gateway, "bob").await;
        let channel = Channel::from_shared(format!("http://{}", gateway.addresses().flight)).unwrap().connect().await.unwrap();
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("bob:{PASSWORD}"));
        Self { gateway, pg, flight: FlightServiceClient::new(channel), authorization: format!("Basic {basic}") }
    }

    /// Everything that the gateway says to the statement.
    pub async fn ask(&mut self, way: Way, sql: &str) -> Vec<u8> {
        let answer = match way {
            Way::Flight => return heard(self.fly(sql).await),
            Way::FlightPrepared => return heard(self.fly_prepared(sql).await),
            Way::FlightSchema => return heard(self.flight_schema(sql).await),
            Way::Simple => self.simple(sql).await,
            Way::Explain(words) => return lines(&self.simple(&format!("{words} {sql}")).await),
            Way::Copy(format) => self.simple(&format!("COPY ({sql}) TO STDOUT (FORMAT {format})")).await,
            Way::Strict => {
                let mut all = self.simple("SET row_security = off").await;
                all.extend(self.simple(sql).await);
                all.extend(self.simple("RESET row_security").await);
                all
            }
            Way::Prepared => {
                let mut all = self.simple(&format!("PREPARE p AS {sql}")).await;
                all.extend(self.simple("EXECUTE p").await);
                all.extend(self.simple("DEALLOCATE ALL").await);
                all
            }
            Way::Cursor => {
                let mut all = self.simple(&format!("BEGIN; DECLARE c CURSOR FOR {sql}")).await;
                for next in ["FETCH 2 FROM c", "MOVE 1 FROM c", "FETCH ALL FROM c", "COMMIT"] {
                    all.extend(self.simple(next).await);
                }
                all
            }
            Way::Extended(_) | Way::Describe | Way::Slices => self.extended(way, sql).await,
        };
        bytes(&answer)
    }

    /// The answer to a simple query.
    pub async fn simple(&mut self, sql: &str) -> Vec<PgMessage> {
        self.pg.query(sql).await;
        self.pg.until_ready().await
    }

    async fn extended(&mut self, way: Way, sql: &str) -> Vec<PgMessage> {
        let format = if let Way::Extended(format) = way { format } else { 0 };
        self.pg
            .build(|to| {
                frontend::parse("", sql, [], to).unwrap();
                frontend::describe(b'S', "", to).unwrap();
                if way != Way::Describe {
                    let none = std::iter::empty::<i16>();
                    let bound =
                        frontend::bind("", "", none, std::iter::empty::<()>(), |(), _| Ok(postgres_protocol::IsNull::Yes), [format], to);
                    assert!(bound.is_ok());
                    frontend::describe(b'P', "", to).unwrap();
                    let rows: &[i32] = if way == Way::Slices { &[2, 2, 2, 0] } else { &[0] };
                    rows.iter().for_each(|rows| frontend::execute("", *rows, to).unwrap());
                }
                frontend::sync(to);
            })
            .await;
        self.pg.until_ready().await
    }

    async fn fly(&mut self, sql: &str) -> Result<Vec<u8>, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        self.fetch(command.as_any().encode_to_vec()).await
    }

    async fn fetch(&mut self, command: Vec<u8>) -> Result<Vec<u8>, Status> {
        let info = self.flight.get_flight_info(self.signed(FlightDescriptor::new_cmd(command))).await?.into_inner();
        let mut all = format!("{} {} ", info.total_records, info.total_bytes).into_bytes();
        all.extend_from_slice(&info.schema);
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.ok_or_else(|| Status::internal("no ticket"))?;
            let mut messages = self.flight.do_get(self.signed(ticket)).await?.into_inner();
            loop {
                match messages.try_next().await {
                    Ok(Some(FlightData { data_header, data_body, app_metadata, .. })) => {
                        [&data_header, &data_body, &app_metadata].iter().for_each(|part| {
                            all.extend_from_slice(part);
                            all.push(b'\n');
                        });
                    }
                    Ok(None) => break,
                    Err(status) => {
                        all.extend(said(&status));
                        break;
                    }
                }
            }
        }
        Ok(all)
    }

    async fn fly_prepared(&mut self, sql: &str) -> Result<Vec<u8>, Status> {
        let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let action = Action { r#type: "CreatePreparedStatement".to_owned(), body: request.as_any().encode_to_vec().into() };
        let answers: Vec<_> = self.flight.do_action(self.signed(action)).await?.into_inner().try_collect().await?;
        let body = answers.into_iter().next().ok_or_else(|| Status::internal("no answer"))?.body;
        let made = Any::decode(body).ok().and_then(|any| any.unpack::<ActionCreatePreparedStatementResult>().ok().flatten());
        let made = made.ok_or_else(|| Status::internal("not an answer"))?;
        let mut all = [&made.dataset_schema[..], &made.parameter_schema[..]].concat();
        let command = CommandPreparedStatementQuery { prepared_statement_handle: made.prepared_statement_handle };
        all.extend(self.fetch(command.as_any().encode_to_vec()).await?);
        Ok(all)
    }

    async fn flight_schema(&mut self, sql: &str) -> Result<Vec<u8>, Status> {
        let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        Ok(self.flight.get_schema(self.signed(descriptor)).await?.into_inner().schema.to_vec())
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.parse().unwrap());
        request
    }
}

fn said(status: &Status) -> Vec<u8> {
    [format!("{:?} ", status.code()).as_bytes(), status.message().as_bytes(), status.details()].concat()
}

fn heard(answer: Result<Vec<u8>, Status>) -> Vec<u8> {
    answer.unwrap_or_else(|status| said(&status))
}

/// Types and bodies.
pub fn bytes(messages: &[PgMessage]) -> Vec<u8> {
    messages.iter().flat_map(|(kind, body)| [&[*kind][..], body, b"\n"].concat()).collect()
}

/// The same without the lengths of values: the lines of a plan, whose timings have more or fewer digits.
fn lines(messages: &[PgMessage]) -> Vec<u8> {
    let body = |message: &PgMessage| if message.0 == b'D' { message.1.get(6..).unwrap_or_default().to_vec() } else { message.1.clone() };
    messages.iter().flat_map(|message| [&[message.0][..], &body(message), b"\n"].concat()).collect()
}
