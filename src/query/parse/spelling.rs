//! What the SQL parser does not read, token for token in a way that it does: `trim(BOTH FROM x)` and `BETWEEN SYMMETRIC`.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// What `SYMMETRIC` becomes: a prefix operator of the first bound, which PostgreSQL has no more.
const SYMMETRIC: Token = Token::DoubleExclamationMark;

/// The tokens as the parser reads them, each where it stood.
pub(super) fn readable(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut read: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let word = |at: Option<usize>, words: &[&str]| {
        let token = at.and_then(|at| tokens.get(at)).map(|token| &token.token);
        matches!(token, Some(Token::Word(word)) if word.quote_style.is_none() && words.iter().any(|w| word.value.eq_ignore_ascii_case(w)))
    };
    let bracket = |at: Option<usize>| at.and_then(|at| tokens.get(at)).is_some_and(|token| token.token == Token::LParen);
    for (at, token) in tokens.iter().enumerate() {
        let back = |by| at.checked_sub(by);
        let put = |other: Token| TokenWithSpan { token: other, span: token.span };
        if word(Some(at), &["from"]) && bracket(back(1)) && word(back(2), &["trim"]) {
            continue;
        }
        let sided = word(back(1), &["both", "leading", "trailing"]) && bracket(back(2)) && word(back(3), &["trim"]);
        if word(Some(at), &["from"]) && sided {
            read.push(put(Token::SingleQuotedString(" ".to_owned())));
        }
        match word(back(1), &["between"]) {
            true if word(Some(at), &["asymmetric"]) => {}
            true if word(Some(at), &["symmetric"]) => read.push(put(SYMMETRIC)),
            _ => read.push(token.clone()),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    #[test]
    fn what_the_parser_does_not_read_is_read() {
        for (text, read) in [
            ("trim(BOTH FROM x)", "TRIM(BOTH ' ' FROM x)"),
            ("trim(FROM x)", "TRIM(x)"),
            ("trim(LEADING 'a' FROM x)", "TRIM(LEADING 'a' FROM x)"),
            ("x BETWEEN ASYMMETRIC 1 AND 2", "x BETWEEN 1 AND 2"),
            ("x BETWEEN SYMMETRIC 1 + y AND 2", "x BETWEEN !!1 + y AND 2"),
            ("symmetric + \"between\"", "symmetric + \"between\""),
        ] {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().unwrap();
            let tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
            let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(readable(&tokens));
            assert_eq!(parser.parse_expr().unwrap().to_string(), read, "{text}");
        }
    }
}
