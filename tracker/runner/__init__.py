"""The way of a study: plan → ask → launch → follow → price → log → tell."""
