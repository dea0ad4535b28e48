//! Text and arrays, where PostgreSQL's functions differ from the planner's or are not there.

use super::{Def, Row};
use crate::error::{ErrorKind, Fault};
use crate::system::grid::Cell;

pub(super) const DEFS: &[Def] = &[
    Def::new("quote_ident", (1, 1), "text", |_, row| Ok(Cell::owned(quote_ident(&row.text(0).unwrap_or_default())))),
    Def::new("quote_literal", (1, 1), "text", |_, row| Ok(Cell::owned(quote_literal(&row.text(0).unwrap_or_default())))),
    Def::new("quote_nullable", (1, 1), "text", |_, row| {
        Ok(Cell::owned(row.text(0).map_or_else(|| "NULL".to_owned(), |text| quote_literal(&text))))
    })
    .lax(),
    Def::new("like_escape", (2, 2), "text", |_, row| {
        like_escape(&row.text(0).unwrap_or_default(), &row.text(1).unwrap_or_default()).map(Cell::owned)
    }),
    Def::new("pg_size_pretty", (1, 1), "text", |_, row| Ok(row.int(0).map_or(Cell::Null, |bytes| Cell::owned(size_pretty(bytes))))),
    Def::new("array_upper", (2, 2), "int4", |_, row| Ok(upper(row).map_or(Cell::Null, Cell::Int))),
    Def::new("array_lower", (2, 2), "int4", |_, row| Ok(upper(row).map_or(Cell::Null, |_| Cell::Int(1)))),
    // What `'{a,b}'` and an unbound parameter become where an array of texts is asked for.
    Def::new("pg_text_array", (1, 1), "_text", |_, row| Ok(Cell::List(text_array(row)))),
];

/// Words that PostgreSQL quotes when they are names.
const RESERVED: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast \
    char character check coalesce collate collation column concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do else end except exists extract \
    false fetch float for foreign freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect \
    interval into is isnull join lateral leading least left like limit localtime localtimestamp national natural nchar none normalize not \
    notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision primary real references \
    returning right row select session_user setof similar smallint some substring symmetric tablesample table then time timestamp to trailing \
    treat trim true union unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement \
    xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

/// A name as SQL can read it back.
pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !RESERVED.split_whitespace().any(|word| word == name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(crate) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A LIKE pattern that escapes with `letter`, as one that escapes with a backslash; no letter is no escape.
fn like_escape(pattern: &str, letter: &str) -> Result<String, Fault> {
    let mut letters = letter.chars();
    let escape = letters.next();
    if letters.next().is_some() {
        return Err(
            Fault::new(ErrorKind::InvalidParameter, "invalid escape string").with_hint("Escape string must be empty or one character.")
        );
    }
    let mut made = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        if Some(next) == escape {
            made.push('\\');
            made.extend(rest.next());
        } else if next == '\\' {
            made.push_str("\\\\");
        } else {
            made.push(next);
        }
    }
    Ok(made)
}

/// Bytes as PostgreSQL writes them for people: up to 10239 of a unit, halves rounded up.
fn size_pretty(bytes: i64) -> String {
    let (mut value, mut unit) = (i128::from(bytes) * 2, "bytes");
    if value.abs() < 20 * 1024 {
        return format!("{bytes} bytes");
    }
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        value /= 1024;
        unit = next;
        if value.abs() < 20479 {
            break;
        }
    }
    format!("{} {unit}", (value + value.signum()) / 2)
}

/// The length of a one-dimensional array; none for an empty one.
fn upper(row: &Row<'_>) -> Option<i64> {
    let items = row.texts(0)?;
    (row.int(1) == Some(1) && !items.is_empty()).then(|| i64::try_from(items.len()).unwrap_or(i64::MAX))
}

/// The elements of an array, or of the text of one, `{a,"b c",NULL}`.
fn text_array(row: &Row<'_>) -> Vec<Cell<'static>> {
    let items = row.texts(0).unwrap_or_else(|| parse_array(&row.text(0).unwrap_or_default()));
    items.into_iter().map(|item| item.map_or(Cell::Null, Cell::owned)).collect()
}

fn parse_array(text: &str) -> Vec<Option<String>> {
    let inner = text.trim();
    let inner = inner.strip_prefix(['{', '[']).unwrap_or(inner);
    let inner = inner.strip_suffix(['}', ']']).unwrap_or(inner);
    if inner.trim().is_empty() {
        return Vec::new();
    }
    let (mut items, mut item, mut quoted, mut was_quoted) = (Vec::new(), String::new(), false, false);
    let mut letters = inner.chars();
    let finish = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        let quoted = std::mem::take(was_quoted);
        if quoted { Some(text) } else { Some(text.trim().to_owned()).filter(|text| !text.eq_ignore_ascii_case("null")) }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.extend(letters.next()),
            '"' => (quoted, was_quoted) = (!quoted, true),
            ',' if !quoted => items.push(finish(&mut item, &mut was_quoted)),
            // Around a quoted element: `{"a", "b"}`.
            space if !quoted && space.is_whitespace() && (was_quoted || item.is_empty()) => {}
            other => item.push(other),
        }
    }
    items.push(finish(&mut item, &mut was_quoted));
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_may_have_spaces_around_its_elements() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse_array(r#"{"p", "f" ,r , null, "a b"}"#), [some("p"), some("f"), some("r"), None, some("a b")]);
    }

    #[test]
    fn a_name_is_quoted_only_where_sql_needs_it() {
        for (name, quoted) in [("claims", "claims"), ("a_1", "a_1"), ("Order", "\"Order\""), ("order", "\"order\""), ("a\"b", "\"a\"\"b\"")]
        {
            assert_eq!(quote_ident(name), quoted);
        }
        assert_eq!(quote_literal("it's \\"), "E'it''s \\\\'");
    }

    #[test]
    fn a_pattern_may_escape_with_any_letter() {
        for (pattern, letter, made) in [("pg/_%", "/", "pg\\_%"), ("a\\b", "/", "a\\\\b"), ("a!!", "!", "a\\!"), ("a\\_", "\\", "a\\_")] {
            assert_eq!(like_escape(pattern, letter).unwrap(), made, "{pattern}");
        }
        assert!(like_escape("a", "ab").is_err());
    }

    #[test]
    fn sizes_are_written_as_postgresql_writes_them() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (1_048_576, "1024 kB"),
            (10_485_760, "10 MB"),
            (123_456_789_012, "115 GB"),
        ] {
            assert_eq!(size_pretty(bytes), text);
        }
    }

    #[test]
    fn the_text_of_an_array_is_read_with_its_quotes_and_nulls() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse_array("{p,f,\"m, n\",NULL,\"NULL\"}"), [some("p"), some("f"), some("m, n"), None, some("NULL")]);
        assert_eq!(parse_array("[a, b]"), [some("a"), some("b")]);
        assert_eq!(parse_array("{}"), []);
    }
}
