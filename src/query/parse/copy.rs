//! COPY (query) TO STDOUT, with PostgreSQL's options in both spellings.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{ErrorKind, Fault, Result};

use super::tokens::Tokens;
use super::{CopyFormat, CopyOptions, Inner, Kind, Parsed, Source, around, inner_query, read_only};

pub(super) fn read(mut tokens: Tokens<'_>, source: &Source<'_>) -> Result<Inner> {
    tokens.word("COPY");
    let query = if tokens.peek() == Some(&Token::LParen) { parenthesised(&mut tokens, source)? } else { table(&mut tokens, source)? };
    if tokens.word("FROM") {
        return Err(read_only("COPY FROM"));
    }
    if !tokens.word("TO") {
        return Err(tokens.unexpected());
    }
    if !tokens.word("STDOUT") {
        return Err(Fault::new(ErrorKind::Denied, "permission denied to COPY to or from a file")
            .with_hint("Anyone can COPY to stdout. psql's \\copy command also works for anyone."));
    }
    let options = Options::default().read(&mut tokens)?;
    tokens.end()?;
    Ok(around(Kind::CopyOut(options.check()?), "COPY", query))
}

/// `COPY (query)`.
fn parenthesised(tokens: &mut Tokens<'_>, source: &Source<'_>) -> Result<Parsed> {
    tokens.take();
    let rest = tokens.rest();
    let mut depth = 1usize;
    let end = rest.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let inside = end.and_then(|end| rest.get(..end)).ok_or_else(|| tokens.unexpected())?;
    for _ in 0..=inside.len() {
        tokens.take();
    }
    inner_query(inside, source)
}

/// `COPY table [(columns)]` is a copy of `SELECT columns FROM table`; made of the statement's own tokens.
fn table(tokens: &mut Tokens<'_>, source: &Source<'_>) -> Result<Parsed> {
    let word = |text: &str, keyword| TokenWithSpan::wrap(Token::Word(Word { value: text.to_owned(), quote_style: None, keyword }));
    let start = tokens.rest();
    tokens.dotted()?;
    let name = start.get(..start.len() - tokens.rest().len()).unwrap_or_default();
    let mut select = vec![word("SELECT", Keyword::SELECT)];
    if tokens.token(&Token::LParen) {
        let columns = tokens.rest();
        while !tokens.token(&Token::RParen) {
            tokens.identifier()?;
            if tokens.peek() != Some(&Token::RParen) && !tokens.token(&Token::Comma) {
                return Err(tokens.unexpected());
            }
        }
        select.extend_from_slice(columns.get(..columns.len() - tokens.rest().len() - 1).unwrap_or_default());
    } else {
        select.push(TokenWithSpan::wrap(Token::Mul));
    }
    select.push(word("FROM", Keyword::FROM));
    select.extend_from_slice(name);
    inner_query(&select, source)
}

/// The options as far as they were given.
#[derive(Debug, Default)]
struct Options {
    format: Option<CopyFormat>,
    delimiter: Option<String>,
    null: Option<String>,
    header: Option<bool>,
    quote: Option<String>,
    escape: Option<String>,
    force_quote: Option<Vec<String>>,
}

impl Options {
    fn read(mut self, tokens: &mut Tokens<'_>) -> Result<Self> {
        tokens.word("WITH");
        if tokens.token(&Token::LParen) {
            loop {
                self.modern(tokens)?;
                if !tokens.token(&Token::Comma) {
                    break;
                }
            }
            if !tokens.token(&Token::RParen) {
                return Err(tokens.unexpected());
            }
        } else {
            while !tokens.rest().is_empty() {
                self.legacy(tokens)?;
            }
        }
        Ok(self)
    }

    /// `FORMAT csv`, `HEADER true`, as in PostgreSQL since 9.0.
    fn modern(&mut self, tokens: &mut Tokens<'_>) -> Result<()> {
        let option = tokens.identifier()?;
        match option.as_str() {
            "format" => {
                let format =
                    if matches!(tokens.peek(), Some(Token::SingleQuotedString(_))) { tokens.string()? } else { tokens.identifier()? };
                self.format = Some(match format.to_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => return Err(Fault::new(ErrorKind::InvalidParameter, format!("COPY format \"{format}\" not recognized"))),
                });
            }
            "delimiter" => self.delimiter = Some(tokens.string()?),
            "null" => self.null = Some(tokens.string()?),
            "quote" => self.quote = Some(tokens.string()?),
            "escape" => self.escape = Some(tokens.string()?),
            "header" | "freeze" => {
                let on = match tokens.keyword().as_deref() {
                    Some("FALSE" | "OFF") => false,
                    Some("TRUE" | "ON") => true,
                    _ => {
                        if option == "header" {
                            self.header = Some(true);
                        }
                        return Ok(());
                    }
                };
                tokens.take();
                if option == "header" {
                    self.header = Some(on);
                }
            }
            "force_quote" => self.force_quote = Some(columns(tokens)?),
            "encoding" => encoding(&tokens.string()?)?,
            _ => return Err(Fault::new(ErrorKind::Syntax, format!("option \"{option}\" not recognized"))),
        }
        Ok(())
    }

    /// `CSV HEADER QUOTE '"'`, as before PostgreSQL 9.0.
    fn legacy(&mut self, tokens: &mut Tokens<'_>) -> Result<()> {
        let option = tokens.keyword().ok_or_else(|| tokens.unexpected())?;
        tokens.take();
        match option.as_str() {
            "BINARY" => self.format = Some(CopyFormat::Binary),
            "CSV" => self.format = Some(CopyFormat::Csv),
            "HEADER" => self.header = Some(true),
            "DELIMITER" | "NULL" | "QUOTE" | "ESCAPE" | "ENCODING" => {
                tokens.word("AS");
                let value = tokens.string()?;
                match option.as_str() {
                    "DELIMITER" => self.delimiter = Some(value),
                    "NULL" => self.null = Some(value),
                    "QUOTE" => self.quote = Some(value),
                    "ESCAPE" => self.escape = Some(value),
                    _ => encoding(&value)?,
                }
            }
            "FORCE" if tokens.word("QUOTE") => self.force_quote = Some(columns(tokens)?),
            _ => return Err(Fault::new(ErrorKind::Syntax, format!("syntax error at or near \"{option}\""))),
        }
        Ok(())
    }

    /// The options with their defaults, where they go together.
    fn check(self) -> Result<CopyOptions> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        let invalid = |what: &str| Fault::new(ErrorKind::InvalidParameter, what.to_owned());
        if format == CopyFormat::Binary && (self.delimiter.is_some() || self.null.is_some() || self.header == Some(true)) {
            return Err(invalid("cannot specify DELIMITER, NULL or HEADER in BINARY mode"));
        }
        if format != CopyFormat::Csv && (self.quote.is_some() || self.escape.is_some() || self.force_quote.is_some()) {
            return Err(invalid("COPY QUOTE, ESCAPE and FORCE_QUOTE are available only in CSV mode"));
        }
        let byte = |text: Option<String>, default: u8, what: &str| match text.as_deref().map(str::as_bytes) {
            None => Ok(default),
            Some([byte]) if !matches!(byte, b'\n' | b'\r') => Ok(*byte),
            Some(_) => Err(invalid(&format!("COPY {what} must be a single one-byte character"))),
        };
        let csv = format == CopyFormat::Csv;
        let quote = byte(self.quote, b'"', "quote")?;
        let options = CopyOptions {
            format,
            delimiter: byte(self.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?,
            null: self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
            header: self.header.unwrap_or(false),
            quote,
            escape: byte(self.escape, quote, "escape")?,
            force_quote: self.force_quote,
        };
        if options.null.contains(['\n', '\r']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return"));
        }
        if csv && options.delimiter == options.quote {
            return Err(invalid("COPY delimiter and quote must be different"));
        }
        Ok(options)
    }
}

/// `*` (no names) or a list of columns.
fn columns(tokens: &mut Tokens<'_>) -> Result<Vec<String>> {
    if tokens.token(&Token::Mul) {
        return Ok(Vec::new());
    }
    let parenthesised = tokens.token(&Token::LParen);
    let mut names = vec![tokens.identifier()?];
    while tokens.token(&Token::Comma) {
        names.push(tokens.identifier()?);
    }
    if parenthesised && !tokens.token(&Token::RParen) {
        return Err(tokens.unexpected());
    }
    Ok(names)
}

fn encoding(name: &str) -> Result<()> {
    if matches!(name.to_ascii_lowercase().replace('-', "").as_str(), "utf8" | "unicode") {
        Ok(())
    } else {
        Err(Fault::new(ErrorKind::Unsupported, format!("encoding \"{name}\" is not supported")).with_hint("Only UTF8 is served."))
    }
}
