//! The extended protocol: Parse, Bind, Describe, Execute, Close.

use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use tokio::io::AsyncWrite;

use super::cancel::Halt;
use super::connection::Connection;
use super::encode;
use super::params::Parameter;
use super::portal::{Portal, Prepared, State, called, check_unchanged, query_of};
use super::reply;
use super::statements::{row_description, rows_tag};
use super::wire::{Bind, Target};
use crate::error::{ErrorKind, Fault};
use crate::query::{Description, Kind, Parsed};
use crate::values::types;

impl<W: AsyncWrite + Unpin + Send> Connection<W> {
    /// Makes a prepared statement.
    pub(super) async fn parse(&mut self, name: &str, sql: &str, types: Vec<u32>) -> Result<(), Halt> {
        self.shelf.check_new_statement(name)?;
        let statements = self.door.gateway.parse(&self.session, sql)?;
        let mut statements = statements.into_iter().filter(|parsed| *parsed.kind() != Kind::Empty);
        let parsed = statements.next();
        if statements.next().is_some() {
            return Err(Fault::new(ErrorKind::Syntax, "cannot insert multiple commands into a prepared statement").into());
        }
        if let Some(parsed) = &parsed {
            self.transaction.admit(parsed.kind())?;
        }
        self.start();
        let prepared = self.prepare(parsed, types, sql.len()).await?;
        self.shelf.add_statement(name, prepared)?;
        self.outbox.put(&ParseComplete::new());
        Ok(())
    }

    /// Finds out what a statement needs and gives.
    pub(super) async fn prepare(&mut self, parsed: Option<Parsed>, declared: Vec<u32>, bytes: usize) -> Result<Prepared, Halt> {
        let described = match parsed.as_ref().and_then(query_of) {
            Some(query) => {
                let types: Vec<_> = declared.iter().map(|oid| types::to_arrow(*oid)).collect();
                Some((self.pipeline, self.describe(&query.clone(), &types).await?))
            }
            None => None,
        };
        let inferred = described.as_ref().map_or(&[][..], |(_, description)| &description.parameters);
        let parameters = (0..declared.len().max(inferred.len()))
            .map(|index| Parameter::new(declared.get(index).copied().unwrap_or(0), inferred.get(index).map(AsRef::as_ref)))
            .collect();
        Ok(Prepared { parsed, declared, parameters, described, bytes })
    }

    /// Makes a portal.
    pub(super) fn bind(&mut self, bind: Bind) -> Result<(), Halt> {
        let prepared = self.shelf.statement(&bind.statement)?;
        self.transaction.admit(prepared.kind())?;
        let (given, needed) = (bind.parameters.len(), prepared.parameters.len());
        if given != needed {
            let statement = called("prepared statement", &bind.statement);
            let message = format!("bind message supplies {given} parameters, but {statement} requires {needed}");
            return Err(Fault::new(ErrorKind::Protocol, message).into());
        }
        let formats = &bind.parameter_formats;
        if formats.len() > 1 && formats.len() != given {
            let message = format!("bind message has {} parameter formats but {given} parameters", formats.len());
            return Err(Fault::new(ErrorKind::Protocol, message).into());
        }
        self.shelf.check_new_portal(&bind.portal)?;
        let zone = self.zone();
        let is_binary = |index: usize| formats.get(index).or_else(|| formats.first()) == Some(&1);
        let read = |(index, (parameter, value)): (usize, (&Parameter, &Option<bytes::Bytes>))| {
            parameter.read(value.as_ref(), is_binary(index), zone).map_err(|fault| in_parameter(fault, index))
        };
        let values = prepared.parameters.iter().zip(&bind.parameters).enumerate().map(read).collect::<Result<_, _>>()?;
        let described = match prepared.kind() {
            Kind::Rows => prepared.described.as_ref().map(|(_, description)| std::sync::Arc::clone(&description.schema)),
            _ => None,
        };
        if let Some(schema) = &described {
            encode::outputs(schema, &bind.result_formats)?;
        }
        let portal = Portal {
            parsed: prepared.parsed.clone(),
            values,
            formats: bind.result_formats,
            described,
            number: 0,
            statement: bind.statement,
            hold: false,
            binary: false,
            state: State::New,
            bytes: bind.parameters.iter().flatten().map(bytes::Bytes::len).sum(),
        };
        self.start();
        self.shelf.add_portal(&bind.portal, portal)?;
        self.outbox.put(&BindComplete::new());
        Ok(())
    }

    /// Says what a statement or portal needs and gives.
    pub(super) async fn describe_target(&mut self, target: Target, name: &str) -> Result<(), Halt> {
        self.start();
        match target {
            Target::Statement => self.describe_statement(name).await,
            Target::Portal => self.describe_portal(name).await,
        }
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Halt> {
        let prepared = self.shelf.statement(name)?.clone();
        self.transaction.admit(prepared.kind())?;
        let description = self.fresh_description(name, &prepared).await?;
        let oids = prepared.parameters.iter().map(|parameter| parameter.oid).collect();
        // Columns first: where they cannot be told, nothing is.
        let columns = match (prepared.kind(), description) {
            (Kind::Rows, Some(description)) => Some(encode::outputs(&description.schema, &[])?),
            _ => self.columns_of_command(prepared.kind(), &[])?,
        };
        self.outbox.put(&ParameterDescription::new(oids));
        self.put_columns(columns);
        Ok(())
    }

    async fn describe_portal(&mut self, name: &str) -> Result<(), Halt> {
        let missing = || Fault::new(ErrorKind::UndefinedCursor, format!("portal \"{name}\" does not exist"));
        let portal = self.shelf.portals.get(name).ok_or_else(missing)?;
        if let State::Open(cursor) = &portal.state {
            let asked: &[i16] = if portal.binary { &[1] } else { &portal.formats };
            let columns = encode::outputs(&cursor.schema(), asked)?;
            self.put_columns(Some(columns));
            return Ok(());
        }
        let (formats, statement) = (portal.formats.clone(), portal.statement.clone());
        let Some(parsed) = portal.parsed.clone() else {
            self.put_columns(None);
            return Ok(());
        };
        self.transaction.admit(parsed.kind())?;
        let columns = match parsed.kind() {
            Kind::Rows => {
                let fresh = self.shelf.statements.get(&statement).and_then(|prepared| self.fresh(prepared));
                let schema = match fresh {
                    Some(description) => description.schema,
                    None => {
                        let types: Vec<_> = portal_types(self.shelf.portals.get(name));
                        self.describe(&parsed, &types).await?.schema
                    }
                };
                let columns = encode::outputs(&schema, &formats)?;
                if let Some(portal) = self.shelf.portals.get_mut(name) {
                    portal.described = Some(schema);
                }
                Some(columns)
            }
            command => self.columns_of_command(command, &formats)?,
        };
        self.put_columns(columns);
        Ok(())
    }

    /// The columns of commands that have some: FETCH those of its cursor, EXECUTE those of its statement.
    fn columns_of_command(&self, kind: &Kind, formats: &[i16]) -> Result<Option<Vec<encode::Output>>, Fault> {
        match kind {
            Kind::Fetch { name, .. } => match self.shelf.portals.get(name).map(|portal| (&portal.state, portal.binary)) {
                Some((State::Open(cursor), binary)) => encode::outputs(&cursor.schema(), if binary { &[1] } else { formats }).map(Some),
                _ => Ok(None),
            },
            Kind::Execute { name, .. } => match &self.shelf.statement(name)?.described {
                Some((_, description)) => encode::outputs(&description.schema, formats).map(Some),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn put_columns(&mut self, columns: Option<Vec<encode::Output>>) {
        match columns {
            Some(columns) => self.outbox.put(&row_description(&columns)),
            None => self.outbox.put(&NoData::new()),
        }
    }

    /// The description, where it is of this pipeline: rights are asked for again in each.
    fn fresh(&self, prepared: &Prepared) -> Option<Description> {
        prepared.described.as_ref().filter(|(pipeline, _)| *pipeline == self.pipeline).map(|(_, description)| description.clone())
    }

    async fn fresh_description(&mut self, name: &str, prepared: &Prepared) -> Result<Option<Description>, Halt> {
        if let Some(fresh) = self.fresh(prepared) {
            return Ok(Some(fresh));
        }
        let Some(parsed) = prepared.parsed.clone().filter(|parsed| query_of(parsed).is_some()) else { return Ok(None) };
        let renewed = self.prepare(Some(parsed), prepared.declared.clone(), prepared.bytes).await?;
        let description = renewed.described.as_ref().map(|(_, description)| description.clone());
        if let Some(kept) = self.shelf.statements.get_mut(name) {
            kept.described = renewed.described;
        }
        Ok(description)
    }

    /// Runs a portal, or goes on with it.
    pub(super) async fn execute(&mut self, name: &str, max_rows: i32) -> Result<(), Halt> {
        let kept = self.shelf.portals.get(name).and_then(|portal| portal.parsed.as_ref());
        self.transaction.admit(kept.map_or(&Kind::Empty, Parsed::kind))?;
        let mut portal = self.shelf.take_portal("portal", name)?;
        let Some(parsed) = portal.parsed.clone() else {
            self.shelf.put_portal(name, portal);
            self.outbox.put(&reply::empty());
            return Ok(());
        };
        self.start();
        // The count is the client's: it bounds rows and never sizes anything.
        let most = u64::try_from(max_rows).ok().filter(|most| *most > 0).unwrap_or(u64::MAX);
        match parsed.kind().clone() {
            Kind::Rows | Kind::Execute { .. } => self.execute_rows(&mut portal, &parsed, most).await?,
            _ if matches!(portal.state, State::Done) => {
                return Err(Fault::new(ErrorKind::ActiveTransaction, format!("portal \"{name}\" cannot be run")).into());
            }
            Kind::CopyOut(options) => self.copy(&parsed, &options, &portal.values).await?,
            Kind::Fetch { name, direction } => self.fetch(&name, direction, Some(&portal.formats)).await?,
            _ => {
                let tag = self.command(&parsed, &portal.values).await?;
                self.outbox.put(&reply::complete(tag));
            }
        }
        if matches!(portal.state, State::New) {
            portal.state = State::Done;
        }
        // A COMMIT or DISCARD ALL closes portals, its own among them.
        let closes = matches!(parsed.kind(), Kind::Commit | Kind::Rollback | Kind::Discard(_) | Kind::Close(None));
        if !closes {
            self.shelf.put_portal(name, portal);
        }
        Ok(())
    }

    async fn execute_rows(&mut self, portal: &mut Portal, parsed: &Parsed, most: u64) -> Result<(), Halt> {
        if matches!(portal.state, State::New) {
            let request = self.request(parsed.clone(), portal.values.clone())?;
            let cursor = self.open(&request.parsed, &request.values).await?;
            if let Some(told) = &portal.described {
                check_unchanged(told, &cursor.schema())?;
            }
            portal.state = State::Open(Box::new(cursor));
            portal.parsed = Some(request.parsed);
        } else if let State::Open(cursor) = &mut portal.state {
            let timeout = self.statement_timeout();
            cursor.running.restart(timeout);
        }
        let State::Open(cursor) = &mut portal.state else {
            return Err(Fault::internal("a portal with rows has no cursor").into());
        };
        let outputs = encode::outputs(&cursor.schema(), &portal.formats)?;
        let (rows, ended) = self.rows(cursor, &outputs, most).await?;
        if ended {
            let tag = portal.parsed.as_ref().map_or("SELECT", Parsed::tag);
            self.outbox.put(&reply::complete(rows_tag(tag, rows)));
        } else {
            self.outbox.put(&PortalSuspended::new());
        }
        Ok(())
    }

    /// Forgets a statement or portal; one that does not exist is no error.
    pub(super) fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => drop(self.shelf.statements.remove(name)),
            Target::Portal => drop(self.shelf.portals.remove(name)),
        }
        self.outbox.put(&CloseComplete::new());
    }
}

/// The types of a portal's values, for describing its statement again.
fn portal_types(portal: Option<&Portal>) -> Vec<Option<arrow::datatypes::DataType>> {
    portal.map_or_else(Vec::new, |portal| portal.values.iter().map(|value| Some(value.data_type())).collect())
}

/// Says which parameter a value was for.
fn in_parameter(fault: Fault, index: usize) -> Fault {
    fault.with_detail(format!("The value is that of parameter ${}.", index + 1))
}
