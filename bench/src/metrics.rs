//! What the shop's processes say of their statements: counts and times from `/metrics`, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a process may take to tell.
const LIMIT: Duration = Duration::from_secs(5);
/// Time of every statement, as a histogram; each conditional one is counted again, whatever became of it.
const STATEMENTS: &str = "souk_cql_statement_seconds";
const CONDITIONAL: &str = "souk_cql_conditional_writes";
/// Operations that shared a conditional write of a product's stock.
const GROUPS: &str = "souk_catalog_stock_group_operations";

/// Statements of one kind in one keyspace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statements {
    /// How many.
    pub count: f64,
    /// How long they took together, in seconds.
    pub seconds: f64,
}

/// What was counted, of all processes together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// By keyspace and kind.
    pub statements: BTreeMap<(String, String), Statements>,
    /// Conditional writes by keyspace, tries included that were not applied.
    pub conditional: BTreeMap<String, f64>,
    /// Groups of stock operations, and the operations in them.
    pub groups: f64,
    /// Operations in these.
    pub grouped: f64,
}

/// Processes that tell.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    addresses: Vec<String>,
    http: reqwest::Client,
}

impl Sources {
    /// Those whose metrics are at these addresses, `http://host:port`.
    pub fn new(addresses: Vec<String>) -> Sources {
        Sources { addresses, http: reqwest::Client::new() }
    }

    /// What has been counted since they started.
    ///
    /// # Errors
    /// When one does not tell.
    pub async fn read(&self) -> Result<Counted> {
        let mut counted = Counted::default();
        for address in &self.addresses {
            let answer = self.http.get(format!("{address}/metrics")).timeout(LIMIT).send().await;
            let answer = answer.with_context(|| format!("no metrics at {address}"))?;
            counted.add(&answer.error_for_status()?.text().await?);
        }
        Ok(counted)
    }
}

impl Counted {
    /// What was counted from `before` on.
    pub fn since(mut self, before: &Counted) -> Counted {
        for (key, statements) in &mut self.statements {
            let then = before.statements.get(key).copied().unwrap_or_default();
            statements.count -= then.count;
            statements.seconds -= then.seconds;
        }
        for (keyspace, count) in &mut self.conditional {
            *count -= before.conditional.get(keyspace).copied().unwrap_or_default();
        }
        self.groups -= before.groups;
        self.grouped -= before.grouped;
        self
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                self.count(name, &labels, value);
            }
        }
    }

    fn count(&mut self, name: &str, labels: &BTreeMap<&str, &str>, value: f64) {
        let label = |name: &str| labels.get(name).copied().unwrap_or_default().to_owned();
        let statements = || (label("keyspace"), label("kind"));
        match name.strip_prefix(STATEMENTS) {
            Some("_count") => self.statements.entry(statements()).or_default().count += value,
            Some("_sum") => self.statements.entry(statements()).or_default().seconds += value,
            _ => {}
        }
        if name == CONDITIONAL {
            *self.conditional.entry(label("keyspace")).or_default() += value;
        }
        match name.strip_prefix(GROUPS) {
            Some("_count") => self.groups += value,
            Some("_sum") => self.grouped += value,
            _ => {}
        }
    }
}

/// Name, labels and value on a line. Our labels hold neither quotes nor commas nor braces.
fn sample(line: &str) -> Option<(&str, BTreeMap<&str, &str>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some((series, BTreeMap::new(), value));
    };
    let labels = rest.strip_suffix('}')?.split(',').filter_map(|label| label.split_once('='));
    Some((name, labels.map(|(name, value)| (name, value.trim_matches('"'))).collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# TYPE souk_cql_statement_seconds histogram
souk_cql_statement_seconds_bucket{keyspace="souk_order",kind="read",outcome="ok",le="0.001"} 3
souk_cql_statement_seconds_sum{keyspace="souk_order",kind="read",outcome="ok"} 0.5
souk_cql_statement_seconds_count{keyspace="souk_order",kind="read",outcome="ok"} 4
souk_cql_statement_seconds_count{keyspace="souk_order",kind="read",outcome="error"} 1
souk_cql_conditional_writes{keyspace="souk_payment"} 7
souk_catalog_stock_group_operations_sum 12
souk_catalog_stock_group_operations_count 5
up 1
"#;

    #[test]
    fn what_processes_say_is_added_up_and_what_was_before_is_taken_off() {
        let mut before = Counted::default();
        before.add(TEXT);
        let reads = before.statements[&("souk_order".to_owned(), "read".to_owned())];
        assert_eq!(reads, Statements { count: 5.0, seconds: 0.5 });
        let mut now = before.clone();
        now.add(TEXT);
        assert_eq!(now.since(&before), before, "as much again");
        assert_eq!((before.groups, before.grouped), (5.0, 12.0));
        assert_eq!(before.conditional["souk_payment"], 7.0);
    }
}
