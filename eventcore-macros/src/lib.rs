//! The derives of `eventcore`. Use them through that crate, which documents the traits they implement.

mod command;
mod crate_path;
mod event;
mod event_attrs;
mod names;
mod stream_name;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Declares the streams of a command.
///
/// On a struct with named fields:
///
/// * `#[stream(fold = F)]` on a field: a stream that the command reads, folded by `F`, and may write to. The field is
///   a `StreamId`, a type that converts to one, or a `Vec` or `Option` of these.
/// * `#[stream(fold = F, read_only)]`: guarded at commit, never written.
/// * `#[stream]`: a plain stream; its events go into the command's `CommandState`.
/// * `#[discover(name, fold = F, read_only)]` on the struct: a place for streams that `discover` names.
/// * `#[command(crate = "path")]` on the struct, where `eventcore` has another name.
///
/// It makes a struct `<Name>Streams` with a view per stream, in fields of the same names.
#[proc_macro_derive(Command, attributes(command, stream, discover))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), command::derive)
}

/// Gives each variant of an enum (or a struct) a stored name and a stored form.
///
/// * `#[event(prefix = "account")]` on the enum: the variant `Opened` is stored as `account.opened`.
/// * `#[event(name = "account.opened")]` on a variant or struct: the whole stored name; put it there before renaming.
/// * `#[event(alias = "account.created")]`: an older stored name that still reads. May be repeated.
/// * `#[event(version = 2, upcast_from(1 => OpenedV1))]`: today's shape has version 2; what is stored in version 1 is
///   read as `OpenedV1` and converted with `From` or `TryFrom<OpenedV1>`. Every older version needs an entry.
/// * `#[event(nested)]` on a variant that holds another event enum: stored as that enum stores it. Nested enums are
///   asked in order, so one with a `catch_all` of its own stands last: it takes whatever those after it know.
/// * `#[event(catch_all)]` on a variant that holds an `UnknownEvent`: takes whatever nobody else knows.
/// * `#[event(crate = "path")]`, where `eventcore` has another name.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), event::derive)
}

/// Maps a key type to a stream's name and back: `#[stream_name("account:{id}")]`.
///
/// Each field of the struct is a placeholder, by name or by number (`{0}`), written with `Display` and read with
/// `FromStr`; a text that its key would write in another way is not read. The part before the first `:` is the
/// category and has no placeholder; two placeholders have a `:` between them.
/// `#[stream_name("...", crate = "path")]`, where `eventcore` has another name.
#[proc_macro_derive(StreamName, attributes(stream_name))]
pub fn derive_stream_name(input: TokenStream) -> TokenStream {
    expand(
        &parse_macro_input!(input as DeriveInput),
        stream_name::derive,
    )
}

fn expand(
    input: &DeriveInput,
    derive: fn(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    derive(input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
