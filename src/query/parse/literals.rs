//! String literals that follow one another: over a line break they are one, as PostgreSQL has it (its manual, 4.1.2.1); otherwise the second
//! is a syntax error.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use crate::error::{ErrorKind, Fault, Result};

use super::Source;
use super::tokens::unexpected;

/// The tokens of a statement without white space and comments, each divided literal as one.
pub(super) fn joined(tokens: &[TokenWithSpan], source: &Source<'_>) -> Result<Vec<TokenWithSpan>> {
    let mut read: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // Since the last token that counts.
    let (mut broken, mut comment) = (false, false);
    for token in tokens {
        match &token.token {
            Token::EOF => continue,
            Token::Whitespace(space) => {
                broken |= matches!(space, Whitespace::Newline | Whitespace::SingleLineComment { .. });
                comment |= matches!(space, Whitespace::MultiLineComment(_));
                continue;
            }
            _ => {}
        }
        let divided = broken && !comment;
        (broken, comment) = (false, false);
        match read.last_mut() {
            Some(last) if is_text(&token.token) && is_text(&last.token) => {
                let (true, Token::SingleQuotedString(more)) = (divided, &token.token) else { return Err(unexpected(token, source)) };
                add(&mut last.token, more).map_err(|fault| fault.with_position(source.position(token.span.start)))?;
                last.span.end = token.span.end;
            }
            _ => read.push(token.clone()),
        }
    }
    Ok(read)
}

/// Puts what is behind the break at the end of the literal.
fn add(literal: &mut Token, more: &str) -> Result<()> {
    match literal {
        Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) | Token::HexStringLiteral(text) => text.push_str(more),
        Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) if !more.contains('\\') => text.push_str(more),
        Token::EscapedStringLiteral(_) | Token::UnicodeStringLiteral(_) => {
            return Err(Fault::new(ErrorKind::Unsupported, "escapes in a string constant's continuation are not supported")
                .with_hint("Write the constant on one line."));
        }
        _ => return Err(Fault::new(ErrorKind::Syntax, "syntax error at a string constant's continuation")),
    }
    Ok(())
}

/// Whether it is a string constant.
pub(super) fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DollarQuotedString(_)
    )
}
