//! Which meter belongs to which portfolio and area, and which way it counts.

use super::Bad;
use std::collections::BTreeMap;

/// Where a group of meters belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Portfolio.
    pub portfolio: String,
    /// Bid area.
    pub area: String,
    /// Whether the meters count what is drawn; otherwise what is injected.
    pub drawal: bool,
}

/// The register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    groups: Vec<Place>,
    meters: Vec<(u64, usize)>,
}

impl Register {
    /// A register of groups with their meters, in any order.
    ///
    /// # Errors
    ///
    /// A meter that stands twice or is 0.
    pub fn new(groups: impl IntoIterator<Item = (Place, Vec<u64>)>) -> Result<Self, Bad> {
        let mut all: BTreeMap<Place, Vec<u64>> = BTreeMap::new();
        for (place, meters) in groups {
            all.entry(place).or_default().extend(meters);
        }
        let mut register = Self::default();
        for (place, meters) in all {
            let group = register.groups.len();
            register.groups.push(place);
            register.meters.extend(meters.into_iter().map(|it| (it, group)));
        }
        register.meters.sort_unstable();
        let bad = |meter: u64, rule: &str| Bad {
            origin: "register".into(),
            row: 0,
            field: "meter",
            value: meter.to_string(),
            rule: rule.into(),
        };
        if let Some((meter, _)) = register.meters.first().filter(|(it, _)| *it == 0) {
            return Err(bad(*meter, "must be above 0"));
        }
        match register.meters.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(bad(pair[0].0, "stands twice in the register")),
            None => Ok(register),
        }
    }

    /// Reads CSV: `meter,portfolio,area,direction` with direction `injection` or `drawal`.
    ///
    /// # Errors
    ///
    /// The line that is wrong.
    pub fn read(name: &str, text: &str) -> Result<Self, Bad> {
        let mut groups: BTreeMap<Place, Vec<u64>> = BTreeMap::new();
        for (row, line) in (1..).zip(text.lines().skip(1)) {
            let bad = |field, value: &str, rule: &str| Bad {
                origin: name.into(),
                row,
                field,
                value: value.into(),
                rule: rule.into(),
            };
            let cells: Vec<&str> = line.split(',').collect();
            let [meter, portfolio, area, direction] = cells.as_slice() else {
                return Err(bad("line", line, "must be meter,portfolio,area,direction"));
            };
            let number = meter.parse().map_err(|_| bad("meter", meter, "must be a whole number above 0"))?;
            let drawal = match *direction {
                "injection" => false,
                "drawal" => true,
                other => return Err(bad("direction", other, "must be injection or drawal")),
            };
            let place = Place { portfolio: (*portfolio).into(), area: (*area).into(), drawal };
            groups.entry(place).or_default().push(number);
        }
        Self::new(groups)
    }

    /// The register as CSV, by meter.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::from("meter,portfolio,area,direction\n");
        for (meter, group) in &self.meters {
            let Place { portfolio, area, drawal } = &self.groups[*group];
            let direction = if *drawal { "drawal" } else { "injection" };
            out += &format!("{meter},{portfolio},{area},{direction}\n");
        }
        out
    }

    /// Groups, by portfolio, area, direction.
    #[must_use]
    pub fn groups(&self) -> &[Place] {
        &self.groups
    }

    /// (meter, index of its group), by meter.
    #[must_use]
    pub fn meters(&self) -> &[(u64, usize)] {
        &self.meters
    }
}
