//! From Rust's names to stored ones.

/// `HttpServerStarted` becomes `http_server_started`, `HTTPStarted` becomes `http_started`.
pub(crate) fn snake_case(ident: &str) -> String {
    let chars: Vec<char> = ident.chars().collect();
    let mut snake = String::with_capacity(ident.len() + 4);
    for (index, &c) in chars.iter().enumerate() {
        let after_small = index > 0 && !chars[index - 1].is_uppercase() && chars[index - 1] != '_';
        let before_small = chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && index > 0 && chars[index - 1] != '_' && (after_small || before_small)
        {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// What is wrong with a stored name, by the rules of `eventcore::EventType`.
pub(crate) fn unfit_event_type(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("the stored name of an event is empty")
    } else if name.chars().count() > 255 {
        Some("the stored name of an event has more than 255 characters")
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some("the stored name of an event contains white space or a control character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn words_are_found_by_their_capitals() {
        for (ident, snake) in [
            ("Opened", "opened"),
            ("MoneyMoved", "money_moved"),
            ("HTTPStarted", "http_started"),
            ("Plan9Chosen", "plan9_chosen"),
            ("Snake_Already", "snake_already"),
        ] {
            assert_eq!(snake_case(ident), snake);
        }
    }
}
