//! `#[derive(Event)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Data, DataEnum, DeriveInput, Error, Fields, Generics, Ident, Result, Type, Variant,
    parse_quote, spanned::Spanned,
};

use crate::{
    crate_path::CratePath,
    event_attrs::{Container, Options, refuse_serde_forms, serde_skips},
    names::{snake_case, unfit_event_type},
};

/// One way in which events of the type are stored.
struct Stored {
    name: String,
    aliases: Vec<String>,
    options: Options,
    /// The pattern that matches it, and how it is written and read.
    pattern: TokenStream,
    encode: TokenStream,
    decode: TokenStream,
    span: Span,
}

/// A variant that holds another event type.
struct Wrapper<'a> {
    variant: &'a Ident,
    inner: &'a Type,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let mut container = Container::default();
    match &input.data {
        Data::Enum(data) => {
            let misplaced = Options::parse(&input.attrs, Some(&mut container))?;
            if !misplaced.is_empty() {
                let message =
                    "an enum has `prefix` and `crate`; all other options belong on its variants";
                return Err(Error::new(input.ident.span(), message));
            }
            refuse_serde_forms(&input.attrs)?;
            derive_enum(input, data, &container)
        }
        Data::Struct(_) => {
            let options = Options::parse(&input.attrs, Some(&mut container))?;
            derive_struct(input, options, &container)
        }
        Data::Union(_) => Err(Error::new(
            input.ident.span(),
            "an event is an enum or a struct",
        )),
    }
}

fn derive_struct(
    input: &DeriveInput,
    options: Options,
    container: &Container,
) -> Result<TokenStream> {
    let Some(name) = &options.name else {
        return Err(Error::new(
            input.ident.span(),
            "a struct's stored name is given in full: `#[event(name = \"account.opened\")]`",
        ));
    };
    if let Some(prefix) = &container.prefix {
        let message = "a struct's `name` is its whole stored name: remove `prefix`";
        return Err(Error::new(prefix.span(), message));
    }
    if let Some(span) = options.nested.or(options.catch_all) {
        let message = "`nested` and `catch_all` belong on the variants of an enum";
        return Err(Error::new(span, message));
    }
    let krate = &container.krate;
    let stored = Stored {
        name: name.value(),
        aliases: options.aliases.iter().map(syn::LitStr::value).collect(),
        pattern: quote!(Self { .. }),
        encode: quote!(#krate::__private::encode_value),
        decode: quote!(#krate::__private::decode_value(stored)),
        span: input.ident.span(),
        options,
    };
    Ok(generate(input, container, &[stored], &[], None))
}

fn derive_enum(input: &DeriveInput, data: &DataEnum, container: &Container) -> Result<TokenStream> {
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "an event enum has at least one variant",
        ));
    }
    let krate = &container.krate;
    let (mut stored, mut nested, mut catch_all) = (Vec::new(), Vec::new(), None);
    // As serde counts: variants that it skips have no index.
    let mut index: u32 = 0;
    for variant in &data.variants {
        refuse_serde_forms(&variant.attrs)?;
        let skipped = serde_skips(&variant.attrs)?;
        let options = Options::parse(&variant.attrs, None)?;
        if let Some(span) = options.nested.or(options.catch_all)
            && !options.stands_alone()
        {
            let message = "the variant is stored as what it holds: remove the other options";
            return Err(Error::new(span, message));
        }
        if let Some(span) = options.nested {
            nested.push(wrapper(
                variant,
                span,
                "`nested` belongs on a variant that holds one event type",
            )?);
        } else if let Some(span) = options.catch_all {
            let wrapper = wrapper(
                variant,
                span,
                "`catch_all` belongs on a variant that holds one `UnknownEvent`",
            )?;
            if catch_all.replace(wrapper).is_some() {
                return Err(Error::new(span, "an enum has one `catch_all` at most"));
            }
        } else if skipped {
            let message =
                "serde skips this variant, so it could not be stored: remove `skip` or the variant";
            return Err(Error::new(variant.ident.span(), message));
        } else {
            let ident = &variant.ident;
            stored.push(Stored {
                name: stored_name(variant, &options, container)?,
                aliases: options.aliases.iter().map(syn::LitStr::value).collect(),
                pattern: quote!(Self::#ident { .. }),
                encode: quote!(#krate::__private::encode_variant),
                decode: quote!(#krate::__private::decode_variant(#index, stored)),
                span: ident.span(),
                options,
            });
        }
        index += u32::from(!skipped);
    }
    refuse_duplicates(&stored)?;
    Ok(generate(
        input,
        container,
        &stored,
        &nested,
        catch_all.as_ref(),
    ))
}

fn wrapper<'a>(variant: &'a Variant, span: Span, message: &str) -> Result<Wrapper<'a>> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Ok(Wrapper {
            variant: &variant.ident,
            inner: &fields.unnamed[0].ty,
        }),
        _ => Err(Error::new(span, message)),
    }
}

fn stored_name(variant: &Variant, options: &Options, container: &Container) -> Result<String> {
    if let Some(name) = &options.name {
        return Ok(name.value());
    }
    let Some(prefix) = &container.prefix else {
        return Err(Error::new(
            variant.ident.span(),
            "this variant has no stored name: put `#[event(prefix = \"account\")]` on the enum, or \
             `#[event(name = \"account.opened\")]` here",
        ));
    };
    let name = format!(
        "{}.{}",
        prefix.value(),
        snake_case(&variant.ident.to_string())
    );
    match unfit_event_type(&name) {
        Some(reason) => Err(Error::new(variant.ident.span(), reason)),
        None => Ok(name),
    }
}

fn refuse_duplicates(stored: &[Stored]) -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    for one in stored {
        for name in std::iter::once(&one.name).chain(&one.aliases) {
            if seen.contains(&name.as_str()) {
                let message =
                    format!("two variants are stored as `{name}`: give one another `name`");
                return Err(Error::new(one.span, message));
            }
            seen.push(name);
        }
    }
    Ok(())
}

/// What the type itself must be able to do, where that depends on its parameters.
fn with_bounds(
    input: &DeriveInput,
    krate: &CratePath,
    stored: &[Stored],
    nested: &[Wrapper<'_>],
) -> Generics {
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_none() {
        return generics;
    }
    let bounds = &mut generics.make_where_clause().predicates;
    let private = quote!(#krate::__private);
    bounds.push(parse_quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static));
    if !stored.is_empty() {
        bounds.push(parse_quote!(Self: #private::Serialize + #private::DeserializeOwned));
    }
    for (_, old) in stored.iter().flat_map(|one| &one.options.upcasts) {
        bounds.push(parse_quote!(#old: #private::DeserializeOwned));
        bounds.push(parse_quote!(Self: #private::Upcast<#old>));
    }
    for Wrapper { inner, .. } in nested {
        bounds.push(parse_quote!(#inner: #krate::Event));
    }
    generics
}

#[expect(
    clippy::too_many_lines,
    reason = "a template, easiest to read in one piece"
)]
fn generate(
    input: &DeriveInput,
    container: &Container,
    stored: &[Stored],
    nested: &[Wrapper<'_>],
    catch_all: Option<&Wrapper<'_>>,
) -> TokenStream {
    let krate = &container.krate;
    let ident = &input.ident;
    let generics = with_bounds(input, krate, stored, nested);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();

    let encode = stored.iter().map(|one| {
        let Stored {
            name,
            pattern,
            encode,
            options,
            ..
        } = one;
        let version = options.current();
        quote! {
            #pattern => {
                const SCHEMA: #krate::SchemaVersion = match #krate::SchemaVersion::new(#version) {
                    ::core::option::Option::Some(version) => version,
                    ::core::option::Option::None => #krate::SchemaVersion::FIRST,
                };
                #encode(self, #krate::EventType::from_checked(#name), SCHEMA)
            }
        }
    });
    let decode = stored.iter().map(|one| {
        let Stored {
            name,
            aliases,
            decode,
            options,
            ..
        } = one;
        let current = options.current();
        let known = 1..=current;
        let old = options.upcasts.iter().map(|(version, shape)| {
            quote_spanned! {shape.span()=>
                #version => #krate::__private::upcast::<#shape, Self>(stored)
                    .map(::core::option::Option::Some),
            }
        });
        quote! {
            #name #(| #aliases)* => match stored.schema().get() {
                #current => #decode.map(::core::option::Option::Some),
                #(#old)*
                _ => ::core::result::Result::Err(#krate::DecodeFailure::UnknownSchema {
                    found: stored.schema(),
                    known: &[#(#known),*],
                }),
            }
        }
    });
    let encode_nested = nested.iter().map(|Wrapper { variant, inner }| {
        quote!(Self::#variant(inner) => <#inner as #krate::Event>::encode(inner),)
    });
    let decode_nested = nested.iter().map(|Wrapper { variant, inner }| {
        quote! {
            if let ::core::option::Option::Some(inner) = <#inner as #krate::Event>::decode(stored)? {
                return ::core::result::Result::Ok(::core::option::Option::Some(Self::#variant(inner)));
            }
        }
    });
    // Those after which somebody else is asked: another nested enum, or the catch-all of this one. Parameters are not
    // known here, so for a generic enum it stays with the documentation.
    let followed = nested
        .len()
        .saturating_sub(usize::from(catch_all.is_none()));
    let followed = if generics.params.is_empty() {
        followed
    } else {
        0
    };
    let asked_before_others = nested.iter().take(followed).map(|Wrapper { inner, .. }| {
        quote_spanned! {inner.span()=>
            const _: () = assert!(
                !<#inner as #krate::Event>::CATCHES_ALL,
                "this nested enum has a catch-all and would take the events of those after it: put its variant last, \
                 and have no other catch-all",
            );
        }
    });
    let inner_types = nested.iter().map(
        |Wrapper { inner, .. }| quote!(types.extend(<#inner as #krate::Event>::stored_types());),
    );
    let encode_unknown = catch_all.map(|Wrapper { variant, .. }| {
        quote!(Self::#variant(unknown) => {
            ::core::result::Result::Ok(#krate::EncodedEvent::from(unknown))
        })
    });
    let unknown = catch_all.map(|Wrapper { variant, .. }| {
        quote! {
            ::core::option::Option::Some(Self::#variant(#krate::UnknownEvent::from(
                ::core::clone::Clone::clone(stored),
            )))
        }
    });
    let otherwise = unknown.unwrap_or_else(|| quote!(::core::option::Option::None));
    let catches_all = nested
        .iter()
        .map(|Wrapper { inner, .. }| quote!(|| <#inner as #krate::Event>::CATCHES_ALL));
    let own_catch_all = catch_all.is_some();
    let names = stored
        .iter()
        .flat_map(|one| std::iter::once(&one.name).chain(&one.aliases));

    quote! {
        #(#asked_before_others)*

        #[automatically_derived]
        impl #impl_generics #krate::Event for #ident #type_generics #where_clause {
            const CATCHES_ALL: bool = #own_catch_all #(#catches_all)*;

            fn encode(&self) -> ::core::result::Result<#krate::EncodedEvent, #krate::EncodeError> {
                match self {
                    #(#encode)*
                    #(#encode_nested)*
                    #encode_unknown
                }
            }

            fn decode(
                stored: &#krate::EncodedEvent,
            ) -> ::core::result::Result<::core::option::Option<Self>, #krate::DecodeFailure> {
                match stored.event_type().as_str() {
                    #(#decode)*
                    _ => {
                        #(#decode_nested)*
                        ::core::result::Result::Ok(#otherwise)
                    }
                }
            }

            #[allow(unused_imports)]
            fn reads_back(
                &self,
                stored: &#krate::EncodedEvent,
            ) -> ::core::result::Result<(), #krate::EncodeError> {
                use #krate::__private::{ViaDebug as _, ViaEncoding as _, ViaPartialEq as _};
                #krate::__private::reads_back(self, stored, |this, that| {
                    (&&&#krate::__private::Pair(this, that)).same()
                })
            }

            #[allow(unused_mut)]
            fn stored_types() -> ::std::vec::Vec<#krate::EventType> {
                let mut types = ::std::vec![#(#krate::EventType::from_checked(#names)),*];
                #(#inner_types)*
                types
            }
        }
    }
}
