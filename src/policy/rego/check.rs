//! What a policy may be made of: looked at as a tree, before anything of it runs.
//!
//! Functions are an allow-list: those whose answer is decided by their arguments alone, and bounded by them. So nothing reads a clock, a
//! network, a die or the process, and a decision can be kept under the digest of the policies. A level reads `input` and itself: a policy
//! that reads another level's `data` would find nothing there, and a `deny` that finds nothing lets through, so it is refused by name.
//! The interpreter recurses as the policy does, and a stack that overflows takes the process: circles are refused, depth is bounded.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{ArithOp, BUILTINS, Expr, Literal, LiteralStmt, Module, Query, Rule, RuleAssign, RuleBody, RuleHead, Span};

use super::Export;

/// The deepest chain of nested expressions, statements and calls.
pub(super) const MAX_DEPTH: usize = 1024;

/// Pure functions whose work their arguments bound. Left out on purpose: the clock (`time.now_ns`), the network (`http.send`,
/// `net.lookup_ip_addr`), chance (`rand.intn`, `uuid.rfc4122`), the process (`opa.runtime`, `print`, `trace`), and what makes much of little:
/// at once (`numbers.range`, `net.cidr_expand`, `bits.lsh`), or by being fed its own answer a few times (`replace`, `concat`, `array.concat`,
/// `json.marshal`, encodings). The clock is looked at between steps, and one step of these could take all memory, and with it the process.
const FUNCTIONS: &[&str] = &[
    "abs",
    "array.reverse",
    "array.slice",
    "base64.decode",
    "base64.is_valid",
    "base64url.decode",
    "bits.and",
    "bits.negate",
    "bits.or",
    "bits.xor",
    "ceil",
    "contains",
    "count",
    "endswith",
    "floor",
    "glob.match",
    "hex.decode",
    "indexof",
    "indexof_n",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.filter",
    "json.is_valid",
    "json.remove",
    "lower",
    "max",
    "min",
    "net.cidr_contains",
    "net.cidr_is_valid",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "object.union_n",
    "regex.find_n",
    "regex.is_valid",
    "regex.match",
    "regex.split",
    "round",
    "semver.compare",
    "semver.is_valid",
    "sort",
    "split",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.reverse",
    "substring",
    "sum",
    "time.clock",
    "time.date",
    "time.parse_duration_ns",
    "time.parse_ns",
    "time.parse_rfc3339_ns",
    "time.weekday",
    "to_number",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "upper",
];

/// A place in one file and what is wrong there.
pub(super) type Mistake = (u32, u32, String);

/// A rule that gives one of a policy's answers, and the texts in it, by which an answer is traced back to its rule.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) texts: BTreeSet<String>,
}

/// What the tree of one file tells.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) mistakes: Vec<Mistake>,
    pub(super) answers: BTreeMap<Export, Vec<Answering>>,
    /// Names of rules with how deep they are and which names of their own package they read.
    rules: Vec<(String, usize, BTreeSet<String>)>,
    /// Names that may be misspelt answers, with their places.
    unlike: Vec<(String, Mistake)>,
}

/// The names that the rules of a level have, and those of them that are functions.
#[derive(Debug, Default)]
pub(super) struct Names {
    rules: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Names {
    /// Adds those of a file.
    pub(super) fn add(&mut self, module: &Module) {
        for rule in &module.policy {
            let path = path_of(head_of(rule));
            self.rules.extend(path.first().cloned());
            if let Rule::Spec { head: RuleHead::Func { .. }, .. } = rule.as_ref() {
                self.functions.insert(path.join("."));
            }
        }
    }
}

/// Looks at one file of the level whose package is `package`.
pub(super) fn look(module: &Module, package: &[String], names: &Names) -> Facts {
    let mut facts = Facts::default();
    let declared = path_of(&module.package.refr);
    if declared != package {
        let (declared, wanted) = (declared.join("."), package.join("."));
        let text = format!("the package is `{declared}`, and files of this folder belong to the package `{wanted}`");
        facts.mistakes.push(at(&module.package.span, text));
    }
    for import in &module.imports {
        let path = path_of(&import.refr);
        if path.first().is_none_or(|root| root != "rego" && root != "future") {
            let mut walk = Walk::new(package, names, &mut facts.mistakes);
            walk.expr(&import.refr);
        }
    }
    for rule in &module.policy {
        one_rule(rule, package, names, &mut facts);
    }
    facts
}

fn one_rule(rule: &Rule, package: &[String], names: &Names, facts: &mut Facts) {
    let head = head_of(rule);
    let name = path_of(head).into_iter().next().unwrap_or_default();
    let mut walk = Walk::new(package, names, &mut facts.mistakes);
    let depth = walk.rule(rule);
    let (reads, texts) = (walk.reads, walk.texts);
    let is_function = matches!(rule, Rule::Spec { head: RuleHead::Func { .. }, .. });
    let span = head.span();
    match Export::ALL.into_iter().find(|export| export.name() == name) {
        Some(export) if is_function || !matches!(head, Expr::Var { .. }) => {
            let text = format!("`{name}` is an answer of a policy: it can be neither a function nor an object of other rules");
            facts.mistakes.push(at(span, text));
            facts.answers.entry(export).or_default();
        }
        Some(export) => facts.answers.entry(export).or_default().push(Answering { line: span.line, column: span.col, texts }),
        None => {
            let near = |export: &Export| strsim::osa_distance(export.name(), &name) <= export.name().len() / 4;
            if let Some(export) = Export::ALL.into_iter().find(near) {
                facts.unlike.push((name.clone(), at(span, format!("nothing reads `{name}`: did you mean `{}`?", export.name()))));
            }
        }
    }
    facts.rules.push((name, depth, reads));
}

/// What only all files of a level together tell: circles, depth, misspelt answers. Gives the depth of the deepest answer.
pub(super) fn together(files: &mut [Facts]) -> Result<usize, String> {
    let mut rules: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (name, depth, reads) in files.iter().flat_map(|facts| &facts.rules) {
        let (deepest, all) = rules.entry(name).or_default();
        *deepest = (*deepest).max(*depth);
        all.extend(reads.iter().map(String::as_str));
    }
    let mut depths = BTreeMap::new();
    for name in rules.keys() {
        depth_of(name, &rules, &mut depths, &mut Vec::new())?;
    }
    let deepest = depths.values().copied().max().unwrap_or(0);
    if deepest > MAX_DEPTH {
        return Err(format!("the policy nests {deepest} expressions, statements and calls, and {MAX_DEPTH} is the most"));
    }
    let read: BTreeSet<String> = rules.values().flat_map(|(_, reads)| reads).map(|name| (*name).to_owned()).collect();
    for facts in files.iter_mut() {
        let misspelt = facts.unlike.drain(..).filter(|(name, _)| !read.contains(name)).map(|(_, mistake)| mistake);
        facts.mistakes.extend(misspelt);
    }
    Ok(deepest)
}

/// How deep the longest chain below a rule is, or the circle that it is in.
fn depth_of<'a>(
    name: &'a str,
    rules: &BTreeMap<&'a str, (usize, BTreeSet<&'a str>)>,
    depths: &mut BTreeMap<&'a str, usize>,
    above: &mut Vec<&'a str>,
) -> Result<usize, String> {
    if let Some(depth) = depths.get(name) {
        return Ok(*depth);
    }
    if above.contains(&name) {
        return Err(format!("the rules {} and {name} depend on each other in a circle", above.join(", ")));
    }
    let Some((own, reads)) = rules.get(name) else { return Ok(0) };
    above.push(name);
    let mut below = 0;
    for read in reads {
        below = below.max(depth_of(read, rules, depths, above)?);
    }
    above.pop();
    let depth = own.saturating_add(below);
    depths.insert(name, depth);
    Ok(depth)
}

fn at(span: &Span, text: String) -> Mistake {
    (span.line, span.col, text)
}

fn head_of(rule: &Rule) -> &Expr {
    match rule {
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. }, .. } => refr,
        Rule::Default { refr, .. } => refr,
    }
}

/// Where a reference begins: its own place is that of its last dot.
fn start_of(expr: &Expr) -> &Span {
    match expr {
        Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => start_of(refr),
        other => other.span(),
    }
}

/// The static beginning of a reference: `data.mesh["domain"].x[i]` is `data`, `mesh`, `domain`, `x`.
fn path_of(expr: &Expr) -> Vec<String> {
    let mut path = Vec::new();
    let mut next = expr;
    loop {
        match next {
            Expr::RefDot { refr, field: (span, _), .. } => {
                path.push(Some(span.text().to_owned()));
                next = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                path.push(match index.as_ref() {
                    Expr::String { value, .. } | Expr::RawString { value, .. } => value.as_string().ok().map(ToString::to_string),
                    _ => None,
                });
                next = refr;
            }
            Expr::Var { span, .. } => {
                path.push(Some(span.text().to_owned()));
                break;
            }
            _ => {
                path.push(None);
                break;
            }
        }
    }
    path.into_iter().rev().map_while(|part| part).collect()
}

/// A walk through one rule. Each method gives how deep what it looked at is.
struct Walk<'a> {
    package: &'a [String],
    names: &'a Names,
    mistakes: &'a mut Vec<Mistake>,
    reads: BTreeSet<String>,
    texts: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn new(package: &'a [String], names: &'a Names, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self { package, names, mistakes, reads: BTreeSet::new(), texts: BTreeSet::new() }
    }

    fn rule(&mut self, rule: &Rule) -> usize {
        match rule {
            Rule::Default { args, value, .. } => self.all(args.iter().map(AsRef::as_ref)).max(self.expr(value)) + 1,
            Rule::Spec { head, bodies, .. } => {
                let head = match head {
                    RuleHead::Compr { refr, assign, .. } => self.inside(refr).max(self.assigned(assign.as_ref())),
                    RuleHead::Set { refr, key, .. } => self.inside(refr).max(key.as_ref().map_or(0, |key| self.expr(key))),
                    RuleHead::Func { refr, args, assign, .. } => {
                        let args = self.all(args.iter().map(AsRef::as_ref));
                        self.inside(refr).max(args).max(self.assigned(assign.as_ref()))
                    }
                };
                bodies.iter().fold(head, |depth, body| depth + self.body(body)) + 1
            }
        }
    }

    fn body(&mut self, body: &RuleBody) -> usize {
        self.assigned(body.assign.as_ref()) + self.query(&body.query) + 1
    }

    fn assigned(&mut self, assign: Option<&RuleAssign>) -> usize {
        assign.map_or(0, |assign| self.expr(&assign.value))
    }

    /// Statements nest: each runs for every solution of those before it.
    fn query(&mut self, query: &Query) -> usize {
        query.stmts.iter().fold(1, |depth, statement| depth + self.statement(statement))
    }

    fn statement(&mut self, statement: &LiteralStmt) -> usize {
        for with in &statement.with_mods {
            let text = "`with` cannot stand in a policy: it would decide about another request than this one".to_owned();
            self.mistakes.push(at(&with.span, text));
        }
        1 + match &statement.literal {
            Literal::SomeVars { .. } => 0,
            Literal::SomeIn { key, value, collection, .. } => {
                let key = key.as_ref().map_or(0, |key| self.expr(key));
                key.max(self.expr(value)).max(self.expr(collection))
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr),
            Literal::Every { domain, query, .. } => self.expr(domain) + self.query(query),
        }
    }

    fn all<'e>(&mut self, exprs: impl Iterator<Item = &'e Expr>) -> usize {
        exprs.map(|expr| self.expr(expr)).max().unwrap_or(0)
    }

    fn expr(&mut self, expr: &Expr) -> usize {
        1 + match expr {
            Expr::String { value, .. } | Expr::RawString { value, .. } => {
                self.texts.extend(value.as_string().ok().map(ToString::to_string));
                0
            }
            Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => 0,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                self.reference(expr);
                self.inside(expr)
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.all(items.iter().map(AsRef::as_ref)),
            Expr::Object { fields, .. } => self.all(fields.iter().flat_map(|(_, key, value)| [key.as_ref(), value.as_ref()])),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => self.expr(term) + self.query(query),
            Expr::ObjectCompr { key, value, query, .. } => self.expr(key).max(self.expr(value)) + self.query(query),
            Expr::Call { fcn, params, .. } => {
                self.call(fcn);
                self.all(params.iter().map(AsRef::as_ref)) + self.inside(fcn)
            }
            Expr::UnaryExpr { expr, .. } => self.expr(expr),
            Expr::BinExpr { lhs, rhs, .. } | Expr::BoolExpr { lhs, rhs, .. } | Expr::AssignExpr { lhs, rhs, .. } => {
                self.expr(lhs).max(self.expr(rhs))
            }
            Expr::ArithExpr { span, op, lhs, rhs, .. } => {
                let number = |side: &Expr| matches!(side, Expr::Number { .. });
                // Numbers have as many digits as it takes, and each squaring doubles them.
                if *op == ArithOp::Mul && !number(lhs) && !number(rhs) {
                    self.mistakes.push(at(span, "one side of `*` has to be a number that is written out".to_owned()));
                }
                self.expr(lhs).max(self.expr(rhs))
            }
            Expr::Membership { key, value, collection, .. } => {
                let key = key.as_ref().map_or(0, |key| self.expr(key));
                key.max(self.expr(value)).max(self.expr(collection))
            }
        }
    }

    /// What stands in the brackets of a reference, and what it starts with where that is not a name.
    fn inside(&mut self, refr: &Expr) -> usize {
        let (mut next, mut depth) = (refr, 0);
        loop {
            depth += 1;
            match next {
                Expr::RefDot { refr, .. } => next = refr,
                Expr::RefBrack { refr, index, .. } => {
                    depth += self.expr(index);
                    next = refr;
                }
                Expr::Var { .. } => return depth,
                other => return depth + self.expr(other),
            }
        }
    }

    /// A name of the level's own, `input`, or a variable; never another's data.
    fn reference(&mut self, expr: &Expr) {
        let path = path_of(expr);
        match path.first().map(String::as_str) {
            Some("data") => match own(&path, self.package) {
                Some(name) => drop(self.reads.insert(name.to_owned())),
                None => {
                    let (read, own) = (path.join("."), self.package.join("."));
                    let text = format!("a policy reads `input` and its own package `{own}`, not `{read}`");
                    self.mistakes.push(at(start_of(expr), text));
                }
            },
            Some(name) if self.names.rules.contains(name) => drop(self.reads.insert(name.to_owned())),
            _ => {}
        }
    }

    fn call(&mut self, function: &Expr) {
        let path = path_of(function);
        let dotted = path.join(".");
        if let Some(own) = own(&path, self.package) {
            self.reads.insert(own.to_owned());
            return;
        }
        if self.names.functions.contains(&dotted) && !BUILTINS.contains_key(dotted.as_str()) {
            self.reads.extend(path.first().cloned());
            return;
        }
        if !(FUNCTIONS.contains(&dotted.as_str()) && BUILTINS.contains_key(dotted.as_str())) {
            let known = FUNCTIONS.iter().map(|name| (strsim::osa_distance(name, &dotted), *name)).min();
            let guess = match known {
                Some((distance, name)) if distance <= 2 && distance > 0 => format!("; did you mean `{name}`?"),
                _ => String::new(),
            };
            let text = format!("the function `{dotted}` cannot be called in a policy{guess}");
            self.mistakes.push(at(start_of(function), text));
        }
    }
}

/// The name in its own package that a path from `data` means.
fn own<'p>(path: &'p [String], package: &[String]) -> Option<&'p str> {
    let below = path.strip_prefix(["data".to_owned()].as_slice())?.strip_prefix(package)?;
    below.first().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_function_exists() {
        let missing: Vec<_> = FUNCTIONS.iter().filter(|name| !BUILTINS.contains_key(**name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(FUNCTIONS.is_sorted());
    }
}
