//! Refusals of the contract: reasons, paths of fields, and their order.

use merit_engine::reject::{Place, Refusal, Reject};
use merit_proto::v1;
use merit_proto::v1::RejectReason;

/// Everything wrong with one request, as far as the gateway can see.
#[derive(Debug, Default)]
pub struct Faults {
    found: Vec<v1::Refusal>,
}

impl Faults {
    /// Notes a fault that makes the request malformed.
    pub fn malformed(&mut self, reason: RejectReason, field: impl Into<String>, text: &str) {
        self.found.push(v1::Refusal {
            reason: reason.into(),
            field: field.into(),
            retryable: false,
            text: text.into(),
            missing: None,
        });
    }

    /// Notes a fault that has the engine's own reason, found before the engine could be asked.
    pub fn reject(&mut self, reject: Reject, field: impl Into<String>) {
        self.found.push(refusal_at(reject, field.into()));
    }

    /// Notes what the engine found.
    pub fn add(&mut self, refusal: v1::Refusal) {
        if !self.found.contains(&refusal) {
            self.found.push(refusal);
        }
    }

    /// Whether something is wrong with this very field.
    #[must_use]
    pub fn names(&self, field: &str) -> bool {
        self.found.iter().any(|it| it.field == field)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether something is wrong with the form, so that no rule of the market matters any more.
    #[must_use]
    pub fn malformed_any(&self) -> bool {
        self.found.iter().any(|it| it.reason < 100)
    }

    /// All refusals in order of precedence. Reasons are numbered in that order; equal ones keep the
    /// order in which they were found.
    #[must_use]
    pub fn sorted(mut self) -> Vec<v1::Refusal> {
        self.found.sort_by_key(|it| it.reason);
        self.found
    }
}

/// Where the parts of a command stand in the message it came in. Put into words only where something is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Paths {
    /// Which command of a batch it is, if it came in one.
    pub index: Option<usize>,
    /// Field of the command in the message: `order`, `submit`, `amend`, `cancel`, `cancel_all`.
    pub command: &'static str,
    /// Field of the content in the command: `step`, `linear`, `block`, `complex`; empty if none.
    pub kind: &'static str,
}

impl Paths {
    /// Paths of a command that is a message of its own.
    #[must_use]
    pub fn single(command: &'static str) -> Self {
        Self { index: None, command, kind: "" }
    }

    /// Paths of command `index` of a batch.
    #[must_use]
    pub fn in_batch(index: usize, command: &'static str) -> Self {
        Self { index: Some(index), command, kind: "" }
    }

    /// A field beside the command.
    #[must_use]
    pub fn beside(&self, name: &str) -> String {
        match self.index {
            Some(index) => format!("commands[{index}].{name}"),
            None => name.to_owned(),
        }
    }

    /// A field of the command.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        self.beside(&format!("{}.{name}", self.command))
    }

    /// A field of the content.
    #[must_use]
    pub fn content(&self, name: &str) -> String {
        if self.kind.is_empty() {
            return self.field(name);
        }
        self.field(&format!("{}.{name}", self.kind))
    }

    /// A refusal of the engine about this command.
    #[must_use]
    pub fn refusal(&self, refusal: &Refusal) -> v1::Refusal {
        counted(refusal_at(refusal.reject, self.place(refusal)), refusal)
    }

    fn place(&self, refusal: &Refusal) -> String {
        let value = value_at_fault(refusal.reject);
        match refusal.place {
            Place::Whole => self.beside(self.command),
            Place::RequestId => self.beside("client_order_id"),
            Place::Auction => self.field("auction_id"),
            Place::Portfolio => self.field("portfolio"),
            Place::Area => self.field("area"),
            Place::Order => self.field("order"),
            Place::Period { index } => match value {
                "" => self.content(&format!("periods[{index}].period")),
                "quantity_min_watts" if self.kind != "complex" => {
                    self.content(&format!("periods[{index}].quantity_watts"))
                }
                value => self.content(&format!("periods[{index}].{value}")),
            },
            Place::Point { index, point } => match value {
                "" => self.content(&format!("periods[{index}].points[{point}]")),
                value => self.content(&format!("periods[{index}].points[{point}].{value}")),
            },
            Place::Field(name) => self.content(field_name(name)),
            Place::Line { index } => format!("capacities[{index}]"),
        }
    }
}

/// The path of a refusal for a request that is not an order command.
#[must_use]
pub fn request_refusal(refusal: &Refusal, whole: &str) -> v1::Refusal {
    let field = match refusal.place {
        Place::Whole => whole.to_owned(),
        Place::RequestId => "request_id".into(),
        Place::Auction => "auction_id".into(),
        Place::Portfolio => "portfolio".into(),
        Place::Area => "areas".into(),
        Place::Order => "order".into(),
        Place::Period { index } => format!("{whole}.periods[{index}]"),
        Place::Point { index, point } => format!("{whole}.periods[{index}].points[{point}]"),
        Place::Field(name) => field_name(name).into(),
        Place::Line { index } => format!("capacities[{index}]"),
    };
    counted(refusal_at(refusal.reject, field), refusal)
}

/// With what is missing, where something is counted.
fn counted(shown: v1::Refusal, refusal: &Refusal) -> v1::Refusal {
    v1::Refusal { missing: (refusal.missing > 0).then_some(refusal.missing), ..shown }
}

fn refusal_at(reject: Reject, field: String) -> v1::Refusal {
    v1::Refusal {
        reason: i32::from(reject.code()),
        field,
        retryable: reject.retryable(),
        text: reject.to_string(),
        missing: None,
    }
}

/// Which number of a point or period a reason is about.
fn value_at_fault(reject: Reject) -> &'static str {
    const PRICES: [Reject; 3] = [Reject::PriceOutOfRange, Reject::PriceOffTick, Reject::PricesNotIncreasing];
    const QUANTITIES: [Reject; 3] =
        [Reject::QuantityOutOfRange, Reject::QuantityOffTick, Reject::QuantityIncreases];
    if PRICES.contains(&reject) {
        "price_micros_per_mwh"
    } else if QUANTITIES.contains(&reject) {
        "quantity_watts"
    } else if reject == Reject::MinimumOutOfRange {
        "quantity_min_watts"
    } else if matches!(reject, Reject::NoPoints | Reject::TooManyPoints) {
        "points"
    } else {
        ""
    }
}

/// The contract's name of a field that the engine names.
fn field_name(name: &'static str) -> &'static str {
    match name {
        "price" => "price_micros_per_mwh",
        "quantity" => "quantity_watts",
        "min_ratio" | "ratio_min" => "ratio_min_millionths",
        "quantity_min" => "quantity_min_watts",
        "parent" => "parent_client_order_id",
        "fixed" => "fixed_micros",
        other => other,
    }
}
