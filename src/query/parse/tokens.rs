//! A cursor over one statement's tokens: what the statements that are read here, and not by the SQL parser, are read with.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{ErrorKind, Fault, Result};

use super::Source;

/// A place in a statement's tokens. White space and comments are gone already.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    all: &'a [TokenWithSpan],
    next: usize,
    source: &'a Source<'a>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(all: &'a [TokenWithSpan], source: &'a Source<'a>) -> Self {
        Self { all, next: 0, source }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [TokenWithSpan] {
        self.all.get(self.next..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.all.get(self.next).map(|token| &token.token)
    }

    pub(super) fn take(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.next += usize::from(token.is_some());
        token
    }

    /// Takes the next token where it is this unquoted word, whatever its case.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    /// Takes all of `words`, or nothing.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let start = self.next;
        let found = words.iter().all(|word| self.word(word));
        if !found {
            self.next = start;
        }
        found
    }

    /// Takes the next token where it is this one.
    pub(super) fn token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }

    /// The next unquoted word in upper case, without taking it.
    pub(super) fn keyword(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(w)) if w.quote_style.is_none() => Some(w.value.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// Takes an identifier: folded to lower case unless quoted.
    pub(super) fn identifier(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(w)) => {
                self.next += 1;
                Ok(if w.quote_style.is_some() { w.value.clone() } else { w.value.to_lowercase() })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Takes a name that may have dots: `meshgate.purpose`.
    pub(super) fn dotted(&mut self) -> Result<String> {
        let mut name = self.identifier()?;
        while self.token(&Token::Period) {
            name = format!("{name}.{}", self.identifier()?);
        }
        Ok(name)
    }

    /// Takes a string literal.
    pub(super) fn string(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                self.next += 1;
                Ok(text.clone())
            }
            Some(Token::DollarQuotedString(text)) => {
                self.next += 1;
                Ok(text.value.clone())
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Takes an unsigned number.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.peek() {
            Some(Token::Number(text, _)) => {
                let number = text.parse().ok()?;
                self.next += 1;
                Some(number)
            }
            _ => None,
        }
    }

    /// Fails where anything is left.
    pub(super) fn end(&self) -> Result<()> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The syntax error at the next token.
    pub(super) fn unexpected(&self) -> Fault {
        match self.all.get(self.next) {
            Some(token) => unexpected(token, self.source),
            None => Fault::new(ErrorKind::Syntax, "syntax error at end of input").with_position(self.source.end()),
        }
    }
}

/// The syntax error at a token, in PostgreSQL's words.
pub(super) fn unexpected(token: &TokenWithSpan, source: &Source<'_>) -> Fault {
    Fault::new(ErrorKind::Syntax, format!("syntax error at or near \"{}\"", shorten(&token.token.to_string())))
        .with_position(source.position(token.span.start))
}

/// A token as an error quotes it.
pub(super) fn shorten(text: &str) -> String {
    const MAX: usize = 64;
    if text.chars().count() <= MAX { text.to_owned() } else { text.chars().take(MAX).chain("...".chars()).collect() }
}
