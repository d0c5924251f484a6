"""Running a study: plan → next step → launch → follow → price → log → report back to the search."""
