//! Where the generated code finds `eventcore`.

use quote::quote;
use syn::{LitStr, Path, meta::ParseNestedMeta};

/// The path of `eventcore`: `::eventcore`, unless `crate = "..."` says otherwise.
pub(crate) struct CratePath(proc_macro2::TokenStream);

impl Default for CratePath {
    fn default() -> Self {
        Self(quote!(::eventcore))
    }
}

impl CratePath {
    /// Takes `crate = "path"`; whether it was that.
    pub(crate) fn parse(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
        if !meta.path.is_ident("crate") {
            return Ok(false);
        }
        let path: Path = meta.value()?.parse::<LitStr>()?.parse()?;
        self.0 = quote!(#path);
        Ok(true)
    }
}

impl quote::ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut proc_macro2::TokenStream) {
        self.0.to_tokens(tokens);
    }
}
