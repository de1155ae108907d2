//! Families of blocks: parents, circles, and the order in which a book takes them.

/// A parent relation cut into what can be placed and what runs in circles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Families {
    /// Every position, parents before their children, otherwise in the given order.
    pub(super) order: Vec<usize>,
    /// One position of every circle: the one met first.
    pub(super) circles: Vec<usize>,
}

/// Orders blocks by their parents; `parents[i]` is the position of the parent of block `i`.
pub(super) fn families(parents: &[Option<usize>]) -> Families {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Mark {
        New,
        OnPath,
        Placed,
    }
    let mut marks = vec![Mark::New; parents.len()];
    let mut found = Families { order: Vec::with_capacity(parents.len()), circles: Vec::new() };
    let mut path = Vec::new();
    for start in 0..parents.len() {
        let mut next = Some(start);
        while let Some(position) = next {
            match marks[position] {
                Mark::New => {
                    marks[position] = Mark::OnPath;
                    path.push(position);
                    next = parents[position];
                }
                Mark::OnPath => {
                    found.circles.push(position);
                    next = None;
                }
                Mark::Placed => next = None,
            }
        }
        while let Some(position) = path.pop() {
            marks[position] = Mark::Placed;
            found.order.push(position);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::families;

    #[test]
    fn parents_come_before_children() {
        let found = families(&[Some(2), None, Some(1)]);
        assert_eq!(found.order, [1, 2, 0]);
        assert!(found.circles.is_empty());
    }

    #[test]
    fn every_circle_is_told_once() {
        let found = families(&[Some(1), Some(0), Some(2), None, Some(0)]);
        assert_eq!(found.circles, [0, 2]);
        assert_eq!(found.order.len(), 5);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let chain: Vec<Option<usize>> = (0..100_000).map(|it| (it + 1 < 100_000).then_some(it + 1)).collect();
        assert_eq!(families(&chain).order.first(), Some(&99_999));
    }
}
