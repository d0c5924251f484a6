"""What a study will cost before it is run: from past runs of the same training code, and what its file allows."""
