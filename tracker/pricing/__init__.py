"""What a usage costs: dated rates with their sources, and the pure functions that apply them."""
