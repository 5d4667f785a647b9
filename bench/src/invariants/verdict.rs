//! What a check came to: rule by rule, how much was looked at and what breaks it.

use std::fmt;

/// Broken cases printed of each rule.
const SHOWN: usize = 5;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What the shop acknowledged, it knows.
    AcknowledgedExists,
    /// No order is open, nothing is being undone.
    AtRest,
    /// One payment took exactly the total of a sold order, and nothing of it was given back.
    SoldIsPaidOnce,
    /// Nothing is taken or set aside for a cancelled order.
    CancelledIsFree,
    /// The provider has no money of an order that the shop does not know.
    ChargesHaveOrders,
    /// The shop's payments and the provider's ledger say the same.
    LedgersAgree,
    /// What was there less what is sold is what is there.
    StockAddsUp,
    /// No piece stays held.
    NothingHeld,
    /// No workflow waits for a person.
    NothingParked,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AcknowledgedExists,
        Self::AtRest,
        Self::SoldIsPaidOnce,
        Self::CancelledIsFree,
        Self::ChargesHaveOrders,
        Self::LedgersAgree,
        Self::StockAddsUp,
        Self::NothingHeld,
        Self::NothingParked,
    ];

    fn sentence(self) -> &'static str {
        match self {
            Self::AcknowledgedExists => "every acknowledged order exists",
            Self::AtRest => "every order has come to rest",
            Self::SoldIsPaidOnce => "sold orders are paid once, exactly",
            Self::CancelledIsFree => "cancelled orders cost nothing",
            Self::ChargesHaveOrders => "every charge has its order",
            Self::LedgersAgree => "our payments are the provider's",
            Self::StockAddsUp => "stock: before + added - sold = on hand",
            Self::NothingHeld => "nothing stays held",
            Self::NothingParked => "no workflow is parked",
        }
    }
}

/// Of one rule.
#[derive(Clone, Debug, Default)]
struct Finding {
    checked: usize,
    broken: Vec<String>,
}

/// The outcome of a check. Prints as a table.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    findings: [Finding; Rule::ALL.len()],
}

impl Verdict {
    /// Whether every rule holds.
    pub fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.broken.is_empty())
    }

    /// What breaks `rule`, a case each.
    pub fn broken(&self, rule: Rule) -> &[String] {
        &self.findings[rule as usize].broken
    }

    /// How many cases of `rule` were looked at.
    pub fn checked(&self, rule: Rule) -> usize {
        self.findings[rule as usize].checked
    }

    /// The rules that do not hold.
    pub fn broken_rules(&self) -> Vec<Rule> {
        Rule::ALL.into_iter().filter(|rule| !self.broken(*rule).is_empty()).collect()
    }

    /// One more case of `rule` was looked at; `broken` tells what is wrong with it.
    pub(super) fn note(&mut self, rule: Rule, broken: Option<String>) {
        let finding = &mut self.findings[rule as usize];
        finding.checked += 1;
        finding.broken.extend(broken);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:<42} {:>9} {:>9}", "INVARIANT", "CHECKED", "BROKEN")?;
        for rule in Rule::ALL {
            let finding = &self.findings[rule as usize];
            let (checked, broken) = (finding.checked, finding.broken.len());
            writeln!(out, "{:<42} {checked:>9} {broken:>9}", rule.sentence())?;
            for case in finding.broken.iter().take(SHOWN) {
                writeln!(out, "    {case}")?;
            }
            if broken > SHOWN {
                writeln!(out, "    … and {} more", broken - SHOWN)?;
            }
        }
        Ok(())
    }
}
