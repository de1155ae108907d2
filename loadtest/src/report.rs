//! What a run gave, for people and for programs.

use crate::drive::{ALL, Measured, SENT_LATE};
use crate::lag::Lag;
use crate::ledger::Outcome;
use crate::referee::{Counted, Finding};
use crate::schedule::Plan;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Findings printed in full; of more only the number is.
const FINDINGS_SHOWN: usize = 20;

/// Everything that is reported.
pub(crate) struct Report<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) members: usize,
    pub(crate) auction: &'a str,
    pub(crate) measured: &'a Measured,
    pub(crate) counted: Counted,
    pub(crate) findings: &'a [Finding],
    /// Whether the result was published, so that it could be recounted.
    pub(crate) published: bool,
    /// How far the standby was behind, if there is one.
    pub(crate) lag: Option<&'a Lag>,
}

/// How many commands ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) accepted: usize,
    pub(crate) unknown: usize,
    pub(crate) strange: usize,
    /// By reason.
    pub(crate) refused: BTreeMap<String, usize>,
    /// By status.
    pub(crate) failed: BTreeMap<String, usize>,
}

impl Outcomes {
    pub(crate) fn of(measured: &Measured) -> Self {
        let mut all = Self::default();
        for sent in measured.sent.iter().flatten() {
            match &sent.outcome {
                Outcome::Accepted { .. } => all.accepted += 1,
                Outcome::Unknown => all.unknown += 1,
                Outcome::Strange(_) => all.strange += 1,
                Outcome::Refused { reason, .. } => *all.refused.entry(reason.clone()).or_default() += 1,
                Outcome::Failed(status) => *all.failed.entry(status.clone()).or_default() += 1,
            }
        }
        all
    }
}

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

impl Report<'_> {
    /// Commands answered in a second.
    fn answered_per_second(&self) -> u64 {
        let count = self.measured.latencies.get(ALL).map_or(0, Histogram::len);
        let nanos = self.measured.took.as_nanos().max(1);
        u64::try_from(u128::from(count) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    /// For programs: latencies in microseconds, counted from the intended moment of sending.
    pub(crate) fn json(&self) -> Value {
        let row = |histogram: &Histogram<u64>, unit: &str| {
            let mut row = json!({ "count": histogram.len() });
            row[format!("max{unit}")] = json!(histogram.max());
            for (name, quantile) in QUANTILES {
                row[format!("{}{unit}", name.replace('.', ""))] =
                    json!(histogram.value_at_quantile(quantile));
            }
            row
        };
        let latencies: BTreeMap<_, _> = self
            .measured
            .latencies
            .iter()
            .map(|(label, it)| (label.replace(' ', "_"), row(it, "_us")))
            .collect();
        let outcomes = Outcomes::of(self.measured);
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|it| json!({ "member": it.member, "about": it.about, "what": it.what }))
            .collect();
        json!({
            "auction": self.auction,
            "members": self.members,
            "connections": self.plan.connections,
            "rate": self.plan.rate,
            "seconds": self.plan.seconds,
            "seed": self.plan.seed,
            "arrivals": format!("{:?}", self.plan.arrivals).to_lowercase(),
            "took_ms": u64::try_from(self.measured.took.as_millis()).unwrap_or(u64::MAX),
            "answered_per_second": self.answered_per_second(),
            "latency": latencies,
            "accepted": outcomes.accepted,
            "refused": outcomes.refused,
            "failed": outcomes.failed,
            "unknown": outcomes.unknown,
            "contract_broken": outcomes.strange,
            "standby": self.lag.map(|it| json!({
                "lag_records": row(&it.records, ""),
                "silent_ms": row(&it.ms, ""),
                "alone": it.alone,
            })),
            "referee": {
                "published": self.published,
                "acknowledgements": self.counted.acknowledgements,
                "orders": self.counted.orders,
                "look_ups": self.counted.look_ups,
                "events": self.counted.events,
                "results": self.counted.results,
                "findings": findings,
            },
        })
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let (plan, mut text) = (self.plan, String::new());
        let _ = writeln!(
            text,
            "{}: {} members over {} connections, {} commands/s for {} s, seed {}\n",
            self.auction, self.members, plan.connections, plan.rate, plan.seconds, plan.seed
        );
        let _ =
            writeln!(text, "{:<10}{:>10}{:>13}{:>13}{:>13}{:>13}", "", "count", "p50", "p99", "p99.9", "max");
        let order = [ALL, "submit", "amend", "cancel", "batch", "stream", SENT_LATE];
        for (label, it) in order.iter().filter_map(|label| Some((label, self.measured.latencies.get(label)?)))
        {
            let _ = write!(text, "{label:<10}{:>10}", it.len());
            for value in QUANTILES.map(|(_, at)| it.value_at_quantile(at)).into_iter().chain([it.max()]) {
                let shown = format!("{}.{:02} ms", value / 1_000, value % 1_000 / 10);
                let _ = write!(text, "{shown:>13}");
            }
            text.push('\n');
        }
        let outcomes = Outcomes::of(self.measured);
        let list = |counts: &BTreeMap<String, usize>| {
            let parts: Vec<String> =
                counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            if parts.is_empty() { "0".to_string() } else { parts.join(", ") }
        };
        let _ = writeln!(
            text,
            "\nlatency counts from when a command was due; 'sent late' is this program's own part of it\n\
             answered {}/s; accepted {}, refused {}, unknown {}, failed {}",
            self.answered_per_second(),
            outcomes.accepted,
            list(&outcomes.refused),
            outcomes.unknown,
            list(&outcomes.failed)
        );
        if let Some(lag) = self.lag {
            let [records, ms] = [&lag.records, &lag.ms].map(|it| {
                let shown = QUANTILES.map(|(name, at)| format!("{name} {}", it.value_at_quantile(at)));
                format!("{}, max {}", shown.join(", "), it.max())
            });
            let _ = writeln!(
                text,
                "standby, {} looks: behind by records {records}; its last word ms ago {ms}; alone at {} looks",
                lag.records.len() + lag.alone,
                lag.alone
            );
        }
        let counted = &self.counted;
        let _ = writeln!(
            text,
            "referee: {} acknowledgements against {} orders, {} look-ups, {} events, {} results",
            counted.acknowledgements, counted.orders, counted.look_ups, counted.events, counted.results
        );
        if !self.published {
            text.push_str("referee: the result is not published yet, so it was not recounted\n");
        }
        for finding in self.findings.iter().take(FINDINGS_SHOWN) {
            let _ = writeln!(text, "FOUND {finding}");
        }
        let verdict = match self.findings.len() {
            0 => "nothing found".to_string(),
            count => format!("{count} findings"),
        };
        let _ = writeln!(text, "referee: {verdict}");
        text
    }
}
