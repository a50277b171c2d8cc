//! The report for people: tables and charts in plain ASCII, with some color on a terminal.

use std::fmt::{self, Write};

use super::{
    Date, Standing, Status, Summary, Tier,
    money::grouped,
    report::{Report, ratio},
    summary::{CheckSummary, ReadModelsSummary},
};

/// How long the longest bar of a chart is.
const WIDEST: u64 = 32;

/// Colors, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ink {
    pub(crate) colors: bool,
}

impl Ink {
    fn paint(self, code: &str, text: impl fmt::Display) -> String {
        let text = text.to_string();
        if self.colors && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text
        }
    }

    fn bold(self, text: impl fmt::Display) -> String {
        self.paint("1", text)
    }

    fn dim(self, text: impl fmt::Display) -> String {
        self.paint("2", text)
    }

    fn bar(self, part: u64, most: u64) -> String {
        let length = (part * WIDEST + most / 2).checked_div(most).unwrap_or(0);
        // What is there at all can be seen.
        let length = length.max(u64::from(part > 0));
        self.paint("36", "#".repeat(usize::try_from(length).unwrap_or(0)))
    }
}

/// A run as a text.
pub(crate) fn of_run(summary: &Summary, ink: Ink) -> Result<String, fmt::Error> {
    let mut text = String::new();
    report(&mut text, &summary.report, ink)?;
    check(&mut text, summary.status, &summary.check, ink)?;
    read_models(&mut text, &summary.read_models, &summary.report, ink)?;
    run(&mut text, summary, ink)?;
    Ok(trimmed(&text))
}

/// What a store amounts to, as a text.
pub(crate) fn of_standing(standing: &Standing, ink: Ink) -> Result<String, fmt::Error> {
    let mut text = String::new();
    report(&mut text, &standing.report, ink)?;
    read_models(&mut text, &standing.read_models, &standing.report, ink)?;
    let (new, store) = (counted(standing.new_events, "new event"), &standing.store);
    writeln!(text, "  {new} since they were last looked at: {store}")?;
    Ok(trimmed(&text))
}

/// A bar of no length leaves blanks behind.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn report(out: &mut impl Write, report: &Report, ink: Ink) -> fmt::Result {
    if report.totals.purchases == 0 {
        return Ok(());
    }
    overview(out, report, ink)?;
    months(out, report, ink)?;
    visits(out, report, ink)?;
    tiers(out, report, ink)?;
    top(out, report, ink)
}

fn overview(out: &mut impl Write, report: &Report, ink: Ink) -> fmt::Result {
    let totals = report.totals;
    let day = |day: Option<Date>| day.map_or(String::new(), |day| day.to_string());
    let (first, last) = (day(report.first_day), day(report.last_day));
    writeln!(
        out,
        "\n  {}",
        ink.bold(format!("The shop, {first} to {last}, by its read models"))
    )?;
    writeln!(out, "  {}", ink.dim("=".repeat(76)))?;
    writeln!(
        out,
        "  {} purchases   {} CDs   {}   {} customers",
        ink.bold(grouped(totals.purchases)),
        ink.bold(grouped(totals.cds)),
        ink.bold(totals.cents),
        ink.bold(grouped(report.customers)),
    )
}

fn title(out: &mut impl Write, ink: Ink, text: &str, columns: &str) -> fmt::Result {
    writeln!(out, "\n  {}", ink.bold(text))?;
    writeln!(out, "{}", ink.dim(columns))
}

fn months(out: &mut impl Write, report: &Report, ink: Ink) -> fmt::Result {
    let columns = "             revenue  purchases  customers    new";
    title(out, ink, "Revenue per month", columns)?;
    let most = report
        .months
        .iter()
        .map(|month| month.totals.cents.get())
        .max()
        .unwrap_or(0);
    for month in &report.months {
        writeln!(
            out,
            "  {} {:>11}  {:>9}  {:>9}  {:>5}  {}",
            month.month,
            month.totals.cents,
            grouped(month.totals.purchases),
            grouped(month.customers),
            grouped(month.new_customers),
            ink.bar(month.totals.cents.get(), most),
        )?;
    }
    Ok(())
}

fn visits(out: &mut impl Write, report: &Report, ink: Ink) -> fmt::Result {
    let rate = ink.bold(format!("{:.1}%", report.repeat_rate * 100.0));
    let (repeat, all) = (grouped(report.repeat_customers), grouped(report.customers));
    writeln!(out, "\n  {}", ink.bold("Repeat purchases"))?;
    writeln!(
        out,
        "  {rate} of the customers came back on a later day: {repeat} of {all}"
    )?;
    writeln!(out, "{}", ink.dim("  days with a purchase  customers"))?;
    let most = report
        .visits
        .iter()
        .map(|class| class.customers)
        .max()
        .unwrap_or(0);
    for class in &report.visits {
        let (days, bar) = (class.days, ink.bar(class.customers, most));
        writeln!(out, "  {days:>20}  {:>9}  {bar}", grouped(class.customers))?;
    }
    Ok(())
}

fn tiers(out: &mut impl Write, report: &Report, ink: Ink) -> fmt::Result {
    let columns = "  tier       from  customers   share         revenue   share      points";
    title(out, ink, "Loyalty", columns)?;
    for line in &report.tiers {
        let from = match line.tier {
            Tier::Regular => String::new(),
            tier => format!("${}", tier.threshold().whole_dollars()),
        };
        writeln!(
            out,
            "  {:<8} {from:>6}  {:>9}  {:>5.1}%  {:>14}  {:>5.1}%  {:>10}",
            line.tier,
            grouped(line.customers),
            100.0 * ratio(line.customers, report.customers),
            line.cents,
            100.0 * ratio(line.cents.get(), report.totals.cents.get()),
            grouped(line.points),
        )?;
    }
    Ok(())
}

fn top(out: &mut impl Write, report: &Report, ink: Ink) -> fmt::Result {
    let columns = "      customer  tier            spent  purchases    CDs      points  last visit";
    title(out, ink, "Top customers", columns)?;
    for (place, customer) in (1..).zip(&report.top_customers) {
        writeln!(
            out,
            "  {place:>2}. {:>8}  {:<8} {:>12}  {:>9}  {:>5}  {:>10}  {}",
            customer.customer.to_string(),
            customer.tier,
            customer.totals.cents,
            grouped(customer.totals.purchases),
            grouped(customer.totals.cds),
            grouped(customer.points),
            customer.last_visit,
        )?;
    }
    Ok(())
}

fn check(out: &mut impl Write, status: Status, check: &CheckSummary, ink: Ink) -> fmt::Result {
    writeln!(
        out,
        "\n  {}",
        ink.bold("Does the log say what the input says?")
    )?;
    if !check.ok {
        return problems(out, &check.first_problems, check.problems, ink);
    }
    let yes = ink.paint("1;32", "[ok]");
    let expected = check.expected;
    let so_far = if status == Status::Interrupted {
        " so far"
    } else {
        ""
    };
    let (purchases, cds) = (grouped(expected.purchases), grouped(expected.cds));
    writeln!(
        out,
        "  {yes} {purchases} purchases, {cds} CDs, {}{so_far}",
        expected.cents
    )?;
    writeln!(
        out,
        "  {yes} every purchase once in its customer's stream and once in its day's ledger"
    )?;
    writeln!(
        out,
        "  {yes} no gap in any day's receipts, every tier earned"
    )
}

fn problems(out: &mut impl Write, first: &[String], count: usize, ink: Ink) -> fmt::Result {
    for problem in first {
        writeln!(out, "  {} {problem}", ink.paint("1;31", "[!!]"))?;
    }
    if count > first.len() {
        writeln!(out, "       and {} more", count - first.len())?;
    }
    Ok(())
}

fn read_models(
    out: &mut impl Write,
    read_models: &ReadModelsSummary,
    report: &Report,
    ink: Ink,
) -> fmt::Result {
    let title = ink.bold("Do the read models say what the log says?");
    writeln!(out, "\n  {title}")?;
    let at = grouped(read_models.position.get());
    match read_models.ok {
        None => writeln!(
            out,
            "  not asked, --check does; they stand at position {at}"
        ),
        Some(false) => {
            let (first, count) = (&read_models.first_differences, read_models.differences);
            problems(out, first, count, ink)
        }
        Some(true) => {
            let yes = ink.paint("1;32", "[ok]");
            let customers = counted(report.customers, "customer");
            let months = counted(report.months.len() as u64, "month");
            writeln!(
                out,
                "  {yes} {months} and {customers}, field by field, at position {at}"
            )
        }
    }
}

fn run(out: &mut impl Write, summary: &Summary, ink: Ink) -> fmt::Result {
    let run = &summary.run;
    writeln!(out, "\n  {}", ink.bold("This run"))?;
    if summary.input.bad_lines > 0 {
        let lines = counted(summary.input.bad_lines as u64, "broken line");
        writeln!(out, "  {lines} of the input left out")?;
    }
    if run.already_there > 0 {
        writeln!(
            out,
            "  {} purchases were there already",
            grouped(run.already_there)
        )?;
    }
    if run.refused > 0 {
        writeln!(
            out,
            "  {} refused by the shop's rules:",
            counted(run.refused as u64, "purchase")
        )?;
        for refusal in &run.first_refused {
            writeln!(out, "    {refusal}")?;
        }
        if run.refused > run.first_refused.len() {
            writeln!(
                out,
                "    and {} more",
                run.refused - run.first_refused.len()
            )?;
        }
    }
    if run.recorded == 0 {
        return writeln!(
            out,
            "  nothing was recorded, and nothing doubled: {}",
            run.store
        );
    }
    writeln!(
        out,
        "  {} in {:.1} s, {} a second, {} in flight: {}",
        counted(run.recorded, "command"),
        run.seconds,
        ink.bold(format!("{:.0}", run.commands_per_second)),
        run.concurrency,
        run.store,
    )?;
    writeln!(
        out,
        "  {:.3} attempts per command, {} at most; half of them within {:.2} ms, 99% within {:.2} ms",
        run.attempts_per_command, run.most_attempts, run.median_ms, run.p99_ms,
    )
}

/// `1 purchase`, `2 purchases`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}
