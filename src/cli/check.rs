//! `meshgate check`: validates a catalog without serving it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Failure, Format, load_config, written};
use crate::catalog::{Catalog, CredentialCheck, Problem, Severity, Snapshot, Status};

/// Validate a catalog without serving it; exit 1 on any error
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The catalog's folder; without one that of the configuration, or `catalog`
    catalog: Option<PathBuf>,
    /// The configuration whose credentials the domains' storage is checked against; without one they are not checked
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to print what is wrong
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Does what is asked.
pub(super) fn command(args: &Args) -> Result<(), Failure> {
    let config = args.config.as_deref().map(|file| load_config(Some(file))).transpose()?;
    let catalog = args.catalog.clone().or_else(|| config.as_ref().map(|config| config.catalog.clone())).unwrap_or_else(|| "catalog".into());
    match run(&catalog, config.map(|config| config.credential_check()), args.format == Format::Json, &mut io::stdout().lock()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::failed("the catalog has errors")),
        Err(error) => written(Err(error)),
    }
}

/// Prints what is wrong with a catalog. `true` where there is no error; warnings are none.
pub fn run(catalog: &Path, credentials: Option<CredentialCheck>, json: bool, out: &mut impl Write) -> io::Result<bool> {
    let loaded = Catalog::inspect_with(catalog, credentials);
    let (snapshot, problems) = match &loaded {
        Ok(snapshot) => (Some(snapshot), snapshot.problems.as_slice()),
        Err(problems) => (None, problems.as_slice()),
    };
    match json {
        true => writeln!(out, "{}", document(snapshot, problems))?,
        false => text(catalog, snapshot, problems, out)?,
    }
    out.flush()?;
    Ok(snapshot.is_some() && count(problems, Severity::Error) == 0)
}

/// One line a problem, with the path as a compiler prints it, and a line that sums up.
fn text(catalog: &Path, snapshot: Option<&Snapshot>, problems: &[Problem], out: &mut impl Write) -> io::Result<()> {
    for problem in problems {
        writeln!(out, "{}", catalog.join(problem.to_string()).display())?;
    }
    let (errors, warnings) = (count(problems, Severity::Error), count(problems, Severity::Warning));
    let (domains, products) = sizes(snapshot);
    writeln!(out, "{}, {}: {}, {}", many(domains, "domain"), many(products, "product"), many(errors, "error"), many(warnings, "warning"))
}

fn document(snapshot: Option<&Snapshot>, problems: &[Problem]) -> serde_json::Value {
    let (domains, products) = sizes(snapshot);
    let one = |problem: &Problem| {
        serde_json::json!({
            "file": problem.origin.file,
            "line": problem.origin.line,
            "column": problem.origin.column,
            "severity": problem.severity.as_str(),
            "product": problem.product.as_ref().map(ToString::to_string),
            "message": problem.message,
        })
    };
    let drafts = snapshot.map_or(0, |s| s.products.values().filter(|product| product.newest().status == Status::Draft).count());
    serde_json::json!({
        "domains": domains,
        "products": products,
        "drafts": drafts,
        "errors": count(problems, Severity::Error),
        "warnings": count(problems, Severity::Warning),
        "problems": problems.iter().map(one).collect::<Vec<_>>(),
    })
}

fn sizes(snapshot: Option<&Snapshot>) -> (usize, usize) {
    snapshot.map_or((0, 0), |snapshot| (snapshot.domains.len(), snapshot.products.len()))
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

fn many(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(catalog: &Path, json: bool) -> (bool, String) {
        let mut out = Vec::new();
        let sound = run(catalog, None, json, &mut out).unwrap();
        (sound, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_example_passes() {
        let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        assert_eq!(check(&catalog, false), (true, "6 domains, 8 products: 0 errors, 0 warnings\n".into()));
    }

    #[test]
    fn each_problem_is_a_line_that_an_editor_can_follow() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("mesh.yaml"),
            "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {curency: USD}\n",
        )
        .unwrap();
        let (sound, printed) = check(folder.path(), false);
        let place = folder.path().join("mesh.yaml:4:8");
        let line = format!("{}: error: unknown key `curency` in `spec`: did you mean `currency`?", place.display());
        assert_eq!((sound, printed.lines().next()), (false, Some(line.as_str())));

        let (sound, printed) = check(folder.path(), true);
        let document: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert!(!sound);
        assert_eq!((&document["errors"], &document["problems"][0]["line"]), (&1.into(), &4.into()));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let (sound, printed) = check(Path::new("/no/such/catalog"), false);
        assert!(!sound && printed.contains("error: the folder cannot be read: entity not found"), "{printed}");
    }
}
