//! What `#[event(...)]` says, and what `#[serde(...)]` must not say.

use proc_macro2::Span;
use syn::{Attribute, Error, LitInt, LitStr, Result, Token, Type, parenthesized, spanned::Spanned};

use crate::{crate_path::CratePath, names::unfit_event_type};

/// The options of a variant or struct.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) version: Option<(u32, Span)>,
    pub(crate) upcasts: Vec<(u32, Type)>,
    pub(crate) nested: Option<Span>,
    pub(crate) catch_all: Option<Span>,
}

/// The options of the whole enum or struct.
#[derive(Default)]
pub(crate) struct Container {
    pub(crate) krate: CratePath,
    pub(crate) prefix: Option<LitStr>,
}

const KNOWN: &str = "known are `prefix`, `crate` on the type, and `name`, `alias`, `version`, \
                     `upcast_from(1 => Old)`, `nested`, `catch_all` on a variant";

impl Options {
    /// Reads the attributes; `container` is given where its options may stand too.
    pub(crate) fn parse(
        attributes: &[Attribute],
        mut container: Option<&mut Container>,
    ) -> Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("event")) {
            attribute.parse_nested_meta(|meta| {
                if let Some(container) = container.as_deref_mut() {
                    if container.krate.parse(&meta)? {
                        return Ok(());
                    }
                    if meta.path.is_ident("prefix") {
                        container.prefix = Some(checked(meta.value()?.parse()?)?);
                        return Ok(());
                    }
                }
                let span = meta.path.span();
                if meta.path.is_ident("name") {
                    options.name = Some(checked(meta.value()?.parse()?)?);
                } else if meta.path.is_ident("alias") {
                    options.aliases.push(checked(meta.value()?.parse()?)?);
                } else if meta.path.is_ident("version") {
                    options.version = Some((number(&meta.value()?.parse()?)?, span));
                } else if meta.path.is_ident("upcast_from") {
                    let list;
                    parenthesized!(list in meta.input);
                    while !list.is_empty() {
                        let version = number(&list.parse()?)?;
                        list.parse::<Token![=>]>()?;
                        options.upcasts.push((version, list.parse()?));
                        if !list.is_empty() {
                            list.parse::<Token![,]>()?;
                        }
                    }
                } else if meta.path.is_ident("nested") {
                    options.nested = Some(span);
                } else if meta.path.is_ident("catch_all") {
                    options.catch_all = Some(span);
                } else {
                    let unknown = meta.path.get_ident().map(ToString::to_string);
                    let unknown = unknown.unwrap_or_default();
                    return Err(meta.error(format!("unknown option `{unknown}`, {KNOWN}")));
                }
                Ok(())
            })?;
        }
        options.check_versions()?;
        Ok(options)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nested.is_none() && self.catch_all.is_none() && self.says_nothing_of_storing()
    }

    /// Whether `nested` or `catch_all` is the only option.
    pub(crate) fn stands_alone(&self) -> bool {
        (self.nested.is_none() || self.catch_all.is_none()) && self.says_nothing_of_storing()
    }

    fn says_nothing_of_storing(&self) -> bool {
        self.name.is_none()
            && self.aliases.is_empty()
            && self.version.is_none()
            && self.upcasts.is_empty()
    }

    /// Today's version of the shape.
    pub(crate) fn current(&self) -> u32 {
        self.version.map_or(1, |(version, _)| version)
    }

    /// Every version below today's has exactly one upcaster.
    fn check_versions(&self) -> Result<()> {
        let current = self.current();
        for (index, (version, old)) in self.upcasts.iter().enumerate() {
            if *version >= current {
                let message = format!(
                    "version {version} is not older than today's shape, which has version {current}: say `version = {}`",
                    version.saturating_add(1)
                );
                return Err(Error::new(old.span(), message));
            }
            if self.upcasts[..index]
                .iter()
                .any(|(before, _)| before == version)
            {
                return Err(Error::new(
                    old.span(),
                    format!("version {version} is converted twice"),
                ));
            }
        }
        let missing = (1..current).find(|v| self.upcasts.iter().all(|(version, _)| version != v));
        match (missing, self.version) {
            (Some(missing), Some((_, span))) => Err(Error::new(
                span,
                format!(
                    "events stored in version {missing} could not be read: add `upcast_from({missing} => OldShape)`"
                ),
            )),
            _ => Ok(()),
        }
    }
}

fn number(literal: &LitInt) -> Result<u32> {
    match literal.base10_parse() {
        Ok(0) => Err(Error::new(literal.span(), "versions count from 1")),
        other => other,
    }
}

fn checked(name: LitStr) -> Result<LitStr> {
    match unfit_event_type(&name.value()) {
        Some(reason) => Err(Error::new(name.span(), reason)),
        None => Ok(name),
    }
}

/// Refuses serde's other forms of enums, which have no content apart from the tag.
pub(crate) fn refuse_serde_forms(attributes: &[Attribute]) -> Result<()> {
    let forms = ["tag", "content", "untagged", "from", "try_from", "into"];
    let found = serde_words(attributes, &forms)?;
    match found {
        Some(span) => Err(Error::new(
            span,
            "an event is stored as its variant's content under the variant's stored name; this serde attribute asks \
             for another form: remove it",
        )),
        None => Ok(()),
    }
}

/// Whether serde leaves a variant out when it reads, and so does not count it.
pub(crate) fn serde_skips(attributes: &[Attribute]) -> Result<bool> {
    Ok(serde_words(attributes, &["skip", "skip_deserializing"])?.is_some())
}

fn serde_words(attributes: &[Attribute], words: &[&str]) -> Result<Option<Span>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if words.iter().any(|word| meta.path.is_ident(word)) {
                found = Some(meta.path.span());
            }
            // The value, whatever it is, is serde's to judge.
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<syn::Expr>()?;
            } else if meta.input.peek(syn::token::Paren) {
                let inner;
                parenthesized!(inner in meta.input);
                inner.parse::<proc_macro2::TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}
