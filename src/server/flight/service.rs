//! The calls of the Flight service: each says who asks, what is asked, and passes it on.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, Any,
    DoPutUpdateResult, ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Criteria, Empty, FlightData, FlightDescriptor,
    FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo, PutResult, RenewFlightEndpointRequest,
    Result as ActionResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use prost_types::Timestamp;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::error::{ErrorKind, Fault, Result};

use super::asked::{self, Asked, Meaning};
use super::login::Caller;
use super::prepared::schema_message;
use super::sealed::{self, Sealed, Statement};
use super::session::SetOptions;
use super::{Flight, fault, metadata, statement};

/// The actions that are served, with what they do.
const ACTIONS: [(&str, &str); 8] = [
    ("CreatePreparedStatement", "Prepares a statement: ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult."),
    ("ClosePreparedStatement", "Ends the use of a prepared statement: ActionClosePreparedStatementRequest, nothing."),
    ("CancelFlightInfo", "Cancels the results under way for a flight: CancelFlightInfoRequest, CancelFlightInfoResult."),
    ("RenewFlightEndpoint", "Gives an endpoint's ticket more time: RenewFlightEndpointRequest, FlightEndpoint."),
    ("CancelQuery", "The same by its older name: ActionCancelQueryRequest, ActionCancelQueryResult."),
    ("SetSessionOptions", "Changes the session's settings: SetSessionOptionsRequest, SetSessionOptionsResult."),
    ("GetSessionOptions", "Shows the session's settings: GetSessionOptionsRequest, GetSessionOptionsResult."),
    ("CloseSession", "Forgets the session's settings: CloseSessionRequest, CloseSessionResult."),
];

type Call<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = statement::DataStream;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = BoxStream<'static, Result<ActionResult, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;

    /// Turns a password into a bearer token, which goes into the response's header and payload.
    async fn handshake(&self, request: Request<Streaming<HandshakeRequest>>) -> Call<Self::HandshakeStream> {
        let (caller, _, _) = self.open(request).await?;
        let token = caller.bearer.clone().unwrap_or_else(|| self.door.identity.mint_bearer(&caller.principal));
        let header = format!("Bearer {token}").parse().map_err(|_| fault::status(Fault::internal("token is not a header value")))?;
        let answer = HandshakeResponse { protocol_version: 0, payload: token.into() };
        let mut response = Response::new(once(answer));
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    /// The tables that the caller may read, each by its path and with a ticket for all of it.
    async fn list_flights(&self, request: Request<Criteria>) -> Call<Self::ListFlightsStream> {
        let (caller, _, criteria) = self.open(request).await?;
        self.flights(&caller, &criteria).await.map(|flights| Response::new(many(flights))).map_err(fault::status)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Call<FlightInfo> {
        let (caller, _, descriptor) = self.open(request).await?;
        self.flight_info(&caller, descriptor).await.map_err(fault::status)
    }

    /// Planning is all that there is to wait for, so the first answer is the complete one.
    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Call<PollInfo> {
        let (caller, _, descriptor) = self.open(request).await?;
        let answer = self.flight_info(&caller, descriptor).await.map_err(fault::status)?;
        Ok(answer.map(|info| PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Call<SchemaResult> {
        let (caller, _, descriptor) = self.open(request).await?;
        let schema = async {
            let asked = self.asked(&caller, &descriptor)?;
            self.announced(&caller, &asked).await
        };
        schema.await.map(|announced| Response::new(SchemaResult { schema: announced.schema })).map_err(fault::status)
    }

    async fn do_get(&self, request: Request<Ticket>) -> Call<Self::DoGetStream> {
        let (caller, headers, ticket) = self.open(request).await?;
        self.get(&caller, &headers, &ticket.ticket).await.map_err(fault::status)
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Call<Self::DoPutStream> {
        let (caller, _, data) = self.open(request).await?;
        self.put(&caller, data).await.map_err(fault::status)
    }

    async fn do_action(&self, request: Request<Action>) -> Call<Self::DoActionStream> {
        let (caller, _, action) = self.open(request).await?;
        self.act(&caller, action).await.map_err(fault::status)
    }

    async fn list_actions(&self, request: Request<Empty>) -> Call<Self::ListActionsStream> {
        self.open(request).await?;
        let actions = ACTIONS.map(|(name, description)| ActionType { r#type: name.to_owned(), description: description.to_owned() });
        Ok(Response::new(many(actions.to_vec())))
    }

    async fn do_exchange(&self, request: Request<Streaming<FlightData>>) -> Call<Self::DoExchangeStream> {
        self.open(request).await?;
        Err(fault::status(fault::unsupported("DoExchange is not supported")))
    }
}

/// What is known of what is asked for.
struct Announced {
    schema: Bytes,
    /// The settings after it, where it changes them.
    settings: Option<BTreeMap<String, String>>,
    bytes: Option<u64>,
}

impl Flight {
    /// Authenticates a call and takes it apart.
    async fn open<T>(&self, request: Request<T>) -> Result<(Caller, MetadataMap, T), Status> {
        let (metadata, extensions, message) = request.into_parts();
        let parts = (metadata, extensions);
        let caller = self.caller(&parts).await.map_err(fault::status)?;
        Ok((caller, parts.0, message))
    }

    /// A statement that changes settings has its effect here already: ADBC takes the new session from this answer, and reads the answer
    /// to DoGet late or never. DoGet comes to the same settings.
    async fn flight_info(&self, caller: &Caller, descriptor: FlightDescriptor) -> Result<Response<FlightInfo>> {
        let asked = self.asked(caller, &descriptor)?;
        let Announced { schema, settings, bytes } = self.announced(caller, &asked).await?;
        let mut response = Response::new(self.info(caller, descriptor, schema, bytes, asked)?);
        if let Some(settings) = settings {
            self.hand_over(caller, &settings, response.metadata_mut())?;
        }
        Ok(response)
    }

    /// One endpoint, here (`docs/decisions/0005-one-endpoint.md`). How many rows there will be nobody knows before they are read.
    fn info(&self, caller: &Caller, descriptor: FlightDescriptor, schema: Bytes, bytes: Option<u64>, asked: Asked) -> Result<FlightInfo> {
        let ticket = sealed::ticket(&self.door.identity, &caller.principal.name, asked.into_request())?;
        Ok(FlightInfo {
            schema,
            flight_descriptor: Some(descriptor),
            endpoint: vec![endpoint(ticket)],
            total_records: -1,
            total_bytes: bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
            ordered: true,
            app_metadata: Bytes::new(),
        })
    }

    async fn announced(&self, caller: &Caller, asked: &Asked) -> Result<Announced> {
        match asked {
            Asked::Listing(listing, _) => {
                Ok(Announced { schema: schema_message(&metadata::schema(listing))?, settings: None, bytes: None })
            }
            Asked::Statement(statement) => {
                let described = self.describe(caller, statement).await?;
                let schema = described.schema.unwrap_or_else(|| Arc::new(Schema::empty()));
                Ok(Announced { schema: schema_message(&schema)?, settings: described.settings, bytes: described.bytes })
            }
        }
    }

    async fn flights(&self, caller: &Caller, criteria: &Criteria) -> Result<Vec<FlightInfo>> {
        if !criteria.expression.is_empty() {
            return Err(fault::unsupported("criteria are not supported").with_hint("List all flights, or use GetTables of Flight SQL."));
        }
        let visible = self.visible(caller).await?;
        let described = visible.iter().filter_map(|table| Some((table, table.columns.as_ref()?)));
        let flights = described.map(|(table, columns)| {
            let descriptor = FlightDescriptor::new_path(vec![table.schema.clone(), table.name.clone()]);
            let schema = schema_message(&super::columns::result_schema(columns))?;
            let asked = self.asked(caller, &descriptor)?;
            self.info(caller, descriptor, schema, None, asked)
        });
        flights.collect()
    }

    async fn get(&self, caller: &Caller, headers: &MetadataMap, ticket: &[u8]) -> Result<Response<statement::DataStream>> {
        let (nonce, request) = sealed::open_ticket(&self.door.identity, &caller.principal.name, ticket)?;
        match Asked::from_request(request)? {
            Asked::Listing(listing, _) => Ok(Response::new(self.listed(caller, self.list(caller, listing).await?)?)),
            Asked::Statement(mut statement) => {
                statement.settings.extend(caller.settings());
                let answer = self.run(caller, &statement, nonce, statement::deadline(headers)).await?;
                let mut response = Response::new(answer.data);
                if let Some(settings) = answer.settings {
                    self.hand_over(caller, &settings, response.metadata_mut())?;
                }
                Ok(response)
            }
        }
    }

    async fn put(
        &self,
        caller: &Caller,
        mut data: Streaming<FlightData>,
    ) -> Result<Response<BoxStream<'static, Result<PutResult, Status>>>> {
        let first = data.message().await.map_err(|_| fault::protocol("request ended early"))?;
        let first = first.ok_or_else(|| fault::protocol("request is empty"))?;
        let descriptor = first.flight_descriptor.clone().ok_or_else(|| fault::protocol("request has no flight descriptor"))?;
        match asked::meaning(&descriptor.cmd)? {
            Some(Meaning::Prepared(handle)) => {
                let bound = self.bind(caller, &handle, stream::iter([Ok(first)]).chain(data)).await?;
                Ok(Response::new(once(PutResult { app_metadata: bound.encode_to_vec().into() })))
            }
            Some(Meaning::Update(sql)) => self.put_update(caller, Statement { sql, parameters: Bytes::new(), settings: caller.settings() }),
            Some(Meaning::PreparedUpdate(handle)) => {
                self.put_update(caller, sealed::open_handle(&self.door.identity, &caller.principal.name, &handle)?)
            }
            _ => Err(Fault::new(ErrorKind::ReadOnly, "cannot write: the mesh is read only")
                .with_hint("Data products are written by their own domain, where they are stored.")),
        }
    }

    fn put_update(&self, caller: &Caller, statement: Statement) -> Result<Response<BoxStream<'static, Result<PutResult, Status>>>> {
        let settings = self.update(caller, &statement)?;
        let result = DoPutUpdateResult { record_count: 0 };
        let mut response = Response::new(once(PutResult { app_metadata: result.encode_to_vec().into() }));
        self.hand_over(caller, &settings, response.metadata_mut())?;
        Ok(response)
    }

    async fn act(&self, caller: &Caller, action: Action) -> Result<Response<BoxStream<'static, Result<ActionResult, Status>>>> {
        let answer = |body: Vec<u8>| Response::new(once(ActionResult { body: body.into() }));
        match action.r#type.as_str() {
            "CreatePreparedStatement" => {
                let request: ActionCreatePreparedStatementRequest = unpacked(&action)?;
                Ok(answer(self.prepare(caller, request).await?.as_any().encode_to_vec()))
            }
            "ClosePreparedStatement" => {
                let request: ActionClosePreparedStatementRequest = unpacked(&action)?;
                let mut response = Response::new(stream::empty().boxed());
                if let Some(settings) = self.forgotten(caller, &request.prepared_statement_handle) {
                    self.hand_over(caller, &settings, response.metadata_mut())?;
                }
                Ok(response)
            }
            "CancelFlightInfo" => {
                let request = CancelFlightInfoRequest::decode(action.body).map_err(|_| malformed())?;
                let status =
                    if self.cancel(caller, request.info.as_ref()) { CancelStatus::Cancelled } else { CancelStatus::NotCancellable };
                Ok(answer(CancelFlightInfoResult { status: status as i32 }.encode_to_vec()))
            }
            "RenewFlightEndpoint" => {
                let request = RenewFlightEndpointRequest::decode(action.body).map_err(|_| malformed())?;
                let old = request.endpoint.and_then(|endpoint| endpoint.ticket).ok_or_else(malformed)?;
                let new = sealed::renewed(&self.door.identity, &caller.principal.name, &old.ticket)?;
                Ok(answer(endpoint(new).encode_to_vec()))
            }
            "CancelQuery" => {
                let request: ActionCancelQueryRequest = unpacked(&action)?;
                let info = FlightInfo::decode(request.info).map_err(|_| malformed())?;
                let status = if self.cancel(caller, Some(&info)) { CancelStatus::Cancelled } else { CancelStatus::NotCancellable };
                Ok(answer(ActionCancelQueryResult { result: status as i32 }.as_any().encode_to_vec()))
            }
            "SetSessionOptions" => {
                let request = SetOptions::decode(action.body).map_err(|_| malformed())?;
                let (settings, result) = self.set_options(caller, request)?;
                let mut response = answer(result.encode_to_vec());
                self.hand_over(caller, &settings, response.metadata_mut())?;
                Ok(response)
            }
            "GetSessionOptions" => Ok(answer(self.get_options(caller).encode_to_vec())),
            "CloseSession" => {
                let mut response = answer(self.close_session().encode_to_vec());
                self.hand_over(caller, &Default::default(), response.metadata_mut())?;
                Ok(response)
            }
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
                Err(fault::unsupported("transactions are not supported over Flight")
                    .with_hint("Each query reads one version of each product."))
            }
            other => {
                let name: String = other.chars().take(80).collect();
                Err(fault::unsupported(format!("action \"{name}\" is not supported")).with_hint("ListActions shows those that are."))
            }
        }
    }

    /// Cancels the results under way for the caller's own tickets; whether there were any.
    fn cancel(&self, caller: &Caller, info: Option<&FlightInfo>) -> bool {
        let tickets = info.into_iter().flat_map(|info| &info.endpoint).filter_map(|endpoint| endpoint.ticket.as_ref());
        let nonces = tickets.filter_map(|ticket| sealed::ticket_nonce(&self.door.identity, &caller.principal.name, &ticket.ticket));
        nonces.filter(|nonce| self.running.cancel(*nonce)).count() > 0
    }
}

/// The endpoint of a ticket: no location, which is where the flight info came from.
fn endpoint(sealed: Sealed) -> FlightEndpoint {
    let expiration_time = Some(Timestamp { seconds: sealed.expires_at, nanos: 0 });
    FlightEndpoint { ticket: Some(Ticket { ticket: sealed.ticket }), expiration_time, ..FlightEndpoint::default() }
}

/// An action's body, which Flight SQL wraps in an `Any`.
fn unpacked<M: ProstMessageExt>(action: &Action) -> Result<M> {
    Any::decode(&*action.body).ok().and_then(|any| any.unpack().ok().flatten()).ok_or_else(malformed)
}

fn malformed() -> Fault {
    fault::protocol("malformed action body")
}

fn once<T: Send + 'static>(item: T) -> BoxStream<'static, Result<T, Status>> {
    many(vec![item])
}

fn many<T: Send + 'static>(items: Vec<T>) -> BoxStream<'static, Result<T, Status>> {
    stream::iter(items.into_iter().map(Ok)).boxed()
}
