//! `#[derive(Command)]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, Data, DeriveInput, Error, Field, Fields, Ident, Result, Token, Type,
    spanned::Spanned,
};

use crate::crate_path::CratePath;

/// A `#[stream]` field, or a `#[discover(...)]` place.
struct Stream<'a> {
    name: Ident,
    /// The type of the field; a place has none.
    field: Option<&'a Type>,
    fold: Option<Type>,
    read_only: bool,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "a command is a struct with named fields; for several kinds of commands write several structs",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(
            input.ident.span(),
            "a command has named fields: each `#[stream]` field gives its name to the stream's view",
        ));
    };
    let mut krate = CratePath::default();
    let mut command_name = None;
    let mut places = Vec::new();
    for attribute in &input.attrs {
        if attribute.path().is_ident("command") {
            attribute.parse_nested_meta(|meta| {
                if krate.parse(&meta)? {
                    return Ok(());
                }
                if meta.path.is_ident("name") {
                    command_name = Some(parse_name(&meta)?);
                    return Ok(());
                }
                Err(meta.error("unknown option, known are `name = \"...\"` and `crate = \"path\"`"))
            })?;
        } else if attribute.path().is_ident("discover") {
            places.push(parse_place(attribute)?);
        } else if attribute.path().is_ident("stream") {
            let message = "`#[stream]` belongs on the field that names the stream; for streams that are learned of \
                           while reading write `#[discover(name, fold = ...)]`";
            return Err(Error::new(attribute.span(), message));
        }
    }
    let mut streams = Vec::new();
    let mut rest = Vec::new();
    for field in &fields.named {
        let counts = counts(field)?;
        match parse_field(field)? {
            Some(stream) if counts => streams.push(stream),
            Some(stream) => {
                let message = "a stream is part of what the command is: `#[command(skip)]` is for its other fields";
                return Err(Error::new(stream.name.span(), message));
            }
            None => rest.push((field, counts)),
        }
    }
    if streams.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "a command reads at least one stream: put `#[stream(fold = ...)]` on the field that names it",
        ));
    }
    check_names(&streams, &places)?;
    Ok(generate(
        input,
        &krate,
        command_name.as_deref(),
        &streams,
        &places,
        &rest,
    ))
}

/// The stable name of a command.
fn parse_name(meta: &syn::meta::ParseNestedMeta<'_>) -> Result<String> {
    let literal: syn::LitStr = meta.value()?.parse()?;
    let name = literal.value();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        let message = "a command's name has 1 to 100 letters, digits, `.`, `_` and `-`";
        return Err(Error::new(literal.span(), message));
    }
    Ok(name)
}

/// Whether a field counts for the fingerprint of the command.
fn counts(field: &Field) -> Result<bool> {
    let mut counts = true;
    for attribute in &field.attrs {
        if attribute.path().is_ident("command") {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("skip") {
                    return Err(meta.error("unknown option for a field, known is `skip`"));
                }
                counts = false;
                Ok(())
            })?;
        } else if attribute.path().is_ident("serde") {
            // Its other options are serde's to judge.
            let _ = attribute.parse_nested_meta(|meta| {
                counts &= !meta.path.is_ident("skip") && !meta.path.is_ident("skip_serializing");
                if meta.input.peek(Token![=]) {
                    meta.value()?.parse::<syn::Expr>()?;
                }
                Ok(())
            });
        }
    }
    Ok(counts)
}

fn parse_field(field: &Field) -> Result<Option<Stream<'_>>> {
    let mut stream = None;
    for attribute in &field.attrs {
        if !attribute.path().is_ident("stream") {
            continue;
        }
        if stream.is_some() {
            return Err(Error::new(attribute.span(), "`#[stream]` is given twice"));
        }
        let name = field.ident.clone().unwrap_or_else(|| format_ident!("_"));
        let mut parsed = Stream {
            name,
            field: Some(&field.ty),
            fold: None,
            read_only: false,
        };
        if !matches!(attribute.meta, syn::Meta::Path(_)) {
            attribute.parse_nested_meta(|meta| parsed.option(&meta))?;
        }
        stream = Some(parsed);
    }
    Ok(stream)
}

fn parse_place(attribute: &Attribute) -> Result<Stream<'static>> {
    let usage = "name the place: `#[discover(name, fold = ...)]`";
    let mut place: Option<Stream<'static>> = None;
    if matches!(attribute.meta, syn::Meta::Path(_)) {
        return Err(Error::new(attribute.span(), usage));
    }
    attribute.parse_nested_meta(|meta| match &mut place {
        None if !meta.input.peek(Token![=]) => {
            place = Some(Stream {
                name: meta.path.require_ident()?.clone(),
                field: None,
                fold: None,
                read_only: false,
            });
            Ok(())
        }
        None => Err(meta.error("the name comes first: `#[discover(name, fold = ...)]`")),
        Some(place) => place.option(&meta),
    })?;
    place.ok_or_else(|| Error::new(attribute.span(), usage))
}

impl Stream<'_> {
    fn option(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("fold") {
            self.fold = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("read_only") {
            self.read_only = true;
        } else {
            let unknown = meta.path.get_ident().map(ToString::to_string);
            let unknown = unknown.unwrap_or_default();
            return Err(meta.error(format!(
                "unknown option `{unknown}`, known are `fold = Type` and `read_only`"
            )));
        }
        Ok(())
    }
}

fn check_names(streams: &[Stream<'_>], places: &[Stream<'_>]) -> Result<()> {
    let all = || streams.iter().chain(places);
    for (index, stream) in all().enumerate() {
        if all().take(index).any(|before| before.name == stream.name) {
            let message = format!(
                "two streams are called `{}`: give one of them another name",
                stream.name
            );
            return Err(Error::new(stream.name.span(), message));
        }
        if stream.name == "state" && all().any(|stream| stream.fold.is_none()) {
            return Err(Error::new(
                stream.name.span(),
                "`state` is where the state of plain streams goes: give this stream another name",
            ));
        }
    }
    Ok(())
}

#[expect(
    clippy::too_many_lines,
    reason = "a template, easiest to read in one piece"
)]
fn generate(
    input: &DeriveInput,
    krate: &CratePath,
    command_name: Option<&str>,
    streams: &[Stream<'_>],
    places: &[Stream<'_>],
    rest: &[(&Field, bool)],
) -> TokenStream {
    let DeriveInput {
        ident,
        vis,
        generics,
        ..
    } = input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let command = quote!(#ident #type_generics);
    let views = format_ident!("{ident}Streams");
    let private = quote!(#krate::__private);
    let name = command_name.map_or_else(|| ident.to_string(), ToOwned::to_owned);
    let is_named = command_name.is_some();
    let doc = format!("The streams of [`{ident}`], read and folded.");

    let plain_fold = quote!(#krate::Plain<<#command as #krate::CommandState>::Event>);
    let fold = |stream: &Stream<'_>| {
        let fold = stream.fold.as_ref().map(ToTokens::to_token_stream);
        fold.unwrap_or_else(|| plain_fold.clone())
    };
    let access = |stream: &Stream<'_>| {
        if stream.read_only {
            quote!(#krate::ReadOnly)
        } else {
            quote!(#krate::Write)
        }
    };

    let mut view_fields = Vec::new();
    let mut declare = Vec::new();
    let mut assemble = Vec::new();
    for stream in streams {
        let (name, field) = (&stream.name, stream.field);
        let (fold, access, writable) = (fold(stream), access(stream), !stream.read_only);
        let text = name.to_string();
        let span = field.map_or_else(|| name.span(), Spanned::span);
        // Errors point at the field, which a `macro_rules!` may have written; these names are of this code.
        let [self_, streams_, loaded_] = ["self", "streams", "loaded"]
            .map(|name| Ident::new(name, span.resolved_at(Span::call_site())));
        view_fields.push(quote_spanned! {span=>
            #[doc = concat!("The stream `", #text, "`.")]
            #vis #name: <#field as #krate::StreamField>::Views<#krate::View<#command, #fold, #access>>
        });
        declare.push(quote_spanned! {span=>
            #streams_.field::<#field, #fold>(#text, #writable, &#self_.#name)?;
        });
        assemble.push(quote_spanned! {span=>
            #name: #loaded_.field::<#command, #field, #fold, #access>()?
        });
    }
    let mut add_discovered = Vec::new();
    for (slot, place) in places.iter().enumerate() {
        let (name, fold, access) = (&place.name, fold(place), access(place));
        let text = name.to_string();
        view_fields.push(quote! {
            #[doc = concat!("The streams discovered as `", #text, "`.")]
            #vis #name: #krate::Discovered<#command, #fold, #access>
        });
        assemble.push(quote!(#name: loaded.discovered::<#command, #fold, #access>(#slot, #text)));
        add_discovered.push(quote!(#slot => streams.#name.add(view),));
    }

    let plain = streams
        .iter()
        .chain(places)
        .any(|stream| stream.fold.is_none());
    let discovers = !places.is_empty();
    let discovers_plain = places.iter().any(|place| place.fold.is_none());
    let (whole, apply, set_whole) = if plain {
        view_fields.push(quote! {
            /// What the events of the plain streams amount to.
            #vis state: <#command as #krate::CommandState>::State
        });
        assemble.push(quote!(state: whole));
        (
            quote!(<#command as #krate::CommandState>::State),
            quote!(#private::apply_plain(self, state, event)),
            quote!(streams.state = state;),
        )
    } else {
        (
            quote!(()),
            quote! {
                let _ = (state, event);
                ::core::result::Result::Ok(())
            },
            quote!(let _ = (streams, state);),
        )
    };
    let fingerprint = rest.iter().map(|(field, counts)| {
        let name = &field.ident;
        let text = name.as_ref().map(ToString::to_string);
        quote! {
            digest.field(#text, #counts, |digest| (&&&#private::Probe(&self.#name)).digest(digest));
        }
    });

    quote! {
        #[doc = #doc]
        #[allow(dead_code, missing_debug_implementations, clippy::type_complexity)]
        #vis struct #views #generics #where_clause {
            #(#view_fields,)*
        }

        #[automatically_derived]
        impl #impl_generics #krate::CommandStreams for #command #where_clause {
            type Streams = #views #type_generics;
            type Whole = #whole;
            const NAME: &'static str = #name;
            const IS_NAMED: bool = #is_named;
            const DISCOVERS: bool = #discovers;
            const DISCOVERS_PLAIN: bool = #discovers_plain;

            fn declare(
                &self,
                streams: &mut #private::Declarations,
            ) -> ::core::result::Result<(), #krate::CommandError> {
                #(#declare)*
                ::core::result::Result::Ok(())
            }

            #[allow(unused_variables)]
            fn assemble(
                loaded: &mut #private::Loaded,
                whole: Self::Whole,
            ) -> ::core::result::Result<Self::Streams, #krate::CommandError> {
                ::core::result::Result::Ok(#views { #(#assemble,)* })
            }

            fn apply_whole(
                &self,
                state: &mut Self::Whole,
                event: #krate::RecordedEvent,
            ) -> ::core::result::Result<(), #krate::DecodeError> {
                #apply
            }

            fn set_whole(streams: &mut Self::Streams, state: Self::Whole) {
                #set_whole
            }

            #[allow(unused_variables)]
            fn add_discovered(
                streams: &mut Self::Streams,
                slot: usize,
                view: #private::LoadedView,
            ) -> ::core::result::Result<(), #krate::CommandError> {
                match slot {
                    #(#add_discovered)*
                    _ => ::core::result::Result::Err(#krate::CommandError::Miswired),
                }
            }

            #[allow(unused_imports, unused_variables)]
            fn fingerprint(&self, digest: &mut #private::Fingerprint) {
                use #private::{ViaHash as _, ViaNothing as _, ViaSerialize as _};
                #(#fingerprint)*
            }
        }
    }
}
