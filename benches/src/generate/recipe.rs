//! What to generate, as a program or a person says it.

use super::{Auction, Day, blocks, complex, day_of};
use crate::chance::Chance;

/// A kind of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 500 buyers and 500 sellers of 10 steps; small blocks priced within 7 % of the area price.
    Liquid,
    /// 150 + 150 of 5 steps at half the demand; blocks four times larger and priced within 3 %, with
    /// more families and exclusive groups: their decisions move prices.
    Lumpy,
}

/// What to generate. The same recipe gives the same auction on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Kind of day.
    pub family: Family,
    /// 2 are a real-time session, 24 hours, 96 quarter hours; any number goes.
    pub periods: u16,
    /// 1, 5 and 13 are the meshed networks of the Python original; any other number a ring with chords.
    pub areas: u16,
    /// Seed.
    pub seed: u64,
    /// Block orders.
    pub blocks: usize,
    /// Complex orders.
    pub complex: usize,
    /// Per cent of the portfolios that bid linear curves.
    pub linear: u32,
    /// Buyers, and sellers; the family's number if absent.
    pub portfolios: Option<usize>,
    /// Steps of a ladder, at least 2; the family's number if absent.
    pub steps: Option<usize>,
}

impl Recipe {
    /// Curves only.
    #[must_use]
    pub const fn new(family: Family, periods: u16, areas: u16, seed: u64) -> Self {
        Self { family, periods, areas, seed, blocks: 0, complex: 0, linear: 0, portfolios: None, steps: None }
    }

    /// How [`Self::parse`] is written.
    pub const USAGE: &str = "liquid|lumpy|linear PERIODS AREAS SEED [--blocks N] [--complex N] \
                             [--linear PERCENT] [--portfolios N] [--steps N]";

    /// Reads a recipe from words; returns it with the words that it does not know.
    ///
    /// # Errors
    ///
    /// The word that is missing or is no number.
    pub fn parse<'a>(words: &[&'a str]) -> Result<(Self, Vec<&'a str>), String> {
        let [family, periods, areas, seed, rest @ ..] = words else {
            return Err(format!("say {}", Self::USAGE));
        };
        let (kind, linear) = match *family {
            "liquid" => (Family::Liquid, 0),
            "linear" => (Family::Liquid, 100),
            "lumpy" => (Family::Lumpy, 0),
            other => return Err(format!("{other} is none of liquid, lumpy, linear")),
        };
        let mut recipe = Self { linear, ..Self::new(kind, number(periods)?, number(areas)?, number(seed)?) };
        let mut unknown = Vec::new();
        let mut rest = rest.iter();
        while let Some(&word) = rest.next() {
            let field = match word {
                "--blocks" => &mut recipe.blocks,
                "--complex" => &mut recipe.complex,
                "--portfolios" => recipe.portfolios.insert(0),
                "--steps" => recipe.steps.insert(0),
                "--linear" => {
                    recipe.linear = number(rest.next().ok_or("--linear needs a number")?)?;
                    continue;
                }
                _ => {
                    unknown.push(word);
                    continue;
                }
            };
            *field = number(rest.next().ok_or_else(|| format!("{word} needs a number"))?)?;
        }
        if recipe.periods == 0 || recipe.areas == 0 || recipe.steps.is_some_and(|it| it < 2) {
            return Err("at least one period, one area and two steps".into());
        }
        Ok((recipe, unknown))
    }

    /// Generates it.
    ///
    /// # Panics
    ///
    /// If the recipe has no period, no area or fewer than two steps.
    #[must_use]
    pub fn auction(&self) -> Auction {
        let (name, portfolios, steps, demand_mw) = match self.family {
            Family::Liquid => ("liquid", 500, 10, 12_000.0),
            Family::Lumpy => ("lumpy", 150, 5, 6_000.0),
        };
        let portfolios = self.portfolios.unwrap_or(portfolios);
        let steps = self.steps.unwrap_or(steps);
        let day = Day { buyers: portfolios, sellers: portfolios, steps, demand_mw, linear: self.linear };
        let name = format!("{name} T{} A{} B{} seed {}", self.periods, self.areas, self.blocks, self.seed);
        let mut auction = day_of(&day, name, self.periods, self.areas, self.seed);
        if self.blocks + self.complex > 0 {
            // What is bid in blocks follows what the periods would cost without them.
            let prices = blocks::prices_of(&auction);
            let mut chance = Chance::new(self.seed.wrapping_add(1_000));
            auction.blocks = blocks::blocks(&mut chance, self.family, &auction.frame, &prices, self.blocks);
            let mut chance = Chance::new(self.seed.wrapping_add(2_000));
            auction.complex =
                complex::complex(&mut chance, self.family, &auction.frame, &prices, self.complex);
        }
        auction
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no number that fits here"))
}
