//! What a policy answered, read into our terms. Of another type, with a key too many or undefined where it must not be, it denies.

use std::collections::BTreeMap;

use regorus::Value;

use crate::catalog::Origin;
use crate::policy::{Mask, Reason};

use super::check::Answering;
use super::{Export, mask};

/// The most filters, masks or refusals of one answer.
const MOST: usize = 2000;
/// The longest text of a refusal that is written down, in characters.
const LONGEST: usize = 200;

/// What all levels answered together.
#[derive(Debug, Default)]
pub(in crate::policy) struct Answer {
    /// Why not. One is enough.
    pub(in crate::policy) deny: Vec<Reason>,
    /// What entitles.
    pub(in crate::policy) allow: Option<Reason>,
    pub(in crate::policy) filters: Vec<FilterRule>,
    pub(in crate::policy) masks: Vec<MaskRule>,
}

/// A row filter, as the manifest would have it.
#[derive(Debug)]
pub(in crate::policy) struct FilterRule {
    pub(in crate::policy) expression: String,
    pub(in crate::policy) bind: BTreeMap<String, String>,
    pub(in crate::policy) origin: Origin,
}

/// A mask of one column.
#[derive(Debug)]
pub(in crate::policy) struct MaskRule {
    pub(in crate::policy) column: String,
    pub(in crate::policy) mask: Mask,
    pub(in crate::policy) origin: Origin,
}

/// Reads one answer of one level.
pub(super) struct Reader<'a> {
    pub(super) package: &'a str,
    pub(super) export: Export,
    /// The rules that give this answer, with their files.
    pub(super) rules: &'a [(String, Answering)],
    pub(super) input: &'a Value,
}

/// Why an answer cannot be used, and the place of the rule that gave it.
type Unusable = (String, Origin);

impl Reader<'_> {
    pub(super) fn read(&self, value: &Value, answer: &mut Answer) -> Result<(), Unusable> {
        match self.export {
            Export::Deny => {
                for item in self.items(value)? {
                    let text = self.text(item)?;
                    let shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
                    let origin = Some(self.origin(&[text]));
                    answer.deny.push(Reason { text: format!("the policy {} denies: {shown}", self.package), origin });
                }
            }
            Export::Allow => match value {
                Value::Bool(true) => {
                    let text = format!("the policy {} allows it", self.package);
                    answer.allow.get_or_insert(Reason { text, origin: Some(self.origin(&[])) });
                }
                Value::Bool(false) | Value::Undefined => {}
                other => return Err(self.unusable(format!("it is {}, and must be true or false", kind(other)))),
            },
            Export::RowFilters => {
                for item in self.items(value)? {
                    let fields = self.fields(item, &["expression", "bind"])?;
                    let expression = self.text(self.field(&fields, "expression")?)?.to_owned();
                    let bind = match fields.get("bind") {
                        Some(bind) => self.texts(bind)?,
                        None => BTreeMap::new(),
                    };
                    let origin = self.origin(&[&expression]);
                    answer.filters.push(FilterRule { expression, bind, origin });
                }
            }
            Export::ColumnMasks => {
                for item in self.items(value)? {
                    let fields = self.fields(item, &["column", "mask"])?;
                    let column = self.text(self.field(&fields, "column")?)?;
                    let name = self.text(self.field(&fields, "mask")?)?;
                    let origin = self.origin(&[column, name]);
                    let mask = Mask::parse(name).map_err(|why| (why, origin.clone()))?;
                    answer.masks.push(MaskRule { column: column.to_owned(), mask, origin });
                }
            }
            Export::TrinoRowFilters => {
                for item in self.items(value)? {
                    let expression = self.view_expression(item)?;
                    let origin = self.origin(&[&expression]);
                    answer.filters.push(FilterRule { expression, bind: BTreeMap::new(), origin });
                }
            }
            Export::TrinoColumnMasks | Export::TrinoColumnMask => {
                for item in self.items(value)? {
                    let fields = self.fields(item, &["index", "viewExpression"])?;
                    let column = self.column(self.field(&fields, "index")?)?;
                    let expression = self.view_expression(self.field(&fields, "viewExpression")?)?;
                    let origin = self.origin(&[column, &expression]);
                    let mask = mask::of(&expression, column).map_err(|why| (why, origin.clone()))?;
                    answer.masks.push(MaskRule { column: column.to_owned(), mask, origin });
                }
            }
        }
        Ok(())
    }

    /// The members of a set or of an array.
    fn items<'v>(&self, value: &'v Value) -> Result<Vec<&'v Value>, Unusable> {
        let items: Vec<&Value> = match value {
            Value::Set(set) => set.iter().collect(),
            Value::Array(array) => array.iter().collect(),
            Value::Undefined => return Err(self.unusable("it is undefined: give an empty set where there is nothing to say".into())),
            other => return Err(self.unusable(format!("it is {}, and must be a set", kind(other)))),
        };
        if items.len() > MOST { Err(self.unusable(format!("it has more than {MOST} members"))) } else { Ok(items) }
    }

    /// An object with these keys only.
    fn fields<'v>(&self, value: &'v Value, known: &[&str]) -> Result<BTreeMap<&'v str, &'v Value>, Unusable> {
        let Value::Object(object) = value else {
            return Err(self.unusable(format!("a member is {}, and must be an object with {}", kind(value), known.join(" and "))));
        };
        let mut fields = BTreeMap::new();
        for (key, value) in object.iter() {
            let key = self.text(key)?;
            if !known.contains(&key) {
                return Err(self.unusable(format!("a member has the key `{}`, and there are {} only", clip(key), known.join(" and "))));
            }
            fields.insert(key, value);
        }
        Ok(fields)
    }

    fn field<'v>(&self, fields: &BTreeMap<&str, &'v Value>, key: &str) -> Result<&'v Value, Unusable> {
        fields.get(key).copied().ok_or_else(|| self.unusable(format!("a member has no `{key}`")))
    }

    fn text<'v>(&self, value: &'v Value) -> Result<&'v str, Unusable> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(self.unusable(format!("{} stands where a text must", kind(other)))),
        }
    }

    fn texts(&self, value: &Value) -> Result<BTreeMap<String, String>, Unusable> {
        let Value::Object(object) = value else {
            return Err(self.unusable(format!("`bind` is {}, and must be an object of texts", kind(value))));
        };
        object.iter().map(|(name, path)| Ok((self.text(name)?.to_owned(), self.text(path)?.to_owned()))).collect()
    }

    /// Trino's `{expression, identity}`. Its filters run as somebody else where it says so; ours run as nobody.
    fn view_expression(&self, value: &Value) -> Result<String, Unusable> {
        let fields = self.fields(value, &["expression", "identity"])?;
        if fields.get("identity").is_some_and(|identity| **identity != Value::Null) {
            return Err(self.unusable("an expression cannot be run under another `identity`".into()));
        }
        Ok(self.text(self.field(&fields, "expression")?)?.to_owned())
    }

    /// The name of the column with this place in `input.columns`.
    fn column(&self, index: &Value) -> Result<&str, Unusable> {
        let missing = || self.unusable("an `index` is not a place in `input.columns`".into());
        let index = usize::try_from(index.as_u64().map_err(|_| missing())?).map_err(|_| missing())?;
        let columns = self.input["columns"].as_array().map_err(|_| missing())?;
        match columns.get(index).map(|column| &column["name"]) {
            Some(Value::String(name)) => Ok(name),
            _ => Err(missing()),
        }
    }

    fn unusable(&self, why: String) -> Unusable {
        (why, self.origin(&[]))
    }

    /// The place of the rule that holds most of these texts, or of the first one.
    fn origin(&self, texts: &[&str]) -> Origin {
        let holds = |rule: &Answering| texts.iter().filter(|text| rule.texts.contains(**text)).count();
        let best = self.rules.iter().rev().max_by_key(|(_, rule)| holds(rule));
        best.map_or(Origin { file: String::new(), line: 0, column: 0 }, |(file, rule)| rule.origin(file))
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}
