"""The Pareto frontier of quality against price, in numpy only."""
