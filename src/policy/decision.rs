//! Rules 3 to 5: which rows and values an entitled principal sees.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::logical_expr::Expr;

use crate::catalog::{Column, Origin};

use super::filter::Filter;
use super::rego::{Answer, MaskRule};
use super::{Decision, Denial, Mask, Permit, Reason, Request, View, entitlement};

/// Decides how a port with these true columns is read. Deny is what happens when nobody decided.
pub fn decide(request: &Request<'_>, schema: &SchemaRef) -> Decision {
    match view(request, schema) {
        Ok(permit) => Decision::Permit(permit),
        Err(denial) => Decision::Denied(denial),
    }
}

fn view(request: &Request<'_>, schema: &SchemaRef) -> Result<Permit, Denial> {
    let answer = request.rego.ask(request, Some(schema));
    let mut reasons = entitlement::entitled(request, &answer)?;
    let answer = answer.map_err(entitlement::undecided)?;
    one_column_a_name(schema).map_err(|reason| undecided(reason, None))?;
    let (filter, filter_texts) = row_filter(request, schema, &answer, &mut reasons)?;
    let masks = column_masks(request, schema, &answer, &mut reasons)?;
    Ok(Permit(Arc::new(View { filter, masks, reasons, filter_texts })))
}

fn undecided(text: String, origin: Option<&Origin>) -> Denial {
    entitlement::undecided(Reason { text, origin: origin.cloned() })
}

/// A policy names columns, so a name must mean one column.
fn one_column_a_name(schema: &Schema) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name().as_str())) {
        Some(twice) => Err(format!("the column `{}` exists twice", twice.name())),
        None => Ok(()),
    }
}

/// Rule 3: the filters that hold for the principal, ANDed. The engine's filter drops rows for which it is NULL.
fn row_filter(
    request: &Request<'_>,
    schema: &SchemaRef,
    answer: &Answer,
    reasons: &mut Vec<Reason>,
) -> Result<(Option<Expr>, Vec<String>), Denial> {
    let mut rules: Vec<(&String, &BTreeMap<String, String>, &Origin)> = Vec::new();
    for rule in &request.target.product.row_filters {
        let expression = &rule.value.expression;
        if request.principal.in_any(&rule.value.except_groups) {
            reasons.push(Reason { text: format!("the row filter {expression} falls away by group"), origin: Some(rule.origin.clone()) });
            continue;
        }
        rules.push((expression, &rule.value.bind, &rule.origin));
    }
    rules.extend(answer.filters.iter().map(|rule| (&rule.expression, &rule.bind, &rule.origin)));
    let mut all: Option<Expr> = None;
    let mut texts = Vec::new();
    for (expression, bind, origin) in rules {
        let one = Filter::parse(expression, bind)
            .and_then(|filter| filter.compile(schema, request.principal))
            .map_err(|why| undecided(format!("the row filter {expression} cannot be applied: {why}"), Some(origin)))?;
        all = Some(match all {
            Some(others) => others.and(one),
            None => one,
        });
        reasons.push(Reason { text: format!("rows are filtered by {expression}"), origin: Some(origin.clone()) });
        texts.push(expression.clone());
    }
    Ok((all, texts))
}

/// The masks asked for, by the column's place in the schema.
type Asked<'a> = BTreeMap<usize, Vec<Cow<'a, Mask>>>;

/// Rule 4: per column, the strictest of the classification's mask, the product's and those of the policies in Rego.
fn column_masks(
    request: &Request<'_>,
    schema: &Schema,
    answer: &Answer,
    reasons: &mut Vec<Reason>,
) -> Result<BTreeMap<String, Mask>, Denial> {
    let mut asked = Asked::new();
    classified(request, schema, &mut asked, reasons)?;
    declared(request, schema, &mut asked, reasons)?;
    for MaskRule { column, mask, origin } in &answer.masks {
        ask(&mut asked, schema, column, mask).map_err(|why| undecided(why, Some(origin)))?;
        reasons.push(Reason { text: format!("the column {column} is masked by {mask}"), origin: Some(origin.clone()) });
    }
    let mut masks = BTreeMap::new();
    for (place, all) in asked {
        let field = schema.field(place);
        let all: Vec<&Mask> = all.iter().map(Cow::as_ref).collect();
        let Some(mask) = Mask::strictest_of(&all, field.data_type()) else { continue };
        if all.len() > 1 {
            let text = format!("the strictest mask of the column {} is {mask}", field.name());
            reasons.push(Reason { text, origin: None });
        }
        masks.insert(field.name().clone(), mask);
    }
    Ok(masks)
}

/// The masks that classifications ask for. Each falls away for its own clear groups only.
fn classified<'a>(request: &Request<'a>, schema: &Schema, asked: &mut Asked<'a>, reasons: &mut Vec<Reason>) -> Result<(), Denial> {
    let target = request.target;
    let columns = target.product.ports.get(target.port).and_then(|port| port.columns.as_ref());
    for (name, column) in columns.into_iter().flatten().flat_map(Column::with_fields) {
        let Some(label) = &column.classification else { continue };
        let Some((known, rule)) = request.mesh.rule_for(label) else {
            let text = format!("the mesh does not know the classification {label} of the column {name}");
            return Err(undecided(text, Some(&target.product.source)));
        };
        if request.principal.in_any(&rule.clear_groups) {
            let text = format!("the column {name} ({label}) is clear by group");
            reasons.push(Reason { text, origin: Some(rule.mask.origin.clone()) });
            continue;
        }
        ask(asked, schema, &name, &rule.mask.value).map_err(|why| undecided(why, Some(&rule.mask.origin)))?;
        let text = format!("the column {name} ({label}) is masked by {}, the rule for {known}", rule.mask.value);
        reasons.push(Reason { text, origin: Some(rule.mask.origin.clone()) });
    }
    Ok(())
}

/// The masks that the manifest asks for. They can only tighten what the classification left.
fn declared<'a>(request: &Request<'a>, schema: &Schema, asked: &mut Asked<'a>, reasons: &mut Vec<Reason>) -> Result<(), Denial> {
    for rule in &request.target.product.masks {
        let (name, mask) = (rule.value.column.as_str(), &rule.value.mask);
        if request.principal.in_any(&rule.value.except_groups) {
            let text = format!("the mask {mask} of the column {name} falls away by group");
            reasons.push(Reason { text, origin: Some(rule.origin.clone()) });
            continue;
        }
        ask(asked, schema, name, mask).map_err(|why| undecided(why, Some(&rule.origin)))?;
        reasons.push(Reason { text: format!("the column {name} is masked by {mask}"), origin: Some(rule.origin.clone()) });
    }
    Ok(())
}

/// Asks for a mask of a column, or of a field by its path. The port must have it, and the mask must take its type.
fn ask<'a>(asked: &mut Asked<'a>, schema: &Schema, path: &str, mask: &'a Mask) -> Result<(), String> {
    let (place, aimed) = match schema.fields().find(path) {
        Some((place, _)) => (place, Cow::Borrowed(mask)),
        None => {
            let aimed = mask.clone().aimed(path, schema.fields());
            let (place, mask) = aimed.ok_or_else(|| format!("the mask {mask} is for the column {path}, which the port does not have"))?;
            (place, Cow::Owned(mask))
        }
    };
    let column = schema.field(place);
    if !aimed.accepts(column.data_type()) {
        return Err(format!("the mask {aimed} does not take the type {} of the column {}", column.data_type(), column.name()));
    }
    asked.entry(place).or_default().push(aimed);
    Ok(())
}

#[cfg(test)]
mod tests;
