//! The tree of a document before its substitutions are replaced.

use indexmap::IndexMap;

use super::{ErrorKind, Kind, Origin, Position};

/// Members by key, in order.
pub(super) type Members = IndexMap<String, Node>;

/// How often a key may build on its earlier value.
const LONGEST_CHAIN: usize = 64;

/// What a key stands for.
#[derive(Debug)]
pub(super) enum Node {
    /// `{...}`, laid over what the key was before.
    Object {
        members: Members,
        prior: Option<Box<Self>>,
        origin: Origin,
        /// Made by a path such as `a.b: 1`, not by braces.
        dotted: bool,
    },
    /// Everything else.
    Assigned {
        expression: Expression,
        prior: Option<Box<Self>>,
    },
}

/// Pieces that stand side by side.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) pieces: Vec<Piece>,
    pub(super) origin: Origin,
    /// Written with `+=`.
    pub(super) append: bool,
}

/// One piece and the blanks behind it.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) content: Content,
    pub(super) blanks: String,
    pub(super) position: Position,
}

/// What a piece is.
#[derive(Debug)]
pub(super) enum Content {
    /// Unquoted, which may turn out to be a number or a keyword.
    Word(String),
    Quoted(String),
    Reference {
        name: String,
        optional: bool,
    },
    List(Vec<Expression>),
    Object(Node),
}

impl Expression {
    /// True where the value depends on anything but its own text.
    pub(super) fn is_open(&self) -> bool {
        self.append || self.pieces.iter().any(Piece::is_open)
    }

    /// True where only substitutions decide whether the value is an object.
    fn may_be_object(&self) -> bool {
        self.is_open()
            && self.pieces.iter().all(|piece| {
                matches!(
                    piece.content,
                    Content::Reference { .. } | Content::Object(_)
                )
            })
    }

    /// The value, where it is one plain piece of text.
    pub(super) fn scalar(&self) -> Option<Kind> {
        match &*self.pieces {
            [] => Some(Kind::Text(String::new())),
            [
                Piece {
                    content: Content::Word(text),
                    ..
                },
            ] => Some(super::resolve::classify(text)),
            pieces => pieces
                .iter()
                .all(|piece| matches!(piece.content, Content::Word(_) | Content::Quoted(_)))
                .then(|| Kind::Text(String::new())),
        }
    }
}

impl Piece {
    fn is_open(&self) -> bool {
        match &self.content {
            Content::Word(_) | Content::Quoted(_) => false,
            Content::Reference { .. } => true,
            Content::List(items) => items.iter().any(Expression::is_open),
            Content::Object(node) => node.is_open(),
        }
    }
}

impl Node {
    fn is_open(&self) -> bool {
        match self {
            Self::Object { members, prior, .. } => {
                prior.is_some() || members.values().any(Self::is_open)
            }
            Self::Assigned { expression, .. } => expression.is_open(),
        }
    }

    fn prior_mut(&mut self) -> &mut Option<Box<Self>> {
        match self {
            Self::Object { prior, .. } | Self::Assigned { prior, .. } => prior,
        }
    }

    /// Puts `earlier` below everything this node already builds on.
    fn set_earliest(&mut self, earlier: Self) -> Result<(), ErrorKind> {
        let mut length = earlier.chain();
        let mut slot = self.prior_mut();
        while let Some(node) = slot {
            length += 1;
            slot = node.prior_mut();
        }
        if length > LONGEST_CHAIN {
            return Err(ErrorKind::TooDeep);
        }
        *slot = Some(Box::new(earlier));
        Ok(())
    }

    fn chain(&self) -> usize {
        let mut length = 1;
        let mut node = self;
        while let Self::Object {
            prior: Some(prior), ..
        }
        | Self::Assigned {
            prior: Some(prior), ..
        } = node
        {
            length += 1;
            node = prior;
        }
        length
    }
}

/// Gives `key` a further value (F-060).
pub(super) fn put(members: &mut Members, key: &str, new: Node) -> Result<(), ErrorKind> {
    let Some(slot) = members.get_mut(key) else {
        members.insert(key.to_owned(), new);
        return Ok(());
    };
    match (slot, new) {
        (
            Node::Object { members, .. },
            Node::Object {
                members: further,
                prior: None,
                ..
            },
        ) => further
            .into_iter()
            .try_for_each(|(key, node)| put(members, &key, node)),
        (slot, mut new) => {
            let builds_on_earlier = match (&*slot, &new) {
                (Node::Assigned { expression, .. }, Node::Object { dotted, .. }) => {
                    refuse_scalar(key, expression, *dotted)?;
                    expression.may_be_object()
                }
                (_, new) => new.is_open(),
            };
            let earlier = std::mem::replace(slot, placeholder());
            if builds_on_earlier {
                new.set_earliest(earlier)?;
            }
            *slot = new;
            Ok(())
        }
    }
}

/// `d: 5` and then `d { x: 1 }` is a mistake; `d.x: 1` is not.
fn refuse_scalar(key: &str, expression: &Expression, dotted: bool) -> Result<(), ErrorKind> {
    if dotted || expression.is_open() {
        return Ok(());
    }
    let type_name = match expression.scalar() {
        None | Some(Kind::Null) => return Ok(()),
        Some(Kind::Boolean(_)) => "bool",
        Some(Kind::Integer(_)) => "int",
        Some(Kind::Float(_)) => "float",
        Some(_) => "str",
    };
    Err(ErrorKind::ScalarThenObject {
        key: key.to_owned(),
        type_name,
    })
}

/// Stands in a slot while its node is moved.
fn placeholder() -> Node {
    Node::Assigned {
        expression: Expression {
            pieces: Vec::new(),
            origin: super::Source::Text.into(),
            append: false,
        },
        prior: None,
    }
}
