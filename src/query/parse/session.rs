//! The statements about the session itself: settings, transactions, prepared statements and cursors.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{ErrorKind, Fault, Result};

use super::tokens::Tokens;
use super::{Body, Direction, Inner, Kind, Parsed, Source, around, digest, inner_query, plain, rows, statement};

/// SHOW, SET, RESET, DISCARD.
pub(super) fn settings(mut tokens: Tokens<'_>) -> Result<Inner> {
    let parsed = if tokens.word("SHOW") {
        let name = setting_name(&mut tokens)?;
        rows(Body::Show((name != "all").then_some(name)), "SHOW")
    } else if tokens.word("RESET") {
        let name = setting_name(&mut tokens)?;
        plain(Kind::Reset((name != "all").then_some(name)), "RESET")
    } else if tokens.word("DISCARD") {
        let what = tokens.identifier()?.to_uppercase();
        let (what, tag) = match what.as_str() {
            "ALL" => ("ALL", "DISCARD ALL"),
            "PLANS" => ("PLANS", "DISCARD PLANS"),
            "SEQUENCES" => ("SEQUENCES", "DISCARD SEQUENCES"),
            "TEMP" | "TEMPORARY" => ("TEMP", "DISCARD TEMP"),
            _ => return Err(tokens.unexpected()),
        };
        plain(Kind::Discard(what.to_owned()), tag)
    } else {
        tokens.word("SET");
        return set(tokens);
    };
    tokens.end()?;
    Ok(parsed)
}

/// A setting's name; three are spelt with several words.
fn setting_name(tokens: &mut Tokens<'_>) -> Result<String> {
    let spelt = [
        (&["TIME", "ZONE"][..], "TimeZone"),
        (&["TRANSACTION", "ISOLATION", "LEVEL"], "transaction_isolation"),
        (&["SESSION", "AUTHORIZATION"], "session_authorization"),
    ];
    match spelt.into_iter().find(|(words, _)| tokens.words(words)) {
        Some((_, name)) => Ok(name.to_owned()),
        None => tokens.dotted(),
    }
}

fn set(mut tokens: Tokens<'_>) -> Result<Inner> {
    let local = tokens.word("LOCAL");
    let session = !local && tokens.word("SESSION");
    if session && tokens.words(&["CHARACTERISTICS", "AS", "TRANSACTION"]) || tokens.word("TRANSACTION") {
        return transaction_modes(tokens, "SET");
    }
    if tokens.word("ROLE") || tokens.word("AUTHORIZATION") {
        return if tokens.word("NONE") || tokens.word("DEFAULT") {
            Ok(plain(Kind::NoOp("SET"), "SET"))
        } else {
            Err(Fault::new(ErrorKind::Denied, "permission denied to set role").with_hint("Connect as the user whose rights you want."))
        };
    }
    if tokens.words(&["TIME", "ZONE"]) {
        let value = time_zone_value(&mut tokens)?;
        tokens.end()?;
        return Ok(plain(Kind::Set { name: "TimeZone".to_owned(), value, local }, "SET"));
    }
    let names = tokens.word("NAMES");
    let name = if names { "client_encoding".to_owned() } else { tokens.dotted()? };
    if !names && !tokens.token(&Token::Eq) && !tokens.word("TO") {
        return Err(tokens.unexpected());
    }
    let value = if tokens.word("DEFAULT") { None } else { Some(values(&mut tokens)?) };
    tokens.end()?;
    Ok(plain(Kind::Set { name, value, local }, "SET"))
}

/// `value [, value]…` as one text.
fn values(tokens: &mut Tokens<'_>) -> Result<String> {
    let mut parts = Vec::new();
    loop {
        let sign = if tokens.token(&Token::Minus) { "-" } else { "" };
        let part = match tokens.peek() {
            Some(Token::Number(number, _)) => {
                tokens.take();
                number.clone()
            }
            Some(Token::Word(_)) => tokens.dotted()?,
            _ => tokens.string()?,
        };
        parts.push(format!("{sign}{part}"));
        if !tokens.token(&Token::Comma) {
            return Ok(parts.join(", "));
        }
    }
}

/// `'Europe/Berlin'`, `2`, `-7`, `LOCAL`, `INTERVAL '+00:00' HOUR TO MINUTE`.
fn time_zone_value(tokens: &mut Tokens<'_>) -> Result<Option<String>> {
    if tokens.word("LOCAL") || tokens.word("DEFAULT") {
        return Ok(None);
    }
    if tokens.word("INTERVAL") {
        let value = tokens.string()?;
        tokens.words(&["HOUR", "TO", "MINUTE"]);
        return Ok(Some(value));
    }
    values(tokens).map(Some)
}

/// BEGIN, START TRANSACTION, COMMIT, END, ROLLBACK, ABORT, SAVEPOINT, RELEASE.
pub(super) fn transactions(mut tokens: Tokens<'_>) -> Result<Inner> {
    let noise = |tokens: &mut Tokens<'_>| tokens.word("WORK") || tokens.word("TRANSACTION");
    if tokens.word("BEGIN") {
        noise(&mut tokens);
        return transaction_modes(tokens, "BEGIN");
    }
    if tokens.word("START") {
        return if tokens.word("TRANSACTION") { transaction_modes(tokens, "START TRANSACTION") } else { Err(tokens.unexpected()) };
    }
    let parsed = if tokens.word("SAVEPOINT") {
        plain(Kind::Savepoint(tokens.identifier()?), "SAVEPOINT")
    } else if tokens.word("RELEASE") {
        tokens.word("SAVEPOINT");
        plain(Kind::Release(tokens.identifier()?), "RELEASE")
    } else if tokens.word("COMMIT") || tokens.word("END") {
        noise(&mut tokens);
        no_chain(&mut tokens)?;
        plain(Kind::Commit, "COMMIT")
    } else {
        let _ = tokens.word("ROLLBACK") || tokens.word("ABORT");
        noise(&mut tokens);
        if tokens.word("TO") {
            tokens.word("SAVEPOINT");
            plain(Kind::RollbackTo(tokens.identifier()?), "ROLLBACK")
        } else {
            no_chain(&mut tokens)?;
            plain(Kind::Rollback, "ROLLBACK")
        }
    };
    tokens.end()?;
    Ok(parsed)
}

/// `AND NO CHAIN` is the default; `AND CHAIN` is not served.
fn no_chain(tokens: &mut Tokens<'_>) -> Result<()> {
    if tokens.words(&["AND", "CHAIN"]) {
        return Err(Fault::new(ErrorKind::Unsupported, "AND CHAIN is not supported"));
    }
    tokens.words(&["AND", "NO", "CHAIN"]);
    Ok(())
}

/// Transaction modes: every isolation level is kept, since nothing is written; read only is what every transaction is.
fn transaction_modes(mut tokens: Tokens<'_>, tag: &'static str) -> Result<Inner> {
    while !tokens.rest().is_empty() {
        let known = tokens.words(&["ISOLATION", "LEVEL", "READ", "UNCOMMITTED"])
            || tokens.words(&["ISOLATION", "LEVEL", "READ", "COMMITTED"])
            || tokens.words(&["ISOLATION", "LEVEL", "REPEATABLE", "READ"])
            || tokens.words(&["ISOLATION", "LEVEL", "SERIALIZABLE"])
            || tokens.words(&["READ", "ONLY"])
            || tokens.words(&["READ", "WRITE"])
            || tokens.words(&["NOT", "DEFERRABLE"])
            || tokens.word("DEFERRABLE");
        if !known {
            return Err(tokens.unexpected());
        }
        tokens.token(&Token::Comma);
    }
    Ok(plain(if tag == "SET" { Kind::NoOp("SET") } else { Kind::Begin }, tag))
}

/// PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, MOVE, CLOSE.
pub(super) fn cursors_and_statements(mut tokens: Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    let parsed = if tokens.word("PREPARE") {
        return prepare(tokens, source);
    } else if tokens.word("DECLARE") {
        return declare(tokens, source);
    } else if tokens.word("EXECUTE") {
        let name = tokens.identifier()?;
        let arguments = if tokens.token(&Token::LParen) { arguments(&mut tokens)? } else { Vec::new() };
        plain(Kind::Execute { name, arguments }, "EXECUTE")
    } else if tokens.word("DEALLOCATE") {
        tokens.word("PREPARE");
        match all_or_name(&mut tokens)? {
            None => plain(Kind::Deallocate(None), "DEALLOCATE ALL"),
            name => plain(Kind::Deallocate(name), "DEALLOCATE"),
        }
    } else if tokens.word("CLOSE") {
        match all_or_name(&mut tokens)? {
            None => plain(Kind::Close(None), "CLOSE CURSOR ALL"),
            name => plain(Kind::Close(name), "CLOSE CURSOR"),
        }
    } else if tokens.word("FETCH") {
        let (direction, name) = fetch(&mut tokens)?;
        plain(Kind::Fetch { name, direction }, "FETCH")
    } else {
        tokens.word("MOVE");
        let (direction, name) = fetch(&mut tokens)?;
        plain(Kind::Move { name, direction }, "MOVE")
    };
    tokens.end()?;
    Ok(parsed)
}

fn all_or_name(tokens: &mut Tokens<'_>) -> Result<Option<String>> {
    if tokens.word("ALL") { Ok(None) } else { tokens.identifier().map(Some) }
}

/// `[direction] [FROM | IN] name`.
fn fetch(tokens: &mut Tokens<'_>) -> Result<(Direction, String)> {
    let direction = if tokens.word("NEXT") {
        Direction::Forward(1)
    } else if tokens.word("ALL") {
        Direction::All
    } else if tokens.word("FORWARD") {
        if tokens.word("ALL") { Direction::All } else { Direction::Forward(tokens.number().unwrap_or(1)) }
    } else if ["PRIOR", "FIRST", "LAST"].into_iter().any(|word| tokens.word(word)) {
        Direction::Other
    } else if ["ABSOLUTE", "RELATIVE", "BACKWARD"].into_iter().any(|word| tokens.word(word)) || tokens.peek() == Some(&Token::Minus) {
        tokens.token(&Token::Minus);
        if tokens.number().is_none() {
            tokens.word("ALL");
        }
        Direction::Other
    } else {
        Direction::Forward(tokens.number().unwrap_or(1))
    };
    let _ = tokens.word("FROM") || tokens.word("IN");
    Ok((direction, tokens.identifier()?))
}

fn declare(mut tokens: Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    let name = tokens.identifier()?;
    let (mut binary, mut scroll) = (false, false);
    loop {
        if tokens.word("BINARY") {
            binary = true;
        } else if tokens.words(&["NO", "SCROLL"]) || tokens.word("INSENSITIVE") || tokens.word("ASENSITIVE") {
        } else if tokens.word("SCROLL") {
            scroll = true;
        } else {
            break;
        }
    }
    if !tokens.word("CURSOR") {
        return Err(tokens.unexpected());
    }
    let hold = tokens.words(&["WITH", "HOLD"]);
    tokens.words(&["WITHOUT", "HOLD"]);
    if !tokens.word("FOR") {
        return Err(tokens.unexpected());
    }
    let query = inner_query(tokens.rest(), source)?;
    Ok(around(Kind::Declare { name, hold, scroll, binary }, "DECLARE CURSOR", query))
}

fn prepare(mut tokens: Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    let name = tokens.identifier()?;
    let mut types = Vec::new();
    if tokens.token(&Token::LParen) {
        let (mut depth, mut current) = (0usize, String::new());
        loop {
            match tokens.take() {
                None => return Err(tokens.unexpected()),
                Some(Token::RParen) if depth == 0 => break,
                Some(Token::Comma) if depth == 0 => types.push(std::mem::take(&mut current)),
                Some(token) => {
                    match token {
                        Token::LParen => depth += 1,
                        Token::RParen => depth -= 1,
                        Token::Word(_) if !current.is_empty() => current.push(' '),
                        _ => {}
                    }
                    current.push_str(&token.to_string().to_lowercase());
                }
            }
        }
        types.push(current);
    }
    if !tokens.word("AS") {
        return Err(tokens.unexpected());
    }
    let written = tokens.rest();
    let inner = Inner { digest: digest(written), text: source.text(written), ..statement(tokens, source)? };
    if inner.kind != Kind::Rows {
        return Err(Fault::new(ErrorKind::Unsupported, format!("{} cannot be prepared", inner.tag)));
    }
    Ok(around(Kind::Prepare { name, types }, "PREPARE", Parsed(Arc::new(inner))))
}

/// EXECUTE's literals, up to the closing parenthesis.
fn arguments(tokens: &mut Tokens<'_>) -> Result<Vec<ScalarValue>> {
    let mut arguments = Vec::new();
    loop {
        let negative = tokens.token(&Token::Minus);
        let value = match tokens.peek() {
            Some(Token::Number(text, _)) => {
                let text = if negative { format!("-{text}") } else { text.clone() };
                tokens.take();
                match text.parse::<i64>() {
                    Ok(number) => ScalarValue::Int64(Some(number)),
                    Err(_) => ScalarValue::Utf8(Some(text)),
                }
            }
            _ if negative => return Err(tokens.unexpected()),
            Some(Token::Word(_)) if tokens.word("NULL") => ScalarValue::Null,
            Some(Token::Word(_)) if tokens.word("TRUE") => ScalarValue::Boolean(Some(true)),
            Some(Token::Word(_)) if tokens.word("FALSE") => ScalarValue::Boolean(Some(false)),
            // `DATE '2026-01-01'`: the parameter's own type reads the text.
            Some(Token::Word(_)) => {
                tokens.identifier()?;
                ScalarValue::Utf8(Some(tokens.string()?))
            }
            _ => ScalarValue::Utf8(Some(tokens.string()?)),
        };
        // `'5'::int`: likewise.
        if tokens.token(&Token::DoubleColon) {
            tokens.dotted()?;
        }
        arguments.push(value);
        if tokens.token(&Token::Comma) {
            continue;
        }
        return if tokens.token(&Token::RParen) {
            Ok(arguments)
        } else {
            Err(Fault::new(ErrorKind::Unsupported, "only literals are supported as arguments of EXECUTE"))
        };
    }
}
