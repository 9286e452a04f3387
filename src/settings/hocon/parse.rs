//! Recursive descent from tokens to the tree; includes are read here, at their place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::scan::{Mark, Scanner, unescape};
use super::tree::{Content, Expression, Members, Node, Piece, put};
use super::{ErrorKind, Origin, ParseError, Source, World};

/// How deep objects, lists, paths and includes may go into each other.
const DEEPEST: usize = 64;

/// Reads a whole document.
pub(super) fn document(
    text: &str,
    source: &Arc<Source>,
    world: World<'_>,
) -> Result<Members, ParseError> {
    Parser::new(text, source, world, 0).document()
}

struct Parser<'w> {
    scanner: Scanner,
    source: Arc<Source>,
    world: World<'w>,
    depth: usize,
}

/// How one include statement names its file.
struct Include {
    file: String,
    required: bool,
    url: bool,
}

impl<'w> Parser<'w> {
    fn new(text: &str, source: &Arc<Source>, world: World<'w>, depth: usize) -> Self {
        Self {
            scanner: Scanner::new(text),
            source: Arc::clone(source),
            world,
            depth,
        }
    }

    fn document(mut self) -> Result<Members, ParseError> {
        let mut members = Members::new();
        self.scanner.lines();
        let start = self.scanner.mark();
        if self.scanner.eat('{') {
            self.members(&mut members)?;
            self.close('}')?;
            self.scanner.separators();
        } else if self.scanner.eat('[') {
            self.items()?;
            return Err(self.error(start, ErrorKind::RootList));
        } else {
            self.members(&mut members)?;
        }
        match self.scanner.peek() {
            None => Ok(members),
            Some(found) => Err(self.error_here(ErrorKind::Trailing(found))),
        }
    }

    /// Members up to a character that begins none.
    fn members(&mut self, members: &mut Members) -> Result<(), ParseError> {
        loop {
            self.scanner.separators();
            let start = self.scanner.mark();
            if let Some(include) = self.include_statement() {
                self.include(&include, start, members)?;
                continue;
            }
            let path = if let Some(key) = self.scanner.quoted() {
                vec![key]
            } else if let Some(key) = self.scanner.bare_key() {
                key.split('.')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect()
            } else {
                return Ok(());
            };
            let Some(key) = path.first().filter(|key| !key.is_empty()) else {
                return Err(self.error(start, ErrorKind::EmptyKey));
            };
            if self.depth + path.len() > DEEPEST {
                return Err(self.error(start, ErrorKind::TooDeep));
            }
            let origin = self.origin();
            let nodes = self.assignment(&origin)?;
            for node in nodes {
                let node = path[1..].iter().rev().fold(node, |node, key| Node::Object {
                    members: Members::from([(key.clone(), node)]),
                    prior: None,
                    origin: origin.clone(),
                    dotted: true,
                });
                put(members, key, node).map_err(|kind| self.error(start, kind))?;
            }
        }
    }

    /// What follows a key (F-032); several nodes where objects stand side by side.
    fn assignment(&mut self, origin: &Origin) -> Result<Vec<Node>, ParseError> {
        self.scanner.lines();
        if self.scanner.peek() == Some('{') {
            return Ok(vec![self.object()?]);
        }
        let append = self.scanner.eat_text("+=");
        if !append && !self.scanner.eat(':') && !self.scanner.eat('=') {
            return Err(self.error_here(ErrorKind::Syntax));
        }
        self.scanner.lines();
        let mut expression = self.expression(origin.clone())?;
        let objects_only = !expression.pieces.is_empty()
            && expression
                .pieces
                .iter()
                .all(|piece| matches!(piece.content, Content::Object(_)));
        if objects_only {
            return Ok(expression
                .pieces
                .into_iter()
                .filter_map(|piece| match piece.content {
                    Content::Object(node) => Some(node),
                    _ => None,
                })
                .collect());
        }
        expression.append = append;
        Ok(vec![Node::Assigned {
            expression,
            prior: None,
        }])
    }

    /// Pieces up to the end of the line or a character that begins none (F-040).
    fn expression(&mut self, origin: Origin) -> Result<Expression, ParseError> {
        let mut pieces: Vec<Piece> = Vec::new();
        loop {
            let blanks = self.scanner.blanks();
            if let Some(last) = pieces.last_mut() {
                last.blanks += &blanks;
            }
            if self.scanner.comment() || self.scanner.at_line_end() {
                break;
            }
            let position = self.scanner.position(self.scanner.mark());
            let Some((content, keeps_blanks)) = self.piece()? else {
                if self.continuation()? {
                    continue;
                }
                break;
            };
            let mut blanks = self.scanner.blanks();
            if !keeps_blanks {
                blanks.clear();
            }
            pieces.push(Piece {
                content,
                blanks,
                position,
            });
        }
        Ok(Expression {
            pieces,
            origin,
            append: false,
        })
    }

    /// One piece, and whether the blanks behind it count.
    fn piece(&mut self) -> Result<Option<(Content, bool)>, ParseError> {
        if let Some(reference) = self.scanner.reference() {
            let content = Content::Reference {
                name: reference.name,
                optional: reference.optional,
            };
            return Ok(Some((content, true)));
        }
        if self.scanner.peek() == Some('{') {
            return Ok(Some((Content::Object(self.object()?), true)));
        }
        if self.scanner.eat('[') {
            return Ok(Some((Content::List(self.items()?), true)));
        }
        if let Some(text) = self.scanner.raw() {
            return Ok(Some((Content::Quoted(text), false)));
        }
        if let Some(text) = self.scanner.quoted() {
            return Ok(Some((Content::Quoted(unescape(&text)), true)));
        }
        Ok(self.scanner.word().map(|text| (Content::Word(text), true)))
    }

    /// A backslash at the end of the line (F-041).
    fn continuation(&mut self) -> Result<bool, ParseError> {
        if !self.scanner.eat('\\') {
            return Ok(false);
        }
        if !self.scanner.at_line_end() {
            return Err(self.error_here(ErrorKind::Syntax));
        }
        while self.scanner.at_line_end() {
            self.scanner.eat('\r');
            self.scanner.eat('\n');
        }
        // The blanks at the start of the next line are not part of the value.
        self.scanner.blanks();
        Ok(true)
    }

    fn object(&mut self) -> Result<Node, ParseError> {
        let origin = self.origin();
        self.deeper()?;
        self.scanner.eat('{');
        let mut members = Members::new();
        self.members(&mut members)?;
        self.close('}')?;
        self.depth -= 1;
        Ok(Node::Object {
            members,
            prior: None,
            origin,
            dotted: false,
        })
    }

    /// The elements of a list, behind its bracket (F-031, F-061).
    fn items(&mut self) -> Result<Vec<Expression>, ParseError> {
        self.deeper()?;
        let mut items = Vec::new();
        loop {
            self.scanner.separators();
            let origin = self.origin();
            let item = self.expression(origin)?;
            let is_empty =
                item.pieces.iter().all(
                    |piece| matches!(&piece.content, Content::Quoted(text) if text.is_empty()),
                ) && item.pieces.len() < 2;
            if !is_empty {
                items.push(item);
            } else if item.pieces.is_empty()
                && self.scanner.peek() != Some(',')
                && !self.scanner.at_line_end()
            {
                break;
            }
            match self.scanner.peek() {
                Some(',' | '\n' | '\r') => {}
                _ => break,
            }
        }
        self.close(']')?;
        self.depth -= 1;
        Ok(items)
    }

    fn close(&mut self, bracket: char) -> Result<(), ParseError> {
        self.scanner.blanks();
        if self.scanner.eat(bracket) {
            Ok(())
        } else {
            Err(self.error_here(ErrorKind::Syntax))
        }
    }

    fn deeper(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error_here(ErrorKind::TooDeep));
        }
        Ok(())
    }

    /// `include "f"`, `include required(file("f"))`, ...; anything else that begins so is a key (F-057).
    fn include_statement(&mut self) -> Option<Include> {
        let start = self.scanner.mark();
        let include = self.scanner.eat_text("include").then(|| {
            self.scanner.blanks();
            self.include_operand()
        });
        let include = include.flatten();
        if include.is_none() {
            self.scanner.back_to(start);
        }
        include
    }

    fn include_operand(&mut self) -> Option<Include> {
        if let Some(file) = self.scanner.quoted() {
            return Some(Include {
                file: unescape(&file),
                required: false,
                url: false,
            });
        }
        for word in ["required", "file", "url"] {
            if !self.scanner.eat_text(word) {
                continue;
            }
            self.scanner.blanks();
            if !self.scanner.eat('(') {
                return None;
            }
            self.scanner.blanks();
            let mut include = self.include_operand()?;
            self.scanner.blanks();
            include.required |= word == "required";
            include.url |= word == "url";
            return self.scanner.eat(')').then_some(include);
        }
        None
    }

    fn include(
        &mut self,
        include: &Include,
        start: Mark,
        members: &mut Members,
    ) -> Result<(), ParseError> {
        if include.url {
            return Err(self.error(start, ErrorKind::IncludeUrl));
        }
        if self.depth >= DEEPEST {
            return Err(self.error(start, ErrorKind::TooDeep));
        }
        let path = self.beside(&include.file);
        let text = match (self.world.read)(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !include.required => {
                return Ok(());
            }
            Err(error) => {
                return Err(self.error(
                    start,
                    ErrorKind::Include {
                        file: include.file.clone(),
                        reason: error.to_string(),
                    },
                ));
            }
        };
        let source = Arc::new(Source::File(path));
        // A file that includes itself ends at the limit; every level counts more than a brace.
        let included = Parser::new(&text, &source, self.world, self.depth + 4).document()?;
        included
            .into_iter()
            .try_for_each(|(key, node)| put(members, &key, node))
            .map_err(|kind| self.error(start, kind))
    }

    fn beside(&self, file: &str) -> PathBuf {
        match &*self.source {
            Source::File(path) => path.parent().unwrap_or_else(|| Path::new("")).join(file),
            _ => PathBuf::from(file),
        }
    }

    fn origin(&self) -> Origin {
        let line = self.scanner.position(self.scanner.mark()).line;
        Origin::new(&self.source, line)
    }

    fn error_here(&self, kind: ErrorKind) -> ParseError {
        self.error(self.scanner.mark(), kind)
    }

    fn error(&self, mark: Mark, kind: ErrorKind) -> ParseError {
        ParseError {
            source_of_text: Arc::clone(&self.source),
            position: self.scanner.position(mark),
            kind,
        }
    }
}
