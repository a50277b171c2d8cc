//! `#[derive(StreamName)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Data, DeriveInput, Error, Fields, Index, LitStr, Member, Result, Token, Type,
    parse::ParseStream, spanned::Spanned,
};

use crate::crate_path::CratePath;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "a stream name is derived for a struct",
        ));
    };
    let (text, krate) = parse_attribute(input)?;
    let pattern = Pattern::parse(&text)?;
    let members = members(&data.fields);
    for (member, span) in &members {
        let name = member.to_token_stream().to_string();
        let times = pattern.keys.iter().filter(|key| **key == name).count();
        let message = match times {
            1 => continue,
            0 => format!(
                "`{{{name}}}` is missing in the pattern: the key could not be read back from the name"
            ),
            _ => format!("`{{{name}}}` is in the pattern {times} times: once is enough"),
        };
        return Err(Error::new(*span, message));
    }
    let names: Vec<String> = members
        .iter()
        .map(|(m, _)| m.to_token_stream().to_string())
        .collect();
    if let Some(unknown) = pattern.keys.iter().find(|key| !names.contains(key)) {
        let message = format!("there is no field `{unknown}`");
        return Err(Error::new(text.span(), message));
    }
    let types: Vec<&Type> = data.fields.iter().map(|field| &field.ty).collect();
    Ok(generate(input, &krate, &text, &pattern, &names, &types))
}

fn parse_attribute(input: &DeriveInput) -> Result<(LitStr, CratePath)> {
    let mut attributes = input
        .attrs
        .iter()
        .filter(|a| a.path().is_ident("stream_name"));
    let Some(attribute) = attributes.next() else {
        return Err(Error::new(
            input.ident.span(),
            "say how the stream is named: `#[stream_name(\"account:{id}\")]`",
        ));
    };
    attribute.parse_args_with(|tokens: ParseStream<'_>| {
        let text = tokens.parse()?;
        let mut krate = CratePath::default();
        if tokens.parse::<Option<Token![,]>>()?.is_some() && !tokens.is_empty() {
            let options = tokens.parse::<TokenStream>()?;
            let parser = syn::meta::parser(|meta| {
                if krate.parse(&meta)? {
                    return Ok(());
                }
                Err(meta.error("unknown option, known is `crate = \"path\"`"))
            });
            syn::parse::Parser::parse2(parser, options)?;
        }
        Ok((text, krate))
    })
}

fn members(fields: &Fields) -> Vec<(Member, proc_macro2::Span)> {
    let member = |(index, field): (usize, &syn::Field)| {
        let member = match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index::from(index)),
        };
        (member, field.span())
    };
    fields.iter().enumerate().map(member).collect()
}

/// `user:{id}:settings` taken apart.
struct Pattern {
    literals: Vec<String>,
    keys: Vec<String>,
}

impl Pattern {
    fn parse(text: &LitStr) -> Result<Self> {
        let fail = |message: &str| Err(Error::new(text.span(), message));
        let value = text.value();
        if value.trim() != value || value.is_empty() {
            return fail("the pattern is empty or has white space at its ends");
        }
        if value.chars().any(char::is_control) {
            return fail("the pattern contains a control character");
        }
        let mut pattern = Self {
            literals: Vec::new(),
            keys: Vec::new(),
        };
        let mut rest = value.as_str();
        while let Some((literal, after)) = rest.split_once('{') {
            let Some((key, after)) = after.split_once('}') else {
                return fail("a `{` is not closed");
            };
            if literal.contains('}') || key.is_empty() {
                return fail("placeholders look like `{field}`");
            }
            if !literal.contains(':') {
                return fail(if pattern.keys.is_empty() {
                    "the pattern begins with a category: `category:{key}`"
                } else {
                    "two placeholders need a `:` between them, or the name could not be read back"
                });
            }
            pattern.literals.push(literal.to_owned());
            pattern.keys.push(key.to_owned());
            rest = after;
        }
        if rest.contains('}') {
            return fail("a `}` has no `{`");
        }
        pattern.literals.push(rest.to_owned());
        Ok(pattern)
    }
}

fn generate(
    input: &DeriveInput,
    krate: &CratePath,
    text: &LitStr,
    pattern: &Pattern,
    names: &[String],
    types: &[&Type],
) -> TokenStream {
    let DeriveInput {
        ident, generics, ..
    } = input;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let key = quote!(#ident #type_generics);
    let Pattern { literals, keys } = pattern;
    let value = text.value();
    let category = value.split(':').next().unwrap_or_default();
    let member = |name: &String| -> TokenStream { name.parse().unwrap_or_default() };
    let place = |name: &String| keys.iter().position(|key| key == name).unwrap_or_default();
    // Spans of the types, so that a type that cannot be a key is what the compiler points at.
    let mut written = vec![TokenStream::new(); keys.len()];
    let mut read = Vec::with_capacity(names.len());
    for (name, ty) in names.iter().zip(types) {
        let (member, place) = (member(name), place(name));
        written[place] = quote_spanned!(ty.span()=> #krate::__private::Key::text(&self.#member));
        read.push(quote_spanned! {ty.span()=>
            #member: PATTERN.parse::<#ty>(id, #place, values[#place])?
        });
    }
    let result = quote!(::core::result::Result);
    let error = quote!(#krate::StreamNameError);

    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::StreamName for #key #where_clause {
            const PATTERN: &'static str = #text;
            const CATEGORY: &'static str = #category;

            fn to_stream_id(&self) -> #result<#krate::StreamId, #error> {
                #krate::__private::Pattern {
                    text: #text,
                    literals: &[#(#literals),*],
                    fields: &[#(#keys),*],
                }
                .render(&[#(#written),*])
            }

            fn from_stream_id(id: &#krate::StreamId) -> #result<Self, #error> {
                const PATTERN: #krate::__private::Pattern = #krate::__private::Pattern {
                    text: #text,
                    literals: &[#(#literals),*],
                    fields: &[#(#keys),*],
                };
                let values = PATTERN.split(id)?;
                #result::Ok(Self {
                    #(#read,)*
                })
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::convert::TryFrom<#key> for #krate::StreamId #where_clause {
            type Error = #error;
            fn try_from(key: #key) -> #result<Self, #error> {
                #krate::StreamName::to_stream_id(&key)
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::convert::TryFrom<&#key> for #krate::StreamId #where_clause {
            type Error = #error;
            fn try_from(key: &#key) -> #result<Self, #error> {
                #krate::StreamName::to_stream_id(key)
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::convert::TryFrom<&#krate::StreamId> for #key #where_clause {
            type Error = #error;
            fn try_from(id: &#krate::StreamId) -> #result<Self, #error> {
                #krate::StreamName::from_stream_id(id)
            }
        }
    }
}
