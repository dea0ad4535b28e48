//! What the SQL parser does not read, token for token in a way that it does: `trim(BOTH FROM x)`, `BETWEEN SYMMETRIC` and `x>-1`.

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
            _ => match operators(&token.token) {
                Some(operators) => read.extend(operators.into_iter().map(put)),
                None => read.push(token.clone()),
            },
        }
    }
    read
}

/// The operators that stand together where PostgreSQL reads several: one that ends with a sign is its own only where a character in it occurs
/// in no operator of SQL itself (its manual, 4.1.3).
fn operators(token: &Token) -> Option<Vec<Token>> {
    let Token::CustomBinaryOperator(name) = token else { return None };
    let first = match name.trim_end_matches(['+', '-']) {
        "" => Token::Minus,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "<>" => Token::Neq,
        ">=" => Token::GtEq,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        "->" => Token::Arrow,
        "->>" => Token::LongArrow,
        _ => return None,
    };
    let signs = name.get(first.to_string().len()..)?;
    // Two minus signs are a comment, which the parser's tokens are without.
    let signs = (!signs.contains("--")).then_some(signs)?;
    let signs = signs.chars().map(|sign| if sign == '+' { Token::Plus } else { Token::Minus });
    Some(std::iter::once(first).chain(signs).collect())
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
            ("x>-1", "x > -1"),
            ("x<>-1 AND x>=-1 AND x<=-1 AND x<-1 AND x=-1", "x <> -1 AND x >= -1 AND x <= -1 AND x < -1 AND x = -1"),
            ("x>+1", "x > +1"),
            ("x-+1", "x - +1"),
            ("x->>-1", "x ->> -1"),
            ("x||-1", "x ||- 1"),
            ("symmetric + \"between\"", "symmetric + \"between\""),
        ] {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().unwrap();
            let tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
            let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(readable(&tokens));
            assert_eq!(parser.parse_expr().unwrap().to_string(), read, "{text}");
        }
    }
}
