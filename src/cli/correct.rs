//! `meshgate correct`: what finance adds to a domain's bill, or takes off it.

use std::path::PathBuf;

use chrono::Utc;
use rust_decimal::Decimal;

use super::{Failure, load_paths, print_line, told};
use crate::id::{DomainName, ProductId, ProductName};
use crate::metering::{Booked, Correction, Month, correct};

/// Correct what a domain owes for a product; in a closed month's stead the first open month bills it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The consumer domain
    #[arg(long)]
    domain: DomainName,
    /// The product: claims.claims_enriched
    #[arg(long, value_parser = product)]
    product: ProductId,
    /// The month that was wrong, such as 2026-11
    #[arg(long)]
    month: Month,
    /// What is added to what the domain owes, such as 12.50; what is taken off, such as -12.50
    #[arg(long, allow_hyphen_values = true)]
    amount: Decimal,
    /// Why; it is on the statement
    #[arg(long)]
    reason: String,
    /// Who decided it; this is on the statement too
    #[arg(long)]
    by: String,
    /// The configuration; without one `meshgate.toml` where there is one, and the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn product(text: &str) -> Result<ProductId, String> {
    let parts = text.split_once('.').and_then(|(domain, product)| Some((DomainName::new(domain).ok()?, ProductName::new(product).ok()?)));
    let (domain, product) = parts.ok_or("write it as domain.product")?;
    Ok(ProductId { domain, product })
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> Result<(), Failure> {
    let paths = load_paths(args.config.as_deref())?;
    let correction = Correction {
        consumer: args.domain.clone(),
        product: args.product.clone(),
        month: args.month,
        amount: args.amount,
        reason: args.reason.clone(),
        by: args.by.clone(),
    };
    let Booked { correction_id, month, currency } = correct(&paths.state, &correction, Utc::now()).map_err(told)?;
    print_line(&format!("{} {currency} on the bill of {} for {month}: correction {correction_id}", args.amount, args.domain));
    Ok(())
}
