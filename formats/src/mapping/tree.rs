//! The fields that are looked up in a record.

use super::place::Pointer;

/// The fields that are looked up in a record, as a tree of their names.
#[derive(Debug, Default)]
pub struct FieldTree {
    index: Option<usize>,
    children: Vec<(String, FieldTree)>,
}

impl FieldTree {
    /// The tree of these fields.
    #[must_use]
    pub fn new(pointers: &[Pointer]) -> Self {
        let mut root = FieldTree::default();
        for (index, pointer) in pointers.iter().enumerate() {
            let mut tree = &mut root;
            for name in pointer.names() {
                let at = tree.position(name).unwrap_or_else(|| {
                    tree.children.push((name.clone(), FieldTree::default()));
                    tree.children.len() - 1
                });
                tree = &mut tree.children[at].1;
            }
            tree.index = Some(index);
        }
        root
    }

    /// Which field it is; `None` if there are only fields in it.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        self.index
    }

    /// Whether there are fields in it.
    #[must_use]
    pub fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// The place of the child with this name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.children.iter().position(|(other, _)| other == name)
    }

    /// The name of the child at a place, and the child.
    #[must_use]
    pub fn at(&self, position: usize) -> (&str, &FieldTree) {
        let (name, child) = &self.children[position];
        (name, child)
    }

    /// The child with this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&FieldTree> {
        self.position(name).map(|position| self.at(position).1)
    }
}
