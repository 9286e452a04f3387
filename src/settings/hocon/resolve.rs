//! One pass over the tree that replaces substitutions and joins pieces (F-040, F-050 to F-058).

use std::collections::HashMap;
use std::sync::Arc;

use super::scan::{is_number, unescape};
use super::tree::{Content, Expression, Members, Node, Piece};
use super::value::{Integer, Kind, Object, Value, merge};
use super::{ErrorKind, ParseError, Position, Source, World};

/// How many nodes may be under way at once.
const DEEPEST: usize = 256;

/// How much substitutions may copy, in leaves.
const LARGEST: usize = 1 << 20;

/// The document without substitutions.
pub(super) fn resolve(
    root: &Members,
    source: &Arc<Source>,
    world: World<'_>,
) -> Result<Object, ParseError> {
    let mut resolver = Resolver {
        root,
        source,
        world,
        known: HashMap::new(),
        active: Vec::new(),
        copied: 0,
    };
    resolver.members(&[], root)
}

struct Resolver<'t> {
    root: &'t Members,
    source: &'t Arc<Source>,
    world: World<'t>,
    /// What is resolved already, by the address of its node, which no one moves meanwhile.
    known: HashMap<usize, Option<Value>>,
    active: Vec<Active<'t>>,
    copied: usize,
}

/// A key whose value is being computed.
struct Active<'t> {
    node: usize,
    path: Vec<String>,
    prior: Option<&'t Node>,
    /// The substitution that is being followed from here.
    follows: Option<(String, Position)>,
}

impl<'t> Resolver<'t> {
    fn members(&mut self, path: &[String], members: &'t Members) -> Result<Object, ParseError> {
        let mut object = Object::new();
        for (key, node) in members {
            let path = [path, std::slice::from_ref(key)].concat();
            if let Some(value) = self.node(&path, node)? {
                object.insert(key.clone(), value);
            }
        }
        Ok(object)
    }

    /// The value of a key; `None` where optional substitutions leave it out (F-051).
    fn node(&mut self, path: &[String], node: &'t Node) -> Result<Option<Value>, ParseError> {
        let address = std::ptr::from_ref(node).addr();
        if let Some(value) = self.known.get(&address) {
            return Ok(value.clone());
        }
        let value = match node {
            Node::Object {
                members,
                prior,
                origin,
                ..
            } => {
                let earlier = match prior {
                    Some(prior) => self.node(path, prior)?,
                    None => None,
                };
                let members = self.members(path, members)?;
                Some(lay_over(
                    earlier,
                    Value::new(Kind::Object(members), origin.clone()),
                ))
            }
            Node::Assigned { expression, prior } => {
                let prior = prior.as_deref();
                self.enter(address, path, prior)?;
                let value = self.expression(path, expression)?;
                self.active.pop();
                self.with_prior(path, value, expression, prior)?
            }
        };
        self.known.insert(address, value.clone());
        Ok(value)
    }

    fn enter(
        &mut self,
        node: usize,
        path: &[String],
        prior: Option<&'t Node>,
    ) -> Result<(), ParseError> {
        if let Some(start) = self.active.iter().position(|active| active.node == node) {
            let links: Vec<_> = self.active[start..]
                .iter()
                .filter_map(|active| active.follows.clone())
                .collect();
            let position = links.first().map_or(NOWHERE, |(_, position)| *position);
            return Err(self.error(position, ErrorKind::Cycle(links)));
        }
        if self.active.len() >= DEEPEST {
            let position = self
                .active
                .iter()
                .rev()
                .find_map(|active| active.follows.as_ref())
                .map_or(NOWHERE, |(_, position)| *position);
            return Err(self.error(position, ErrorKind::TooDeep));
        }
        self.active.push(Active {
            node,
            path: path.to_vec(),
            prior,
            follows: None,
        });
        Ok(())
    }

    /// What a key is when it had a value before: the new one, the old one, or both (F-051, F-056, F-060).
    fn with_prior(
        &mut self,
        path: &[String],
        value: Option<Value>,
        expression: &Expression,
        prior: Option<&'t Node>,
    ) -> Result<Option<Value>, ParseError> {
        let Some(prior) = prior else {
            return Ok(value);
        };
        let wants_earlier = match &value {
            None => true,
            Some(value) => expression.append || matches!(value.kind, Kind::Object(_)),
        };
        if !wants_earlier {
            return Ok(value);
        }
        let earlier = self.node(path, prior)?;
        Ok(match (earlier, value) {
            (earlier, None) => earlier,
            (Some(earlier), Some(value)) if expression.append => Some(append(earlier, value)),
            (earlier, Some(value)) => Some(lay_over(earlier, value)),
        })
    }

    fn expression(
        &mut self,
        path: &[String],
        expression: &'t Expression,
    ) -> Result<Option<Value>, ParseError> {
        let origin = &expression.origin;
        if let Some(kind) = match &*expression.pieces {
            [] => Some(Kind::Text(String::new())),
            [
                Piece {
                    content: Content::Word(text),
                    ..
                },
            ] => Some(classify(text)),
            _ => None,
        } {
            return Ok(Some(Value::new(kind, origin.clone())));
        }
        let mut present: Vec<(Value, &str, Position)> = Vec::new();
        for piece in &expression.pieces {
            if let Some(value) = self.piece(path, piece, expression)? {
                present.push((value, &piece.blanks, piece.position));
            }
        }
        if let [(value, ..)] = &mut *present {
            let single = expression.pieces.len() == 1 || !matches!(value.kind, Kind::Text(_));
            if single {
                value.origin = origin.clone();
                return Ok(present.pop().map(|(value, ..)| value));
            }
        }
        if present.is_empty() {
            return Ok(None);
        }
        let kind = self.join(present)?;
        Ok(Some(Value::new(kind, origin.clone())))
    }

    fn piece(
        &mut self,
        path: &[String],
        piece: &'t Piece,
        expression: &'t Expression,
    ) -> Result<Option<Value>, ParseError> {
        let text = |text: String| Some(Value::new(Kind::Text(text), expression.origin.clone()));
        Ok(match &piece.content {
            Content::Word(word) => text(unescape(word)),
            Content::Quoted(quoted) => text(quoted.clone()),
            Content::Object(node) => self.node(path, node)?,
            Content::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(self.expression(path, item)?);
                }
                Some(Value::new(Kind::List(list), expression.origin.clone()))
            }
            Content::Reference { name, optional } => {
                if let Some(active) = self.active.last_mut() {
                    active.follows = Some((name.clone(), piece.position));
                }
                let value = self.reference(name)?;
                if let Some(value) = &value {
                    self.copied += value.weight();
                    if self.copied > LARGEST {
                        return Err(self.error(piece.position, ErrorKind::TooLarge));
                    }
                } else if !optional {
                    return Err(self.error(piece.position, ErrorKind::Unresolved(name.clone())));
                }
                value
            }
        })
    }

    /// The value at a path of the document, else the variable of that name as text (F-050, F-055).
    fn reference(&mut self, name: &str) -> Result<Option<Value>, ParseError> {
        let path: Vec<String> = split_path(name);
        let own = self.active.last().and_then(|active| {
            path.strip_prefix(&*active.path)
                .map(|rest| (active.path.clone(), rest, active.prior))
        });
        let found = match own {
            Some((own, rest, Some(prior))) => {
                let earlier = self.node(&own, prior)?;
                rest.iter()
                    .fold(earlier, |value, key| value?.member(key).cloned())
            }
            Some((_, _, None)) => None,
            None => self.look_up(&path)?,
        };
        Ok(found.or_else(|| {
            let text = (self.world.variable)(name)?;
            Some(Value::new(
                Kind::Text(text),
                Source::Variable(name.to_owned()).into(),
            ))
        }))
    }

    fn look_up(&mut self, path: &[String]) -> Result<Option<Value>, ParseError> {
        let mut members = self.root;
        for (index, key) in path.iter().enumerate() {
            let Some(node) = members.get(key) else {
                return Ok(None);
            };
            match node {
                Node::Object {
                    members: below,
                    prior: None,
                    ..
                } if index + 1 < path.len() => members = below,
                node => {
                    let mut value = self.node(&path[..=index], node)?;
                    for key in &path[index + 1..] {
                        value = value.and_then(|value| value.member(key).cloned());
                    }
                    return Ok(value);
                }
            }
        }
        Ok(None)
    }

    /// Joins pieces of one kind (F-040).
    fn join(&self, pieces: Vec<(Value, &str, Position)>) -> Result<Kind, ParseError> {
        let name = |value: &Value| match value.kind {
            Kind::Object(_) => "an object",
            Kind::List(_) => "a list",
            _ => "text",
        };
        let first = name(&pieces[0].0);
        if let Some((other, _, position)) = pieces.iter().find(|(value, ..)| name(value) != first) {
            let other = name(other);
            return Err(self.error(*position, ErrorKind::Mixed { first, other }));
        }
        let mut object = Object::new();
        let mut list = Vec::new();
        let mut text = String::new();
        let final_piece = pieces.len() - 1;
        for (index, (value, blanks, _)) in pieces.into_iter().enumerate() {
            match value.kind {
                Kind::Object(members) => merge(&mut object, members),
                Kind::List(items) => list.extend(items),
                _ => {
                    text += &value.to_text().unwrap_or_default();
                    text += if index == final_piece { "" } else { blanks };
                }
            }
        }
        Ok(match first {
            "an object" => Kind::Object(object),
            "a list" => Kind::List(list),
            _ => Kind::Text(text),
        })
    }

    fn error(&self, position: Position, kind: ErrorKind) -> ParseError {
        ParseError {
            source_of_text: Arc::clone(self.source),
            position,
            kind,
        }
    }
}

const NOWHERE: Position = Position {
    offset: 0,
    line: 1,
    column: 1,
};

/// The type of an unquoted value (F-045).
pub(super) fn classify(word: &str) -> Kind {
    if is_number(word) {
        if let Some(integer) = Integer::parse(word) {
            return Kind::Integer(integer);
        }
        if let Ok(float) = word.parse() {
            return Kind::Float(float);
        }
    }
    for (keyword, kind) in [
        ("true", Kind::Boolean(true)),
        ("false", Kind::Boolean(false)),
        ("null", Kind::Null),
    ] {
        if word.eq_ignore_ascii_case(keyword) {
            return kind;
        }
    }
    Kind::Text(unescape(word))
}

/// The parts of a dotted path; what stands in quotes is one part.
fn split_path(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for character in name.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            other => {
                if let Some(part) = parts.last_mut() {
                    part.push(other);
                }
            }
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// `value` over what the key was before, where both are objects.
fn lay_over(earlier: Option<Value>, value: Value) -> Value {
    match (earlier, value) {
        (
            Some(Value {
                kind: Kind::Object(mut below),
                ..
            }),
            Value {
                kind: Kind::Object(above),
                origin,
            },
        ) => {
            merge(&mut below, above);
            Value::new(Kind::Object(below), origin)
        }
        (_, value) => value,
    }
}

/// `key += value` (F-056).
fn append(earlier: Value, value: Value) -> Value {
    let kind = match (earlier.kind, value.kind) {
        (Kind::List(mut list), Kind::List(items)) => {
            list.extend(items);
            Kind::List(list)
        }
        (Kind::Text(text), Kind::Text(further)) => Kind::Text(format!("{text} {further}")),
        (Kind::Object(mut below), Kind::Object(above)) => {
            merge(&mut below, above);
            Kind::Object(below)
        }
        (_, kind) => kind,
    };
    Value::new(kind, value.origin)
}
