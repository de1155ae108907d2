//! Sets a search up in steps: blocks become items, then the curves of every cell are laid out.

use super::super::Limit;
use super::accounts::Accounts;
use super::market::Grid;
use super::model::{Links, Model};
use super::tree::Search;
use crate::book::AuctionBook;

/// A search that is being set up.
#[derive(Clone, Debug)]
pub(in crate::clearing) struct Setup {
    limit: Limit,
    model: Model,
    links: Links,
    accounts: Accounts,
    grid: Option<Grid>,
    next: Next,
    /// Units of work done.
    pub(in crate::clearing) work: u64,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// Blocks from this handle on.
    Blocks(u32),
    /// Families, groups and complex orders.
    Rest,
    /// Their parts in other orders.
    Parts,
    /// And by cell.
    Accounts,
    Grid,
    Cells,
    Ready,
}

fn units(points: usize) -> u64 {
    u64::try_from(points / 1024).expect("a length fits")
}

impl Setup {
    pub(in crate::clearing) fn new(book: &AuctionBook, limit: Limit) -> Self {
        let (model, links) = (Model::new(book), Links::default());
        let accounts = Accounts::default();
        Self { limit, model, links, accounts, grid: None, next: Next::Blocks(0), work: 0 }
    }

    /// One step; the search once it is set up.
    pub(in crate::clearing) fn step(&mut self, book: &AuctionBook) -> Option<Search> {
        self.work += 1;
        self.next = match (self.next, &mut self.grid) {
            (Next::Blocks(from), _) => {
                let before = self.model.parts.len();
                let next = self.model.add_blocks(book, &mut self.links, from);
                self.work += units(self.model.parts.len() - before);
                next.map_or(Next::Rest, Next::Blocks)
            }
            (Next::Rest, _) => {
                self.model.close(book, &self.links);
                Next::Parts
            }
            (Next::Parts, _) => {
                self.model.list_parts();
                self.work += units(self.model.parts.len());
                Next::Accounts
            }
            (Next::Accounts, _) => {
                self.accounts.lay_out(&self.model);
                self.work += units(self.model.parts.len());
                Next::Grid
            }
            (Next::Cells, Some(grid)) => {
                let (points, ended) = grid.add_some(book);
                self.work += units(points);
                if ended { Next::Ready } else { Next::Cells }
            }
            (Next::Ready, Some(_)) => {
                let (model, grid) = (core::mem::take(&mut self.model), self.grid.take()?);
                let accounts = core::mem::take(&mut self.accounts);
                return Some(Search::over(book, model, grid, accounts, (self.limit, self.work)));
            }
            (Next::Grid | Next::Cells | Next::Ready, _) => {
                self.grid = Some(Grid::new(book, &self.model));
                Next::Cells
            }
        };
        None
    }
}
