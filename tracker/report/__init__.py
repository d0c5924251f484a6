"""What a person reads of a study: tables, figures, words, and the page that holds them."""
