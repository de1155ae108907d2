//! The contract, merit/v1, and nothing by hand.
