//! `shop`: the replay from the input to the summary, with the read models at work beside it.

use eventcore::projection::ProjectionStore;

use super::{
    BadLines, Books, Input, Options, Purchase, Report, ShopError, Source, Status, Summary,
    audit::audit,
    money::grouped,
    opened::Opened,
    page::counted,
    progress::{Progress, say},
    replay::{self, Outcome},
    stop::Stop,
    summary::{CheckSummary, InputSummary, ReadModelsSummary, RunSummary},
    views::Views,
};

/// Replays the input into the store, and reports what the store then holds.
///
/// # Errors
///
/// [`ShopError`]. A log that differs from the input, or read models that differ from the log, are no error but a [`Status`].
///
/// # Cancel safety
///
/// Dropping the future abandons commands on their way; each takes effect whole or not at all, and the next run goes on.
pub async fn run(options: &Options) -> Result<Summary, ShopError> {
    let source = options.input.clone().map_or(Source::BuiltIn, Source::File);
    let skip = if options.skip_bad {
        BadLines::Skip
    } else {
        BadLines::Refuse
    };
    // All of the input is checked before a store is touched.
    let input = Input::load(&source, skip)?;
    let store = Opened::open(&options.store).await?;
    let summary = match &store {
        Opened::Memory(_, views) => with_store(options, &input, &store, views).await,
        Opened::Sqlite { views, .. } => with_store(options, &input, &store, views).await,
        Opened::Postgres { views, .. } => with_store(options, &input, &store, views).await,
    };
    // Also after a failure: what was acknowledged is stored, and the file is left in order.
    store.close().await;
    summary
}

async fn with_store<V: ProjectionStore + Clone>(
    options: &Options,
    input: &Input,
    store: &Opened,
    views: &V,
) -> Result<Summary, ShopError> {
    let (name, events) = (options.store.to_string(), &store.events());
    let limit = options.limit.map_or(usize::MAX, |limit| limit as usize);
    let wanted = &input.purchases[..limit.min(input.purchases.len())];
    let mut books = Books::default();
    books.catch_up(events).await?;
    check_claim(options, input, &books)?;
    let mut views = Views::start(name.clone(), &store.log(), views, options.rebuild).await?;

    // Commands on their way finish in any order, so a run that was killed may have left gaps: line by line, then.
    let open: Vec<Purchase> = wanted
        .iter()
        .filter(|purchase| !books.holds(purchase.line))
        .copied()
        .collect();
    let already_there = (wanted.len() - open.len()) as u64;
    announce(options, input, wanted.len() as u64, already_there);

    let mut outcome = if open.is_empty() {
        Outcome::default()
    } else {
        let all = input.purchases.len() as u64;
        replay::begin(events, &name, input.id, all).await?;
        let listen = |source| ShopError::System {
            doing: "listening for Ctrl-C",
            source,
        };
        let mut stop = Stop::listen().map_err(listen)?;
        let mut progress = Progress::begin(already_there, wanted.len() as u64);
        let in_flight = options.concurrency.into();
        let replayed =
            replay::replay(events, input.id, &open, in_flight, &mut progress, &mut stop).await;
        progress.end();
        stop.at_once();
        replayed?
    };

    let (figures, position) = views.figures_with(&mut books).await?;
    views.stop().await?;
    // Another process may have recorded what came too late here.
    outcome.refused.retain(|line, _| !books.holds(*line));
    // After a stop, what is stored so far has to be right all the same.
    let due: Vec<Purchase> = wanted
        .iter()
        .filter(|purchase| !outcome.interrupted || books.holds(purchase.line))
        .copied()
        .collect();
    let (problems, expected) = audit(&books, input, &due, &outcome.refused);
    let differences = figures.differences(&books.figures)?;
    Ok(Summary {
        status: match (problems.count + differences.count, outcome.interrupted) {
            (0, false) => Status::Complete,
            (0, true) => Status::Interrupted,
            _ => Status::Mismatch,
        },
        input: InputSummary::of(input, wanted.len()),
        run: RunSummary::of(name, options.concurrency, already_there, &outcome),
        report: Report::of(&figures),
        check: CheckSummary::of(problems, expected),
        read_models: ReadModelsSummary::at(position).compared(differences),
    })
}

/// A store belongs to the input that was replayed into it first.
fn check_claim(options: &Options, input: &Input, books: &Books) -> Result<(), ShopError> {
    let store = || options.store.to_string();
    match books.import {
        Some(held) if held != input.id => Err(ShopError::OtherInput {
            store: store(),
            held,
            wanted: input.id,
        }),
        None if !books.entries.is_empty() => Err(ShopError::Unclaimed { store: store() }),
        _ => Ok(()),
    }
}

fn announce(options: &Options, input: &Input, wanted: u64, already_there: u64) {
    let all = input.purchases.len() as u64;
    let part = if wanted < all {
        format!(", the first {} of them", grouped(wanted))
    } else {
        String::new()
    };
    say(&format!(
        "input  {}: {}{part}",
        input.source,
        counted(all, "purchase")
    ));
    if input.bad_lines > 0 {
        let lines = counted(input.bad_lines as u64, "broken line");
        say(&format!("       left out {lines}:"));
        for bad in &input.first_bad {
            say(&format!("         {bad}"));
        }
        if input.bad_lines > input.first_bad.len() {
            say(&format!(
                "         and {} more",
                input.bad_lines - input.first_bad.len()
            ));
        }
    }
    let there = match already_there {
        0 => String::new(),
        n if n == wanted => ": all is there".to_owned(),
        n => format!(
            ": {} of {} are there, going on",
            grouped(n),
            grouped(wanted)
        ),
    };
    say(&format!("store  {}{there}", options.store));
}
